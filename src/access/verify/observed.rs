//! What a plan wants and what was seen of it, side by side.

use serde_json::Value;

use super::denial::Denial;
use crate::access::live::{CallPlanner, Observation, ObservedState, Prerequisite, ResourceState, desired};
use crate::access::plan::{AccessPlan, DocumentPurpose, PlanStage, PlannedResource, ResourceKind, limit};
use crate::access::policy::{PolicyDocument, ReadPolicy};
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

    /// What was seen of what the plan rests on.
    pub(super) fn prerequisite(self, account: &AwsAccount, needed: &Prerequisite) -> Option<&'a Observation> {
        self.seen.look(&account.name, &needed.id())
    }

    /// The same, if it is there.
    pub(super) fn prerequisite_state(
        self,
        account: &AwsAccount,
        needed: &Prerequisite,
    ) -> Option<&'a ResourceState> {
        found(self.prerequisite(account, needed))
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
                let seen = format!("{title} does not exist in account {account}");
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

    /// The calls that bring a document to what the plan wants, and lift a denial that is there.
    ///
    /// What others put into the policy of a bucket, a key, a queue or a destination stays, and a denial among it too, with the caller
    /// excepted; the policies of a role that the plan makes are all its own. What cannot be read is not replaced.
    pub(super) fn repair_document(&self, aspect: &str, denial: Option<Denial<'_>>) -> Fix {
        let Some((part, wanted)) = self.documents().find(|(part, _)| part.as_str() == aspect) else {
            return Fix::default();
        };
        let at = format!("the {} of {}", noun(part), self.title());
        let mut text = format!("put {at} right");
        let there = self.state().and_then(|state| policy(state.get(aspect)?));
        if let Some(unread) = there.as_ref().and_then(|there| there.unread.first()) {
            let text = format!("{text} by hand, since not all of it can be read: {}", unread.reason);
            return Fix::from(text).policy(format!("what has to be in {at}"), wanted.clone());
        }
        let mut resource = self.resource.clone();
        let is_shared = is_shared(&resource.kind);
        let relieved =
            denial.and_then(|denial| if is_shared { denial.excepting(&at) } else { denial.without(&at) });
        let there = there.map(|there| there.document).filter(|_| is_shared);
        let there = match relieved {
            Some(relieved) => {
                text = format!("{text}: {}", relieved.text);
                there.map(|_| relieved.document)
            }
            None => there,
        };
        if let Some(there) = there {
            let merged = merged(&there, wanted);
            let (len, most) = (merged.to_json().len(), limit(&resource.kind, part));
            if most < len {
                let text = format!(
                    "{text} by hand: with what others wrote there it would have {len} characters, and may have {most}"
                );
                return Fix::from(text).policy(format!("what has to be in {at}"), wanted.clone());
            }
            replace(&mut resource.kind, merged);
        }
        let calls = self.fixer().repair(&resource, aspect);
        let now = resource.documents().into_iter().find(|it| it.part == part);
        let document = now.map_or_else(PolicyDocument::default, |it| it.document.clone());
        Fix::from(text).policy(at, document).calls(self.account(), calls)
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
        .fix("give these credentials the named permission, or use credentials of that account")
}

/// A policy in JSON, as far as it can be read; none where there is none.
pub(super) fn policy(value: &Value) -> Option<ReadPolicy> {
    (!value.is_null()).then(|| ReadPolicy::of(&value.to_string()))
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
pub(super) fn merged(there: &PolicyDocument, wanted: &PolicyDocument) -> PolicyDocument {
    let is_own = |sid: &Option<String>| sid.is_some() && wanted.statements.iter().any(|own| own.sid == *sid);
    let kept = there.statements.iter().filter(|statement| !is_own(&statement.sid)).cloned();
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
