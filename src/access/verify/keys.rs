//! KMS keys: whether they can be used, and who may use them.

use serde_json::json;

use super::ask::{Ask, Holder, Of, Sources, all, context};
use super::remedy::Remedy;
use super::view::{Item, View, document, merged, unseen};
use crate::access::call::{Call, Service};
use crate::access::doctor::{Finding, Fix, Level};
use crate::access::live::{Beside, Look, State, extra};
use crate::access::plan::Kind;
use crate::access::policy::{Arn, Caller, Context, Document};
use crate::config::topology::Account;

/// A key that something is encrypted with.
pub(super) struct Key<'a> {
    view: View<'a>,
    account: &'a Account,
    /// Its alias, if the plan makes it, or its ARN.
    name: String,
    item: Option<Item<'a>>,
    look: Option<&'a Look>,
}

/// A use of a key by somebody.
pub(super) struct Use<'a> {
    pub(super) caller: Caller,
    pub(super) holder: Option<&'a Holder<'a>>,
    pub(super) actions: &'a [&'static str],
    pub(super) context: Context,
}

impl<'a> Key<'a> {
    /// The key of a name as it was seen at something of `user`: an alias of a key that the plan makes there, or an ARN.
    pub(super) fn of(view: View<'a>, user: &'a Account, name: &str) -> Self {
        let is = |kind: &Kind| matches!(kind, Kind::Key { alias, .. } if alias == name);
        if let Some(item) = view.find(user, is) {
            let (account, look) = (item.account(), item.look());
            return Self { view, account, name: name.to_owned(), item: Some(item), look };
        }
        let owner = name.parse::<Arn>().ok().and_then(|arn| view.account(&arn.account));
        let account = owner.unwrap_or(user);
        let look = view.beside(account, &Beside::Key(name.to_owned()));
        Self { view, account, name: name.to_owned(), item: None, look }
    }

    /// Whether it can be used at all.
    pub(super) fn usable(&self, check: &'static str, why: &str) -> Finding {
        let name = &self.name;
        let state = match self.look {
            Some(Look::Found(state)) => state,
            Some(Look::Absent) => {
                let failure = Finding::failure(check, format!("there is no key `{name}`")).why(why);
                return match self.item {
                    Some(item) => failure.fix(item.create(&format!("make key `{name}`"))),
                    None => failure.fix("make the key, or name another one"),
                };
            }
            Some(Look::Unseen(reason)) => {
                return unseen(check, &format!("key `{name}`"), &self.account.name, reason);
            }
            None => {
                let seen = format!("key `{name}` is none of this topology's, and was not looked at");
                return Finding::new(check, Level::Skipped, seen);
            }
        };
        let is = state.get("state").and_then(|is| is.as_str()).unwrap_or_default();
        if is == "Enabled" {
            return Finding::ok(check, format!("key `{name}` is {is}"));
        }
        let fix = match self.item {
            Some(item) => item.repair("enable it", &["state"]),
            None => Fix::from("enable it").calls(self.account, self.enable(is)),
        };
        Finding::failure(check, format!("key `{name}` is {is}")).why(why).fix(fix)
    }

    fn enable(&self, is: &str) -> Vec<Call> {
        let key = || json!({ "KeyId": self.name });
        let cancel = (is == "PendingDeletion").then(|| Call::new(Service::Kms, "CancelKeyDeletion", key()));
        cancel.into_iter().chain([Call::new(Service::Kms, "EnableKey", key())]).collect()
    }

    /// Whether somebody may use it; nothing is said of a key that was not seen.
    pub(super) fn used(&self, check: &'static str, why: &str, by: &Use<'_>) -> Option<Finding> {
        let Some(Look::Found(state)) = self.look else { return None };
        let arn = state.get(extra::ARN).and_then(|arn| arn.as_str()).unwrap_or(&self.name).to_owned();
        let mut context = by.context.clone();
        if self.item.is_some() {
            context = context.with("kms:ResourceAliases", [self.name.as_str()]);
        }
        let asks: Vec<Ask<'_>> = by
            .actions
            .iter()
            .map(|action| Ask {
                caller: by.caller.clone(),
                action,
                resource: arn.clone(),
                owner: self.account.place.account.clone(),
                context: context.clone(),
                holder: by.holder,
                of: Of::Required(self.policy(state)),
            })
            .collect();
        Some(all(check, why, &asks))
    }

    fn policy(&self, state: &State) -> Sources<'_> {
        if let Some(item) = self.item {
            return Sources::of(item, "policy");
        }
        let found = state.get("policy").and_then(document);
        let name = format!("the policy of key `{}`", self.name);
        let remedy = Remedy::Ready(self.given(found.as_ref()));
        Sources::one(&name, found, remedy)
    }

    /// What the owner of a key that exists has to do: what the plan leaves to be done by hand.
    fn given(&self, found: Option<&Document>) -> Fix {
        let stages = &self.view.plan.stages;
        let by_hand = stages.iter().flat_map(|stage| &stage.by_hand).find(|it| it.what.contains(&self.name));
        let text = format!("let the policy of key `{}` allow it", self.name);
        let (Some(by_hand), Some(found)) = (by_hand, found) else { return Fix::from(text) };
        let policy = merged(found, &by_hand.document, None);
        let input = json!({ "KeyId": self.name, "PolicyName": "default", "Policy": policy.to_json() });
        let call = Call::new(Service::Kms, "PutKeyPolicy", input);
        Fix::from(text)
            .policy(format!("the policy of key `{}`", self.name), policy)
            .calls(self.account, vec![call])
    }
}

/// What a request to KMS carries that comes through a service.
pub(super) fn through(account: &Account, service: &str) -> Context {
    let place = &account.place;
    let via = format!("{service}.{}.{}", place.region, place.partition().dns_suffix());
    context().with("kms:ViaService", [via])
}
