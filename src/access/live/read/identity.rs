//! Looks at roles and policies.

use serde_json::{Map, Value, json};

use super::reader::{AccountReader, ReadResult, list, note, note_or_reason, optional, policy, tags, text};
use super::{ResourceState, extra};
use crate::arn::Arn;
use crate::arn::ResourceType;
use crate::aws::AwsService;

/// What has policies, and how they are asked for.
struct IdentityType {
    name: &'static str,
    list: &'static str,
    get: &'static str,
    attached: &'static str,
}

const ROLE: IdentityType = IdentityType {
    name: "RoleName",
    list: "ListRolePolicies",
    get: "GetRolePolicy",
    attached: "ListAttachedRolePolicies",
};
const USER: IdentityType = IdentityType {
    name: "UserName",
    list: "ListUserPolicies",
    get: "GetUserPolicy",
    attached: "ListAttachedUserPolicies",
};
const GROUP: IdentityType = IdentityType {
    name: "GroupName",
    list: "ListGroupPolicies",
    get: "GetGroupPolicy",
    attached: "ListAttachedGroupPolicies",
};

impl AccountReader<'_> {
    pub(super) async fn role(&self, name: &str) -> ReadResult<ResourceState> {
        let role = self.ask(AwsService::Iam, "GetRole", json!({ "RoleName": name })).await?;
        let mut state = self.around(&role, name).await;
        state.insert("trust", policy(text(&role, "/Role/AssumeRolePolicyDocument")));
        let own = optional(self.inline(name, name).await)?;
        note(&mut state, "permissions", own);
        Ok(state)
    }

    pub(super) async fn role_policy(&self, role_name: &str, name: &str) -> ReadResult<ResourceState> {
        let role = self.ask(AwsService::Iam, "GetRole", json!({ "RoleName": role_name })).await?;
        let own = optional(self.inline(role_name, name).await)?;
        let mut state = self.around(&role, name).await;
        note(&mut state, "permissions", own);
        Ok(state)
    }

    pub(super) async fn managed_policy(&self, name: &str) -> ReadResult<ResourceState> {
        let arn = self.place.managed_policy(name).to_string();
        let (found, document) = self.attached(&arn).await?;
        let input = json!({ "PolicyArn": arn });
        let versions = self.iam("ListPolicyVersions", input, "Versions").await?;
        let old = versions.iter().filter(|version| text(version, "/IsDefaultVersion") != "true");
        let mut old: Vec<&str> = old.map(|version| text(version, "/VersionId")).collect();
        old.sort_by_key(|id| {
            std::cmp::Reverse(id.trim_start_matches('v').parse::<u64>().unwrap_or_default())
        });
        Ok(ResourceState::from([
            ("permissions", document),
            (extra::ARN, json!(arn)),
            (extra::VERSIONS, json!(old)),
            (extra::TAGS, tags(list(&found, "/Policy/Tags"), "Key", "Value")),
        ]))
    }

    /// What else there is about a role, beside its policy `own`; what is denied is left out, with the reason.
    async fn around(&self, role: &Value, own: &str) -> ResourceState {
        let name = text(role, "/Role/RoleName");
        let mut state = ResourceState::from([
            (extra::ARN, json!(text(role, "/Role/Arn"))),
            (extra::TAGS, tags(list(role, "/Role/Tags"), "Key", "Value")),
        ]);
        let others = self.policies(&ROLE, name, Some(own)).await;
        note_or_reason(&mut state, extra::OTHERS, others.map(Value::Object));
        self.bound(&mut state, text(role, "/Role/PermissionsBoundary/PermissionsBoundaryArn")).await;
        state
    }

    /// With the boundary of this ARN, if there is one.
    async fn bound(&self, state: &mut ResourceState, boundary: &str) {
        if !boundary.is_empty() {
            state.insert(extra::BOUNDARY_ARN, json!(boundary));
            let document = self.attached(boundary).await.map(|(_, document)| document);
            note_or_reason(state, extra::BOUNDARY, document);
        }
    }

    /// Whoever asks, whose ARN is `arn` as STS gives it; of a role or user, its policies.
    pub(super) async fn itself(&self, arn: &str) -> ReadResult<ResourceState> {
        let own: Option<Arn> = arn.parse().ok();
        let mut state = match own.as_ref().map(Arn::resource_type) {
            Some(ResourceType::Session { role, .. }) => {
                let role = self.ask(AwsService::Iam, "GetRole", json!({ "RoleName": role })).await?;
                self.around(&role, "").await
            }
            Some(ResourceType::User { name, .. }) => self.user(name).await?,
            Some(_) | None => ResourceState::new(),
        };
        state.insert(extra::ARN, json!(arn));
        Ok(state)
    }

    /// The policies of a user, those of its groups too, and its boundary.
    async fn user(&self, name: &str) -> ReadResult<ResourceState> {
        let user = self.ask(AwsService::Iam, "GetUser", json!({ "UserName": name })).await?;
        let mut state = ResourceState::new();
        note_or_reason(&mut state, extra::OTHERS, self.of_user(name).await.map(Value::Object));
        self.bound(&mut state, text(&user, "/User/PermissionsBoundary/PermissionsBoundaryArn")).await;
        Ok(state)
    }

    async fn of_user(&self, name: &str) -> ReadResult<Map<String, Value>> {
        let mut all = self.policies(&USER, name, None).await?;
        let input = json!({ "UserName": name });
        for group in self.iam("ListGroupsForUser", input, "Groups").await? {
            let group = text(&group, "/GroupName");
            let of_group = self.policies(&GROUP, group, None).await?;
            // Two groups may have policies of one name.
            let named =
                |name: String| if name.starts_with("arn:") { name } else { format!("{group}/{name}") };
            all.extend(of_group.into_iter().map(|(name, document)| (named(name), document)));
        }
        Ok(all)
    }

    /// All policies of a role, user or group but one.
    async fn policies(
        &self,
        kind: &IdentityType,
        name: &str,
        but: Option<&str>,
    ) -> ReadResult<Map<String, Value>> {
        let mut all = Map::new();
        let input = || Value::from(Map::from_iter([(kind.name.to_owned(), name.into())]));
        for policy_name in self.iam(kind.list, input(), "PolicyNames").await? {
            let policy_name = policy_name.as_str().unwrap_or_default();
            if Some(policy_name) != but {
                let mut input = input();
                if let Some(input) = input.as_object_mut() {
                    input.insert("PolicyName".to_owned(), policy_name.into());
                }
                let found = self.ask(AwsService::Iam, kind.get, input).await?;
                all.insert(policy_name.to_owned(), policy(text(&found, "/PolicyDocument")));
            }
        }
        for attached in self.iam(kind.attached, input(), "AttachedPolicies").await? {
            let arn = text(&attached, "/PolicyArn");
            let (_, document) = self.attached(arn).await?;
            all.insert(arn.to_owned(), document);
        }
        Ok(all)
    }

    async fn inline(&self, role: &str, name: &str) -> ReadResult<Value> {
        let input = json!({ "RoleName": role, "PolicyName": name });
        let found = self.ask(AwsService::Iam, "GetRolePolicy", input).await?;
        Ok(policy(text(&found, "/PolicyDocument")))
    }

    /// A managed policy, and what its version in force says.
    async fn attached(&self, arn: &str) -> ReadResult<(Value, Value)> {
        let found = self.ask(AwsService::Iam, "GetPolicy", json!({ "PolicyArn": arn })).await?;
        let input = json!({ "PolicyArn": arn, "VersionId": text(&found, "/Policy/DefaultVersionId") });
        let version = self.ask(AwsService::Iam, "GetPolicyVersion", input).await?;
        let document = policy(text(&version, "/PolicyVersion/Document"));
        Ok((found, document))
    }
}
