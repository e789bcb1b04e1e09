//! From a topology to all that has to be there for it: one model, from which every form is printed.
//!
//! Pure: no file, no network, no clock. What each policy grants follows `CloudWatch` Logs'
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions.html>) and Firehose's
//! (<https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html>) own pages, less what is not needed.

mod assumed;
mod keys;
mod limits;
mod resource;
mod senders;
mod stages;
mod statements;
mod storage;
mod streams;
mod vended;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use limits::PlanError;
pub(crate) use limits::{limit, selection};
pub use resource::{
    AccessPlan, DeliveryStream, DocumentPurpose, ERROR_STREAM, KeyUse, ManualStep, PlanStage,
    PlannedResource, ResourceDocument, ResourceKind, SubscriptionFilter,
};

use crate::access::policy::document::PolicyDocument;
use crate::config::topology::{AwsAccount, KmsKey, Topology};

/// Works out the resources of a topology, and checks them against AWS's limits.
pub fn plan(topology: &Topology) -> Result<AccessPlan, PlanError> {
    let mut draft = PlanDraft { topology, parts: Vec::new(), by_hand: Vec::new() };
    keys::keys(&mut draft);
    senders::log_groups(&mut draft);
    storage::bucket(&mut draft);
    streams::delivery_stream(&mut draft);
    streams::data_stream(&mut draft);
    streams::destination(&mut draft);
    vended::vended(&mut draft)?;
    assumed::writer(&mut draft);
    assumed::consumer(&mut draft);
    assumed::readers(&mut draft);
    senders::subscriptions(&mut draft);
    let mut tags: Vec<(String, String)> =
        topology.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    tags.push(("standpipe-topology".to_owned(), topology.name.clone()));
    let region = topology.region.clone();
    let plan = AccessPlan { region, tags, stages: stages::stages(draft) };
    limits::check(&plan)?;
    Ok(plan)
}

/// What was worked out so far.
struct PlanDraft<'t> {
    topology: &'t Topology,
    parts: Vec<DraftResource>,
    by_hand: Vec<(Arc<AwsAccount>, ManualStep)>,
}

/// A resource of an account, and what comes before it.
struct DraftResource {
    phase: PlanPhase,
    account: Arc<AwsAccount>,
    resource: PlannedResource,
}

/// What a resource waits for in other accounts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum PlanPhase {
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
    fn add(
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
    fn has(&self, account: &AwsAccount, id: &str) -> bool {
        let id = logical(id);
        self.parts.iter().any(|part| part.account.name == account.name && part.resource.id == id)
    }

    fn by_hand(&mut self, account: &Arc<AwsAccount>, file: &str, what: String, document: PolicyDocument) {
        let by_hand = ManualStep { what, document, file: file.to_owned() };
        self.by_hand.push((Arc::clone(account), by_hand));
    }

    /// How a resource of the key's account names a key.
    fn key_use(&self, key: Option<&Arc<KmsKey>>) -> Option<KeyUse> {
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
fn key_needs(key: Option<&KeyUse>) -> Vec<String> {
    match key {
        Some(KeyUse::Made { id, .. }) => vec![id.clone()],
        Some(KeyUse::Given(_)) | None => Vec::new(),
    }
}

/// `Filter /aws/lambda/orders` as `FilterAwsLambdaOrders`: names in templates are letters and digits.
fn logical(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    words.map(capital).collect()
}
