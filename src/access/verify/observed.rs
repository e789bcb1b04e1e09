//! What a plan wants and what was seen of it, side by side.

use serde_json::Value;

use crate::access::live::{CallPlanner, Observation, ObservedState, Prerequisite, ResourceState, desired};
use crate::access::plan::{AccessPlan, DocumentPurpose, PlanStage, PlannedResource, ResourceKind, limit};
use crate::access::policy::PolicyDocument;
use crate::access::report::{Fix, HopFinding};
use crate::arn::Arn;
use crate::config::topology::{AwsAccount, Topology};

/// What is explained.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObservedPlan<'a> {
    pub(super) topology: &'a Topology,
    pub(super) plan: &'a AccessPlan,
    pub(super) seen: &'a ObservedState,
}

/// A resource of the plan, and what was seen of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObservedResource<'a> {
    view: ObservedPlan<'a>,
    stage: &'a PlanStage,
    pub(super) resource: &'a PlannedResource,
}

impl<'a> ObservedPlan<'a> {
    /// The first resource of an account that `is`.
    pub(super) fn find(
        self,
        account: &AwsAccount,
        is: impl Fn(&ResourceKind) -> bool,
    ) -> Option<ObservedResource<'a>> {
        self.items(account).find(|item| is(&item.resource.kind))
    }

    /// All resources of an account.
    pub(super) fn items(self, account: &AwsAccount) -> impl Iterator<Item = ObservedResource<'a>> {
        let name = account.name.clone();
        let stages = self.plan.stages.iter().filter(move |stage| stage.account.name == name);
        stages.flat_map(move |stage| {
            stage.resources.iter().map(move |resource| ObservedResource { view: self, stage, resource })
        })
    }

    /// A role that the plan makes, by its ARN.
    pub(super) fn role(self, arn: &str) -> Option<ObservedResource<'a>> {
        let arn: Arn = arn.parse().ok()?;
        let account = self.account(&arn.account)?;
        let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Role { name, .. } if account.place.role(name) == arn);
        self.find(account, is)
    }

    /// The account of this id.
    pub(super) fn account(self, id: &str) -> Option<&'a AwsAccount> {
        self.topology.accounts.iter().map(AsRef::as_ref).find(|account| account.place.account == id)
    }

    /// What was seen beside the plan.
    pub(super) fn beside(self, account: &AwsAccount, beside: &Prerequisite) -> Option<&'a Observation> {
        self.seen.look(&account.name, &beside.id())
    }

    /// The same, if it is there.
    pub(super) fn beside_state(
        self,
        account: &AwsAccount,
        beside: &Prerequisite,
    ) -> Option<&'a ResourceState> {
        found(self.beside(account, beside))
    }
}

