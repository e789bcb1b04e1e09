//! What a plan wants and what was seen of it, side by side.

use serde_json::Value;

use crate::access::doctor::{Finding, Fix};
use crate::access::live::{Beside, Fixer, Look, Seen, State, desired};
use crate::access::plan::{Kind, Part, Plan, Resource, Stage, limit};
use crate::access::policy::{Arn, Document};
use crate::config::topology::{Account, Topology};

/// What is explained.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) topology: &'a Topology,
    pub(super) plan: &'a Plan,
    pub(super) seen: &'a Seen,
}

/// A resource of the plan, and what was seen of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    view: View<'a>,
    stage: &'a Stage,
    pub(super) resource: &'a Resource,
}

impl<'a> View<'a> {
    /// The first resource of an account that `is`.
    pub(super) fn find(self, account: &Account, is: impl Fn(&Kind) -> bool) -> Option<Item<'a>> {
        self.items(account).find(|item| is(&item.resource.kind))
    }

    /// All resources of an account.
    pub(super) fn items(self, account: &Account) -> impl Iterator<Item = Item<'a>> {
        let name = account.name.clone();
        let stages = self.plan.stages.iter().filter(move |stage| stage.account.name == name);
        stages.flat_map(move |stage| {
            stage.resources.iter().map(move |resource| Item { view: self, stage, resource })
        })
    }

    /// A role that the plan makes, by its ARN.
    pub(super) fn role(self, arn: &str) -> Option<Item<'a>> {
        let arn: Arn = arn.parse().ok()?;
        let account = self.account(&arn.account)?;
        let is = |kind: &Kind| matches!(kind, Kind::Role { name, .. } if account.place.role(name) == arn);
        self.find(account, is)
    }

    /// The account of this id.
    pub(super) fn account(self, id: &str) -> Option<&'a Account> {
        self.topology.accounts.iter().map(AsRef::as_ref).find(|account| account.place.account == id)
    }

    /// What was seen beside the plan.
    pub(super) fn beside(self, account: &Account, beside: &Beside) -> Option<&'a Look> {
        self.seen.look(&account.name, &beside.id())
    }

    /// The same, if it is there.
    pub(super) fn beside_state(self, account: &Account, beside: &Beside) -> Option<&'a State> {
        found(self.beside(account, beside))
    }
}

impl<'a> Item<'a> {
    pub(super) fn account(&self) -> &'a Account {
        &self.stage.account
    }

    pub(super) fn title(&self) -> String {
        self.resource.title()
    }

    pub(super) fn look(&self) -> Option<&'a Look> {
        self.view.seen.look(&self.stage.account.name, &self.resource.id)
    }

    pub(super) fn state(&self) -> Option<&'a State> {
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
    pub(super) fn there(&self, check: &'static str, why: &str) -> Result<&'a State, Box<Finding>> {
        let title = self.title();
        let account = &self.account().name;
        match self.look() {
            Some(Look::Found(state)) => Ok(state),
            Some(Look::Absent) => {
                let seen = format!("{title} is not there, in account {account}");
                let fix = self.create(&format!("make {title}"));
                Err(Box::new(Finding::failure(check, seen).why(why).fix(fix)))
            }
            Some(Look::Unseen(reason)) => Err(Box::new(unseen(check, &title, account, reason))),
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
        let document = now.map_or_else(Document::default, |it| it.document.clone());
        Fix::from(text).policy(at, document).calls(self.account(), calls)
    }

    /// A document that was seen; none that is not there or cannot be read.
    pub(super) fn document(&self, aspect: &str) -> Option<Document> {
        document(self.state()?.get(aspect)?)
    }

    fn documents(&self) -> impl Iterator<Item = (Part, &'a Document)> {
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

    fn fixer(&self) -> Fixer<'a> {
        Fixer { plan: self.view.plan, stage: self.stage, seen: self.view.seen }
    }
}

/// What is said of what could not be seen.
pub(super) fn unseen(check: &'static str, what: &str, account: &str, reason: &str) -> Finding {
    Finding::warning(check, format!("{what} of account {account} could not be seen: {reason}"))
        .fix("give whoever looks the permission that is named, or credentials of that account")
}

/// A policy in JSON.
pub(super) fn document(value: &Value) -> Option<Document> {
    if value.is_null() { None } else { value.to_string().parse().ok() }
}

/// What a document is called.
pub(super) const fn noun(part: Part) -> &'static str {
    match part {
        Part::Trust => "trust policy",
        Part::Permissions => "permissions",
        Part::Policy => "policy",
    }
}

fn found(look: Option<&Look>) -> Option<&State> {
    match look {
        Some(Look::Found(state)) => Some(state),
        Some(Look::Absent | Look::Unseen(_)) | None => None,
    }
}

/// Whether others have a say in its policy too.
const fn is_shared(kind: &Kind) -> bool {
    matches!(kind, Kind::Bucket { .. } | Kind::Key { .. } | Kind::Queue { .. } | Kind::Destination { .. })
}

/// What is there, less the statements that are put anew, and the plan's own.
pub(super) fn merged(there: &Document, wanted: &Document, without: Option<usize>) -> Document {
    let is_own = |sid: &Option<String>| sid.is_some() && wanted.statements.iter().any(|own| own.sid == *sid);
    let kept = there
        .statements
        .iter()
        .enumerate()
        .filter(|(index, statement)| Some(index.saturating_add(1)) != without && !is_own(&statement.sid))
        .map(|(_, statement)| statement.clone());
    let statements = kept.chain(wanted.statements.iter().cloned()).collect();
    Document { statements, id: there.id.clone(), ..wanted.clone() }
}

fn replace(kind: &mut Kind, merged: Document) {
    if let Kind::Bucket { policy, .. }
    | Kind::Key { policy, .. }
    | Kind::Queue { policy, .. }
    | Kind::Destination { policy, .. } = kind
    {
        *policy = merged;
    }
}
