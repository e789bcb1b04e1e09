//! Looks at roles and policies.

use serde_json::{Map, Value, json};

use super::ask::{Asker, Seen, list, note, optional, policy, tags, text};
use super::{State, extra};
use crate::access::call::Service;
use crate::access::policy::Arn;
use crate::access::policy::arn::Form;

impl Asker<'_> {
    pub(super) async fn role(&self, name: &str) -> Seen<State> {
        let role = self.ask(Service::Iam, "GetRole", json!({ "RoleName": name })).await?;
        let mut state = self.around(&role, name).await;
        state.insert("trust", policy(text(&role, "/Role/AssumeRolePolicyDocument")));
        let own = optional(self.inline(name, name).await)?;
        note(&mut state, "permissions", own);
        Ok(state)
    }

    pub(super) async fn role_policy(&self, role_name: &str, name: &str) -> Seen<State> {
        let role = self.ask(Service::Iam, "GetRole", json!({ "RoleName": role_name })).await?;
        let own = optional(self.inline(role_name, name).await)?;
        let mut state = self.around(&role, name).await;
        note(&mut state, "permissions", own);
        Ok(state)
    }

    pub(super) async fn managed_policy(&self, name: &str) -> Seen<State> {
        let arn =
            format!("arn:{}:iam::{}:policy/{name}", self.place.partition().as_str(), self.place.account);
        let (found, document) = self.attached(&arn).await?;
        let input = json!({ "PolicyArn": arn });
        let versions = self.iam("ListPolicyVersions", input, "Versions").await?;
        let old = versions.iter().filter(|version| text(version, "/IsDefaultVersion") != "true");
        let mut old: Vec<&str> = old.map(|version| text(version, "/VersionId")).collect();
        old.sort_by_key(|id| {
            std::cmp::Reverse(id.trim_start_matches('v').parse::<u64>().unwrap_or_default())
        });
        Ok(State::from([
            ("permissions", document),
            (extra::ARN, json!(arn)),
            (extra::VERSIONS, json!(old)),
            (extra::TAGS, tags(list(&found, "/Policy/Tags"), "Key", "Value")),
        ]))
    }

    /// What else there is about a role, beside its policy `own`; what is denied is left out.
    async fn around(&self, role: &Value, own: &str) -> State {
        let name = text(role, "/Role/RoleName");
        let mut state = State::from([
            (extra::ARN, json!(text(role, "/Role/Arn"))),
            (extra::TAGS, tags(list(role, "/Role/Tags"), "Key", "Value")),
        ]);
        note(&mut state, extra::OTHERS, self.others(name, own).await.ok());
        let boundary = text(role, "/Role/PermissionsBoundary/PermissionsBoundaryArn");
        if !boundary.is_empty() {
            state.insert(extra::BOUNDARY_ARN, json!(boundary));
            let document = self.attached(boundary).await.ok().map(|(_, document)| document);
            note(&mut state, extra::BOUNDARY, document);
        }
        state
    }

    /// Whoever asks, whose ARN is `arn` as STS gives it; of a role, its policies.
    pub(super) async fn itself(&self, arn: &str) -> Seen<State> {
        let own: Option<Arn> = arn.parse().ok();
        let mut state = State::new();
        if let Some(Form::Session { role, .. }) = own.as_ref().map(Arn::form) {
            let role = self.ask(Service::Iam, "GetRole", json!({ "RoleName": role })).await?;
            state = self.around(&role, "").await;
        }
        state.insert(extra::ARN, json!(arn));
        Ok(state)
    }

    /// All policies of a role but one.
    async fn others(&self, role: &str, own: &str) -> Seen<Value> {
        let mut others = Map::new();
        let input = || json!({ "RoleName": role });
        for name in self.iam("ListRolePolicies", input(), "PolicyNames").await? {
            let name = name.as_str().unwrap_or_default().to_owned();
            if name != own {
                let document = self.inline(role, &name).await?;
                others.insert(name, document);
            }
        }
        for attached in self.iam("ListAttachedRolePolicies", input(), "AttachedPolicies").await? {
            let arn = text(&attached, "/PolicyArn");
            let (_, document) = self.attached(arn).await?;
            others.insert(arn.to_owned(), document);
        }
        Ok(others.into())
    }

    async fn inline(&self, role: &str, name: &str) -> Seen<Value> {
        let input = json!({ "RoleName": role, "PolicyName": name });
        let found = self.ask(Service::Iam, "GetRolePolicy", input).await?;
        Ok(policy(text(&found, "/PolicyDocument")))
    }

    /// A managed policy, and what its version in force says.
    async fn attached(&self, arn: &str) -> Seen<(Value, Value)> {
        let found = self.ask(Service::Iam, "GetPolicy", json!({ "PolicyArn": arn })).await?;
        let input = json!({ "PolicyArn": arn, "VersionId": text(&found, "/Policy/DefaultVersionId") });
        let version = self.ask(Service::Iam, "GetPolicyVersion", input).await?;
        let document = policy(text(&version, "/PolicyVersion/Document"));
        Ok((found, document))
    }
}
