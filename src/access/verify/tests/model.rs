//! Accounts in memory: what is seen of them when all is as a plan wants it, and what AWS makes of calls.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds of resources few are meant at a time")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::access::live::{
    AccountAccess, NOTIFICATION_ID, Observation, ObservedState, Prerequisite, ResourceState, desired, extra,
    prerequisites,
};
use crate::access::plan::{AccessPlan, PlannedResource, ResourceKind, SubscriptionFilter, plan};
use crate::access::policy::{self, PolicyDocument};
use crate::aws::{ApiCall, AwsService};
use crate::config::topology::{self, Topology};

/// Accounts, as they are seen.
pub(super) struct Model {
    pub(super) topology: Topology,
    pub(super) plan: AccessPlan,
    pub(super) seen: ObservedState,
    answers: BTreeMap<&'static str, Value>,
}

impl Model {
    /// All is as the plan of this topology wants it.
    pub(super) fn perfect(name: &str) -> Self {
        let file =
            if name == "sample" { "config/topology".to_owned() } else { format!("tests/access/{name}") };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{file}.toml"));
        let topology = topology::load(&path, &BTreeMap::new()).unwrap();
        let plan = plan(&topology).unwrap();
        let mut seen = ObservedState::default();
        for account in &topology.accounts {
            let arn = format!("arn:aws:sts::{}:assumed-role/admin/me", account.place.account);
            seen.accounts.insert(account.name.clone(), AccountAccess::As(arn));
        }
        let mut model = Self { topology, plan, seen, answers: BTreeMap::new() };
        for stage in model.plan.stages.clone() {
            for resource in &stage.resources {
                let state = model.made(&stage.account.name, resource);
                model.put(&stage.account.name, &resource.id, state);
            }
        }
        for (account, what) in prerequisites(&model.topology) {
            let state = model.there(&account.name, &what);
            model.put(&account.name, &what.id(), state);
        }
        model
    }

    fn put(&mut self, account: &str, id: &str, state: ResourceState) {
        self.seen.resources.insert((account.to_owned(), id.to_owned()), Observation::Found(state));
    }

    /// A resource as its calls make it.
    pub(super) fn made(&self, account: &str, resource: &PlannedResource) -> ResourceState {
        let mut state = desired(resource);
        match &resource.kind {
            ResourceKind::Key { alias, .. } => {
                let place = &self.account(account).place;
                state.insert(extra::ARN, json!(place.key(&alias.replace("alias/", "id-of-")).to_string()));
            }
            ResourceKind::DeliveryStream(_) => {
                state.insert(extra::SOURCE, json!("DirectPut"));
                state.insert(extra::DECOMPRESSES, json!(false));
            }
            ResourceKind::DataStream { name, .. } => {
                let arn = self.account(account).place.stream(name);
                state.extend([("policy", Value::Null), (extra::ARN, json!(arn.to_string()))]);
            }
            ResourceKind::Role { .. } | ResourceKind::RolePolicy { .. } => {
                drop(state.insert(extra::OTHERS, json!({})));
            }
            _ => {}
        }
        state
    }

    pub(super) fn account(&self, name: &str) -> &topology::AwsAccount {
        self.topology.accounts.iter().find(|account| account.name == name).unwrap()
    }

    pub(super) fn resources(&self, account: &str) -> impl Iterator<Item = &PlannedResource> {
        let stages = self.plan.stages.iter().filter(move |stage| stage.account.name == account);
        stages.flat_map(|stage| &stage.resources)
    }

    pub(super) fn filters(&self, account: &str) -> impl Iterator<Item = &SubscriptionFilter> {
        self.resources(account).filter_map(|resource| match &resource.kind {
            ResourceKind::Filter(filter) => Some(filter),
            _ => None,
        })
    }

