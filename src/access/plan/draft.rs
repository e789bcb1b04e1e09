//! A plan while it is worked out.

use std::sync::Arc;

use aws_lc_rs::digest;

use super::resource::{KeyUse, ManualStep, PlannedResource, ResourceKind};
use super::statements;
use crate::access::policy::document::PolicyDocument;
use crate::config::topology::{AwsAccount, KmsKey, Topology};

/// What was worked out so far.
pub(super) struct PlanDraft<'t> {
    pub(super) topology: &'t Topology,
    pub(super) parts: Vec<DraftResource>,
    pub(super) by_hand: Vec<(Arc<AwsAccount>, ManualStep)>,
}

/// A resource of an account, and what comes before it.
pub(super) struct DraftResource {
    pub(super) phase: PlanPhase,
    pub(super) account: Arc<AwsAccount>,
    pub(super) resource: PlannedResource,
}

/// What a resource waits for in other accounts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum PlanPhase {
    /// Nothing, and a stream waits for it.
    Store,
    /// The bucket.
    Stream,
    /// Nothing, and nothing of another account waits for it.
    Free,
    /// The destination.
    Send,
}

impl PlanDraft<'_> {
    pub(super) fn add(
        &mut self,
        phase: PlanPhase,
        account: &Arc<AwsAccount>,
        id: &str,
        needs: &[String],
        kind: ResourceKind,
    ) -> String {
        let id = logical(id);
        let resource = PlannedResource { id: id.clone(), needs: needs.to_vec(), kind };
        self.parts.push(DraftResource { phase, account: Arc::clone(account), resource });
        id
    }

    /// Whether a resource of this name is there already.
    pub(super) fn has(&self, account: &AwsAccount, id: &str) -> bool {
        let id = logical(id);
        self.parts.iter().any(|part| part.account.name == account.name && part.resource.id == id)
    }

    /// The id of a log group that is made.
    pub(super) fn log_group(&self, account: &AwsAccount, group: &str) -> Option<&str> {
        let own = self.parts.iter().filter(|part| part.account.name == account.name);
        let is = |kind: &ResourceKind| matches!(kind, ResourceKind::LogGroup { name, .. } if name == group);
        own.map(|part| &part.resource).find(|it| is(&it.kind)).map(|it| it.id.as_str())
    }

    pub(super) fn by_hand(
        &mut self,
        account: &Arc<AwsAccount>,
        file: &str,
        what: String,
        document: PolicyDocument,
    ) {
        let by_hand = ManualStep { what, document, file: file.to_owned() };
        self.by_hand.push((Arc::clone(account), by_hand));
    }

    /// How a resource of the key's account names a key.
    pub(super) fn key_use(&self, key: Option<&Arc<KmsKey>>) -> Option<KeyUse> {
        let key = key?;
        Some(match &key.arn {
            Some(arn) => KeyUse::Given(arn.clone()),
            None => KeyUse::Made {
                id: logical(&format!("Key {}", key.name)),
                alias: statements::alias(&self.topology.name, key),
            },
        })
    }
}

/// The ids of a key that is made, for `needs`.
pub(super) fn key_needs(key: Option<&KeyUse>) -> Vec<String> {
    match key {
        Some(KeyUse::Made { id, .. }) => vec![id.clone()],
        Some(KeyUse::Given(_)) | None => Vec::new(),
    }
}

/// `Filter /aws/lambda/orders` as `FilterAwsLambdaOrders`: names in templates are letters and digits.
pub(super) fn logical(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let id: String = words.map(capital).collect();
    if id.len() <= LONGEST_ID {
        return id;
    }
    // The start for people, and what no other name has.
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let number = hash.as_ref().iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let hash = format!("{number:016x}");
    let start: String = id.chars().take(LONGEST_ID.saturating_sub(hash.len())).collect();
    start + &hash
}

/// Most characters of a name in templates: `CloudFormation` takes 255, and parts of a resource have a word more.
/// Source: <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resources-section-structure.html>.
const LONGEST_ID: usize = 200;
