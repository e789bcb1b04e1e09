//! KMS keys: whether they can be used, and who may use them.

use serde_json::json;

use super::observed::{ObservedPlan, ObservedResource, merged, policy, unseen};
use super::permission::{PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, all};
use super::policy_fix::{ForeignPolicy, PolicyFix};
use crate::access::live::{Observation, Prerequisite, ResourceState, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::{ReadPolicy, RequestContext, RequestPrincipal};
use crate::access::report::{Fix, HopFinding, Severity};
use crate::arn::Arn;
use crate::aws::{ApiCall, AwsService};
use crate::config::topology::AwsAccount;

/// A key that something is encrypted with.
pub(super) struct ObservedKey<'a> {
    view: ObservedPlan<'a>,
    account: &'a AwsAccount,
    /// Its alias, if the plan makes it, or its ARN.
    name: String,
    item: Option<ObservedResource<'a>>,
    look: Option<&'a Observation>,
}

/// A use of a key by somebody.
pub(super) struct KeyRequest<'a> {
    pub(super) caller: RequestPrincipal,
    pub(super) holder: Option<&'a PolicyHolder<'a>>,
    pub(super) actions: &'a [&'static str],
    pub(super) context: RequestContext,
}

impl<'a> ObservedKey<'a> {
    /// The key of a name as it was seen at something of `user`: an alias of a key that the plan makes there, or an ARN.
    pub(super) fn of(view: ObservedPlan<'a>, user: &'a AwsAccount, name: &str) -> Self {
        let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Key { alias, .. } if alias == name);
        if let Some(item) = view.find(user, is) {
            let (account, look) = (item.account(), item.look());
            return Self { view, account, name: name.to_owned(), item: Some(item), look };
        }
        let owner = name.parse::<Arn>().ok().and_then(|arn| view.account(&arn.account));
        let account = owner.unwrap_or(user);
        let look = view.prerequisite(account, &Prerequisite::Key(name.to_owned()));
        Self { view, account, name: name.to_owned(), item: None, look }
    }

    /// Whether it can be used at all.
    pub(super) fn usable(&self, check: &'static str, why: &str) -> HopFinding {
        let name = &self.name;
        let state = match self.look {
            Some(Observation::Found(state)) => state,
            Some(Observation::Absent) => {
                let failure = HopFinding::failure(check, format!("key `{name}` does not exist")).why(why);
                return match self.item {
                    Some(item) => failure.fix(item.create(&format!("make key `{name}`"))),
                    None => failure.fix("make the key, or name another one"),
                };
            }
            Some(Observation::Unseen(reason)) => {
                return unseen(check, &format!("key `{name}`"), &self.account.name, reason);
            }
            None => {
                let seen = format!("key `{name}` is not in this topology, and was not checked");
                return HopFinding::new(check, Severity::Skipped, seen);
            }
        };
        let is = state.get("state").and_then(|is| is.as_str()).unwrap_or_default();
        if is == "Enabled" {
            return HopFinding::ok(check, format!("key `{name}` is {is}"));
        }
        let fix = match self.item {
            Some(item) => item.repair("enable it", &["state"]),
            None => Fix::from("enable it").calls(self.account, self.enable(is)),
        };
        HopFinding::failure(check, format!("key `{name}` is {is}")).why(why).fix(fix)
    }

    fn enable(&self, is: &str) -> Vec<ApiCall> {
        let key = || json!({ "KeyId": self.name });
        let cancel =
            (is == "PendingDeletion").then(|| ApiCall::new(AwsService::Kms, "CancelKeyDeletion", key()));
        cancel.into_iter().chain([ApiCall::new(AwsService::Kms, "EnableKey", key())]).collect()
    }

    /// Whether somebody may use it; nothing is said of a key that was not seen.
    pub(super) fn used(&self, check: &'static str, why: &str, by: &KeyRequest<'_>) -> Option<HopFinding> {
        let Some(Observation::Found(state)) = self.look else { return None };
        let arn = state.get(extra::ARN).and_then(|arn| arn.as_str()).unwrap_or(&self.name).to_owned();
        let mut context = by.context.clone();
        if self.item.is_some() {
            context = context.with("kms:ResourceAliases", [self.name.as_str()]);
        }
        let asks: Vec<PermissionCheck<'_>> = by
            .actions
            .iter()
            .map(|action| PermissionCheck {
                caller: by.caller.clone(),
                action,
                resource: arn.clone(),
                owner: self.account.place.account.clone(),
                context: context.clone(),
                holder: by.holder,
                of: TargetPolicies::Required(self.policy(state)),
            })
            .collect();
        Some(all(check, why, &asks))
    }

    fn policy(&self, state: &ResourceState) -> PolicySources<'_> {
        if let Some(item) = self.item {
            return PolicySources::of(item, "policy");
        }
        let found = state.get("policy").and_then(policy);
        let home = PolicyFix::Ready(self.given(found.as_ref()));
        let sources = PolicySources::at(home);
        let Some(found) = found else { return sources };
        let fix = PolicyFix::Foreign(self.account, ForeignPolicy::Key(self.name.clone()));
        sources.with(format!("the policy of key `{}`", self.name), found, fix)
    }

    /// What the owner of a key that exists has to do: what the plan leaves to be done by hand.
    fn given(&self, found: Option<&ReadPolicy>) -> Fix {
        let stages = &self.view.plan.stages;
        let by_hand = stages.iter().flat_map(|stage| &stage.by_hand).find(|it| it.what.contains(&self.name));
        let text = format!("let the policy of key `{}` allow it", self.name);
        let found = found.and_then(ReadPolicy::whole);
        let (Some(by_hand), Some(found)) = (by_hand, found) else { return Fix::from(text) };
        let policy = merged(found, &by_hand.document);
        let input = json!({ "KeyId": self.name, "PolicyName": "default", "Policy": policy.to_json() });
        let call = ApiCall::new(AwsService::Kms, "PutKeyPolicy", input);
        Fix::from(text)
            .policy(format!("the policy of key `{}`", self.name), policy)
            .calls(self.account, vec![call])
    }
}

/// The context of a request to KMS that comes through a service.
pub(super) fn through(context: RequestContext, account: &AwsAccount, service: &str) -> RequestContext {
    let place = &account.place;
    let via = format!("{service}.{}.{}", place.region, place.partition().dns_suffix());
    // S3 and Kinesis ask KMS in the name of whoever asks them.
    context.with("kms:ViaService", [via]).with_perhaps("aws:ViaAWSService", &["true", "false"])
}