    /// What was seen of something that is there.
    #[track_caller]
    pub(super) fn state(&mut self, account: &str, id: &str) -> &mut ResourceState {
        match self.seen.resources.get_mut(&(account.to_owned(), id.to_owned())) {
            Some(Observation::Found(state)) => state,
            other => panic!("{id} of {account}: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn prerequisite(&mut self, account: &str, what: &Prerequisite) -> &mut ResourceState {
        self.state(account, &what.id())
    }

    /// Takes something away, and what goes with it.
    #[track_caller]
    pub(super) fn lose(&mut self, account: &str, id: &str) {
        let look = self.seen.resources.get_mut(&(account.to_owned(), id.to_owned()));
        *look.unwrap_or_else(|| panic!("{id} of {account}")) = Observation::Absent;
        let kind = self.resources(account).find(|resource| resource.id == id).unwrap().kind.clone();
        match kind {
            ResourceKind::Filter(filter) => {
                let state = self.prerequisite(account, &Prerequisite::LogGroup(filter.group));
                state.get_mut(extra::FILTERS).unwrap().as_object_mut().unwrap().remove(&filter.name);
            }
            ResourceKind::LogsPolicy { name, .. } => drop(self.logs_policies(account).remove(&name)),
            _ => {}
        }
    }

    pub(super) fn logs_policies(&mut self, account: &str) -> &mut serde_json::Map<String, Value> {
        let state = self.prerequisite(account, &Prerequisite::LogsPolicies);
        state.get_mut(extra::OTHERS).unwrap().as_object_mut().unwrap()
    }

    /// Makes a call as the account's administrator, as AWS would.
    #[track_caller]
    pub(super) fn run(&mut self, account: &str, call: &ApiCall) {
        let tell = |operation: &str, pointer: &str| {
            let answer = self.answers.get(operation)?.pointer(pointer)?;
            Some(answer.as_str()?.to_owned())
        };
        let call =
            call.filled(&tell).unwrap_or_else(|| panic!("{call}: an answer is missing: {}", call.input));
        let answer = match call.service {
            AwsService::Iam => self.iam(account, &call),
            AwsService::Kms => self.kms(account, &call),
            AwsService::S3 => self.s3(account, &call),
            AwsService::Sqs => self.sqs(account, &call),
            AwsService::Logs => self.logs(account, &call),
            AwsService::Firehose | AwsService::Kinesis | AwsService::DynamoDb => self.stream(account, &call),
            AwsService::CloudWatch | AwsService::Sts => panic!("{call} fixes nothing"),
        };
        self.answers.insert(call.operation, answer);
    }

    /// The id of the resource of an account that `is`.
    fn id(&self, account: &str, is: impl Fn(&ResourceKind) -> bool) -> Option<String> {
        self.resources(account).find(|resource| is(&resource.kind)).map(|resource| resource.id.clone())
    }

    /// Makes a resource of the plan with nothing but what creation sets.
    #[track_caller]
    fn create(&mut self, account: &str, aspects: &[&str], is: impl Fn(&ResourceKind) -> bool) {
        let id = self.id(account, is).unwrap();
        let look = self.seen.resources.get(&(account.to_owned(), id.clone()));
        assert_eq!(look, Some(&Observation::Absent), "{id} of {account} is there already");
        let resource = self.resources(account).find(|resource| resource.id == id).unwrap().clone();
        let mut state = self.made(account, &resource);
        state.retain(|aspect, _| aspects.contains(aspect));
        self.put(account, &id, state);
    }

    fn iam(&mut self, account: &str, call: &ApiCall) -> Value {
        let input = &call.input;
        let role = text(input, "RoleName");
        let is_role = |kind: &ResourceKind| matches!(kind, ResourceKind::Role { name, .. } if *name == role);
        match call.operation {
            "CreateRole" => {
                self.create(account, &[extra::OTHERS], is_role);
                let id = self.id(account, is_role).unwrap();
                let trust = document(input, "AssumeRolePolicyDocument", policy::PolicyUse::Trust, 2_048);
                self.state(account, &id).insert("trust", trust);
            }
            "UpdateAssumeRolePolicy" => {
                let id = self.id(account, is_role).unwrap();
                let trust = document(input, "PolicyDocument", policy::PolicyUse::Trust, 2_048);
                self.state(account, &id).insert("trust", trust);
            }
            "PutRolePolicy" => {
                let policy = document(input, "PolicyDocument", policy::PolicyUse::Identity, 10_240);
                self.role_policy(account, &role, &text(input, "PolicyName"), Some(policy));
            }
            "PutUserPolicy" => {
                let policy = document(input, "PolicyDocument", policy::PolicyUse::Identity, 2_048);
                let state = self.prerequisite(account, &Prerequisite::Caller);
                assert!(
                    state[extra::ARN]
                        .as_str()
                        .unwrap()
                        .ends_with(&format!("user/{}", text(input, "UserName")))
                );
                let others = state.get_mut(extra::OTHERS).unwrap().as_object_mut().unwrap();
                others.insert(text(input, "PolicyName"), policy);
            }
            "DeleteRolePolicy" => self.role_policy(account, &role, &text(input, "PolicyName"), None),
            "DetachRolePolicy" => self.role_policy(account, &role, &text(input, "PolicyArn"), None),
            "CreatePolicy" => {
                let name = text(input, "PolicyName");
                let is = |kind: &ResourceKind| matches!(kind, ResourceKind::ManagedPolicy { name: own, .. } if *own == name);
                self.create(account, &["permissions"], is);
            }
            "CreatePolicyVersion" => self.policy_version(account, input),
            other => panic!("{other}"),
        }
        json!({})
    }

    /// Puts or takes a policy of a role: the plan's own, or one of the others.
    fn role_policy(&mut self, account: &str, role: &str, name: &str, policy: Option<Value>) {
        let is_own = |kind: &ResourceKind| match kind {
            ResourceKind::Role { name: own, .. } => own == role && own == name,
            ResourceKind::RolePolicy { role: own, name: own_name, .. } => own == role && own_name == name,
            _ => false,
        };
        let is_of = |kind: &ResourceKind| matches!(kind, ResourceKind::Role { name: own, .. } | ResourceKind::RolePolicy { role: own, .. } if own == role);
        if let Some(id) = self.id(account, is_own) {
            let policy = policy.expect("the plan's own policy is not taken away");
            let at = (account.to_owned(), id.clone());
            if self.seen.resources.get(&at) == Some(&Observation::Absent) {
                self.put(account, &id, ResourceState::new());
            }
            self.state(account, &id).insert("permissions", policy);
            return;
        }
        let id = self.id(account, is_of).unwrap_or_else(|| Prerequisite::Caller.id());
        let others = self.state(account, &id).get_mut(extra::OTHERS).unwrap().as_object_mut().unwrap();
        match policy {
            Some(policy) => drop(others.insert(name.to_owned(), policy)),
            None => drop(others.remove(name).expect("NoSuchEntity")),
        }
    }

    fn policy_version(&mut self, account: &str, input: &Value) {
        let arn = text(input, "PolicyArn");
        let policy = document(input, "PolicyDocument", policy::PolicyUse::Identity, 6_144);
        let name = arn.rsplit('/').next().unwrap().to_owned();
        let is = |kind: &ResourceKind| matches!(kind, ResourceKind::ManagedPolicy { name: own, .. } if *own == name);
        if let Some(id) = self.id(account, is) {
            self.state(account, &id).insert("permissions", policy);
            return;
        }
        let mut is_boundary = false;
        for ((of, _), look) in &mut self.seen.resources {
            let Observation::Found(state) = look else { continue };
            if of == account && state.get(extra::BOUNDARY_ARN) == Some(&json!(arn)) {
                state.insert(extra::BOUNDARY, policy.clone());
                is_boundary = true;
            }
        }
        assert!(is_boundary, "NoSuchEntity: {arn}");
    }

    fn kms(&mut self, account: &str, call: &ApiCall) -> Value {
        let name = text(&call.input, "KeyId");
        if call.operation == "CreateKey" {
            let alias = text(&call.input, "Description");
            let is =
                |kind: &ResourceKind| matches!(kind, ResourceKind::Key { alias: own, .. } if *own == alias);
            document(&call.input, "Policy", policy::PolicyUse::Resource, 32_768);
            self.create(account, &["state", "policy", extra::ARN], is);
            return json!({ "KeyMetadata": { "KeyId": alias.replace("alias/", "id-of-") } });
        }
        if matches!(call.operation, "CreateAlias" | "EnableKeyRotation") {
            return json!({});
        }
        let is_named = |state: &ResourceState| {
            let arn = state.get(extra::ARN).and_then(Value::as_str).unwrap_or_default();
            arn == name
                || arn.ends_with(&format!("key/{name}"))
                || name.replace("alias/", "key/id-of-") == arn
        };
        let key = self.seen.resources.iter_mut().find_map(|((of, _), look)| match look {
            Observation::Found(state) if of == account && is_named(state) => Some(state),
            _ => None,
        });
        let key = key.unwrap_or_else(|| panic!("NotFoundException: {name}"));
        let state = text_of(key, "state");
        match call.operation {
            "DescribeKey" => return json!({ "KeyMetadata": { "Arn": key.get(extra::ARN) } }),
            "PutKeyPolicy" => {
                let policy = document(&call.input, "Policy", policy::PolicyUse::Resource, 32_768);
                key.insert("policy", policy);
            }
            "EnableKey" => {
                assert_ne!(state, "PendingDeletion", "KMSInvalidStateException");
                key.insert("state", json!("Enabled"));
            }
            "CancelKeyDeletion" => {
                assert_eq!(state, "PendingDeletion", "KMSInvalidStateException");
                key.insert("state", json!("Disabled"));
            }
            other => panic!("{other}"),
        }
        json!({})
    }

    fn s3(&mut self, account: &str, call: &ApiCall) -> Value {
        let bucket = text(&call.input, "Bucket");
        let is_told = call.operation == "PutBucketNotificationConfiguration";
        let is = |kind: &ResourceKind| match kind {
            ResourceKind::Bucket { name, .. } => *name == bucket,
            ResourceKind::Notification { bucket: name, .. } => *name == bucket && is_told,
            _ => false,
        };
        if call.operation == "CreateBucket" {
            let region = &self.account(account).place.region;
            let constraint = call.input.pointer("/CreateBucketConfiguration/LocationConstraint");
            let expected = (region != "us-east-1").then(|| json!(region));
            assert_eq!(constraint, expected.as_ref(), "IllegalLocationConstraintException");
            self.create(account, &[], is);
            return json!({});
        }
        let id = self.id(account, is).unwrap_or_else(|| Prerequisite::Bucket(bucket.clone()).id());
        let input = call.input.clone();
        let state = self.state(account, &id);
        let (aspect, value) = match call.operation {
            "PutBucketTagging" => return json!({}),
            "PutPublicAccessBlock" => ("publicAccessBlock", json!(true)),
            "PutBucketOwnershipControls" => {
                ("ownership", input.pointer("/OwnershipControls/Rules/0/ObjectOwnership").unwrap().clone())
            }
            "PutBucketEncryption" => {
                let default = "/ServerSideEncryptionConfiguration/Rules/0/ApplyServerSideEncryptionByDefault";
                let arn = input.pointer(&format!("{default}/KMSMasterKeyID")).and_then(Value::as_str);
                let alias = arn.map(|arn| arn.split("key/id-of-").last().unwrap().to_owned());
                ("kmsKey", alias.map_or(Value::Null, |name| json!(format!("alias/{name}"))))
            }
            "PutBucketPolicy" => ("policy", document(&input, "Policy", policy::PolicyUse::Resource, 20_480)),
            "DeleteBucketPolicy" => ("policy", Value::Null),
            "PutBucketNotificationConfiguration" => {
                let all = input.pointer("/NotificationConfiguration/QueueConfigurations").unwrap();
                let own = all.as_array().unwrap().iter().find(|it| it["Id"] == NOTIFICATION_ID).unwrap();
                let prefix = own.pointer("/Filter/Key/FilterRules/0/Value").cloned().unwrap_or(json!(""));
                let told = json!({ "queue": own["QueueArn"], "events": own["Events"], "prefix": prefix });
                ("notification", told)
            }
            other => panic!("{other}"),
        };
        state.insert(aspect, value);
        json!({})
    }

    fn sqs(&mut self, account: &str, call: &ApiCall) -> Value {
        let input = &call.input;
        let named = |queue: String| move |kind: &ResourceKind| matches!(kind, ResourceKind::Queue { name, .. } if *name == queue);
        match call.operation {
            "GetQueueUrl" => {
                return json!({ "QueueUrl": format!("https://sqs/{}", text(input, "QueueName")) });
            }
            "CreateQueue" => {
                let all = ["policy", "messageRetentionPeriod", "visibilityTimeout"];
                self.create(account, &all, named(text(input, "QueueName")));
            }
            "SetQueueAttributes" => {
                let queue = text(input, "QueueUrl").rsplit('/').next().unwrap().to_owned();
                let id = self.id(account, named(queue)).unwrap();
                let policy = input.pointer("/Attributes").unwrap();
                let policy = document(policy, "Policy", policy::PolicyUse::Resource, usize::MAX);
                self.state(account, &id).insert("policy", policy);
            }
            other => panic!("{other}"),
        }
        json!({})
    }
}

pub(super) fn text(input: &Value, key: &str) -> String {
    input.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn text_of(state: &ResourceState, aspect: &str) -> String {
    state.get(aspect).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A document of an input, if AWS would take it.
#[track_caller]
pub(super) fn document(input: &Value, key: &str, kind: policy::PolicyUse, most: usize) -> Value {
    let text = text(input, key);
    assert!(text.len() <= most, "LimitExceededException: {} of {most}", text.len());
    let parsed: PolicyDocument =
        text.parse().unwrap_or_else(|error| panic!("MalformedPolicyDocument: {error}"));
    assert!(!parsed.statements.is_empty(), "MalformedPolicyDocument: no statement");
    assert_eq!(parsed.misfits(kind), [], "MalformedPolicyDocument");
    serde_json::from_str(&text).unwrap()
}