impl<'a> ObservedResource<'a> {
    pub(super) fn account(&self) -> &'a AwsAccount {
        &self.stage.account
    }

    pub(super) fn title(&self) -> String {
        self.resource.title()
    }

    pub(super) fn look(&self) -> Option<&'a Observation> {
        self.view.seen.look(&self.stage.account.name, &self.resource.id)
    }

    pub(super) fn state(&self) -> Option<&'a ResourceState> {
        found(self.look())
    }

    /// An aspect that is a string and there.
    pub(super) fn text(&self, aspect: &str) -> Option<&'a str> {
        self.state()?.get(aspect)?.as_str()
    }

    /// An aspect as the plan wants it.
    pub(super) fn wanted(&self, aspect: &str) -> Value {
        desired(self.resource).remove(aspect).unwrap_or_default()
    }

    /// Its state; or what is said when it is not there, or could not be seen.
    pub(super) fn there(&self, check: &'static str, why: &str) -> Result<&'a ResourceState, Box<HopFinding>> {
        let title = self.title();
        let account = &self.account().name;
        match self.look() {
            Some(Observation::Found(state)) => Ok(state),
            Some(Observation::Absent) => {
                let seen = format!("{title} is not there, in account {account}");
                let fix = self.create(&format!("make {title}"));
                Err(Box::new(HopFinding::failure(check, seen).why(why).fix(fix)))
            }
            Some(Observation::Unseen(reason)) => Err(Box::new(unseen(check, &title, account, reason))),
            None => Err(Box::new(unseen(check, &title, account, "nobody looked"))),
        }
    }

    /// The calls that make it.
    pub(super) fn create(&self, text: &str) -> Fix {
        let calls = self.fixer().create(self.resource);
        self.with_documents(Fix::from(text)).calls(self.account(), calls)
    }

    /// The calls that bring aspects to what the plan wants.
    pub(super) fn repair(&self, text: &str, aspects: &[&str]) -> Fix {
        let calls = self.fixer().repairs(self.resource, aspects.iter().copied());
        Fix::from(text).calls(self.account(), calls)
    }

    /// The calls that bring a document to what the plan wants, without one statement of what is there.
    ///
    /// What others put into the policy of a bucket, a key, a queue or a destination stays; the policies of a role that the plan makes
    /// are all its own.
    pub(super) fn repair_document(&self, aspect: &str, without: Option<usize>) -> Fix {
        let Some((part, wanted)) = self.documents().find(|(part, _)| part.as_str() == aspect) else {
            return Fix::default();
        };
        let text = format!("put the {} of {} right", noun(part), self.title());
        let mut resource = self.resource.clone();
        if let Some(there) = self.document(aspect).filter(|_| is_shared(&resource.kind)) {
            let merged = merged(&there, wanted, without);
            if merged.to_json().len() <= limit(&resource.kind, part) {
                replace(&mut resource.kind, merged);
            }
        }
        let calls = self.fixer().repair(&resource, aspect);
        let at = format!("the {} of {}", noun(part), self.title());
        let now = resource.documents().into_iter().find(|it| it.part == part);
        let document = now.map_or_else(PolicyDocument::default, |it| it.document.clone());
        Fix::from(text).policy(at, document).calls(self.account(), calls)
    }

    /// A document that was seen; none that is not there or cannot be read.
    pub(super) fn document(&self, aspect: &str) -> Option<PolicyDocument> {
        document(self.state()?.get(aspect)?)
    }

    fn documents(&self) -> impl Iterator<Item = (DocumentPurpose, &'a PolicyDocument)> {
        self.resource.documents().into_iter().map(|attached| (attached.part, attached.document))
    }

    fn with_documents(&self, fix: Fix) -> Fix {
        let title = self.title();
        self.documents()
            .filter(|(_, document)| !document.statements.is_empty())
            .fold(fix, |fix, (part, document)| {
                fix.policy(format!("the {} of {title}", noun(part)), document.clone())
            })
    }

    fn fixer(&self) -> CallPlanner<'a> {
        CallPlanner { plan: self.view.plan, stage: self.stage, seen: self.view.seen }
    }
}

/// What is said of what could not be seen.
pub(super) fn unseen(check: &'static str, what: &str, account: &str, reason: &str) -> HopFinding {
    HopFinding::warning(check, format!("{what} of account {account} could not be seen: {reason}"))
        .fix("give whoever looks the permission that is named, or credentials of that account")
}

/// A policy in JSON.
pub(super) fn document(value: &Value) -> Option<PolicyDocument> {
    if value.is_null() { None } else { value.to_string().parse().ok() }
}

/// What a document is called.
pub(super) const fn noun(part: DocumentPurpose) -> &'static str {
    match part {
        DocumentPurpose::Trust => "trust policy",
        DocumentPurpose::Permissions => "permissions",
        DocumentPurpose::Policy => "policy",
    }
}

fn found(look: Option<&Observation>) -> Option<&ResourceState> {
    match look {
        Some(Observation::Found(state)) => Some(state),
        Some(Observation::Absent | Observation::Unseen(_)) | None => None,
    }
}

/// Whether others have a say in its policy too.
const fn is_shared(kind: &ResourceKind) -> bool {
    matches!(
        kind,
        ResourceKind::Bucket { .. }
            | ResourceKind::Key { .. }
            | ResourceKind::Queue { .. }
            | ResourceKind::Destination { .. }
    )
}

/// What is there, less the statements that are put anew, and the plan's own.
pub(super) fn merged(
    there: &PolicyDocument,
    wanted: &PolicyDocument,
    without: Option<usize>,
) -> PolicyDocument {
    let is_own = |sid: &Option<String>| sid.is_some() && wanted.statements.iter().any(|own| own.sid == *sid);
    let kept = there
        .statements
        .iter()
        .enumerate()
        .filter(|(index, statement)| Some(index.saturating_add(1)) != without && !is_own(&statement.sid))
        .map(|(_, statement)| statement.clone());
    let statements = kept.chain(wanted.statements.iter().cloned()).collect();
    PolicyDocument { statements, id: there.id.clone(), ..wanted.clone() }
}

fn replace(kind: &mut ResourceKind, merged: PolicyDocument) {
    if let ResourceKind::Bucket { policy, .. }
    | ResourceKind::Key { policy, .. }
    | ResourceKind::Queue { policy, .. }
    | ResourceKind::Destination { policy, .. } = kind
    {
        *policy = merged;
    }
}
