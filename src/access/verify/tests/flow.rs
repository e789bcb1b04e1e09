//! What AWS makes of the calls for log groups, destinations, filters, streams and tables.

use serde_json::{Value, json};

use super::model::{Model, document, text};
use crate::access::live::{Observation, Prerequisite, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::{self, RequestPrincipal};
use crate::access::verify::permission::{
    PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, context,
};
use crate::arn::Arn;
use crate::aws::ApiCall;

impl Model {
    pub(super) fn logs(&mut self, account: &str, call: &ApiCall) -> Value {
        let input = &call.input;
        match call.operation {
            "TagResource" | "PutRetentionPolicy" | "AssociateKmsKey" | "CreateLogStream" => {}
            "CreateLogGroup" => {
                let id = Prerequisite::LogGroup(text(input, "logGroupName")).id();
                let look = self.seen.resources.get_mut(&(account.to_owned(), id)).unwrap();
                assert_eq!(*look, Observation::Absent, "ResourceAlreadyExistsException");
                *look = Observation::Found([(extra::FILTERS, json!({}))].into());
            }
            "PutDestination" => self.destination(account, input),
            "PutDestinationPolicy" => {
                let id = self.known(account, |kind| matches!(kind, ResourceKind::Destination { .. }));
                let policy = document(input, "accessPolicy", policy::PolicyUse::Resource, 5_120);
                self.state(account, &id).insert("policy", policy);
            }
            "PutResourcePolicy" => self.resource_policy(account, input),
            "DeleteResourcePolicy" => {
                self.logs_policies(account)
                    .remove(&text(input, "policyName"))
                    .expect("ResourceNotFoundException");
            }
            "PutSubscriptionFilter" => self.filter(account, input),
            "DeleteSubscriptionFilter" => {
                let group = Prerequisite::LogGroup(text(input, "logGroupName"));
                let filters = self.prerequisite(account, &group).get_mut(extra::FILTERS).unwrap();
                let filters = filters.as_object_mut().unwrap();
                filters.remove(&text(input, "filterName")).expect("ResourceNotFoundException");
            }
            "PutAccountPolicy" => {
                let id = self.known(account, |kind| matches!(kind, ResourceKind::AccountFilter { .. }));
                let policy: Value = serde_json::from_str(&text(input, "policyDocument")).unwrap();
                let state = [
                    ("pattern", policy["FilterPattern"].clone()),
                    ("destination", policy["DestinationArn"].clone()),
                    ("role", policy["RoleArn"].clone()),
                    ("selection", input["selectionCriteria"].clone()),
                ];
                self.seen.resources.insert((account.to_owned(), id), Observation::Found(state.into()));
            }
            other => panic!("{other}"),
        }
        json!({})
    }

    fn known(&self, account: &str, is: impl Fn(&ResourceKind) -> bool) -> String {
        self.resources(account).find(|resource| is(&resource.kind)).unwrap().id.clone()
    }

    /// Needs a role that is there and may be passed, and a target that takes a message.
    fn destination(&mut self, account: &str, input: &Value) {
        let (role, target) = (text(input, "roleArn"), text(input, "targetArn"));
        self.passes(account, &role);
        let name = role.rsplit('/').next().unwrap().to_owned();
        let role_id =
            self.known(account, |kind| matches!(kind, ResourceKind::Role { name: own, .. } if *own == name));
        assert!(self.state(account, &role_id).contains_key("trust"), "Could not deliver test message");
        let id = self.known(account, |kind| matches!(kind, ResourceKind::Destination { .. }));
        let at = (account.to_owned(), id);
        let look = self.seen.resources.get_mut(&at).unwrap();
        if *look == Observation::Absent {
            *look = Observation::Found(crate::access::live::ResourceState::new());
        }
        let Observation::Found(state) = look else { panic!("{look:?}") };
        state.extend([("target", json!(target)), ("role", json!(role))]);
    }

    /// Whoever calls has to be allowed to pass a role.
    fn passes(&mut self, account: &str, role: &str) {
        let state = self.prerequisite(account, &Prerequisite::Caller).clone();
        let owner = self.account(account);
        let arn: Arn = state[extra::ARN].as_str().unwrap().parse().unwrap();
        let holder = match RequestPrincipal::from_arn(&arn) {
            Some(RequestPrincipal::Session { role, .. }) => PolicyHolder::new(owner, role, Some(&state)),
            Some(RequestPrincipal::User(user)) => PolicyHolder::user(owner, user, &state),
            other => panic!("{other:?}"),
        };
        let ask = PermissionCheck {
            caller: holder.caller.clone(),
            action: "iam:PassRole",
            resource: role.to_owned(),
            owner: owner.place.account.clone(),
            context: context(),
            holder: Some(&holder),
            of: TargetPolicies::Optional(PolicySources::none()),
        };
        assert!(ask.answer().is_allowed(), "AccessDeniedException: {}", ask.answer());
    }

    fn resource_policy(&mut self, account: &str, input: &Value) {
        if let Some(arn) = input.get("resourceArn") {
            let policy = document(input, "policyDocument", policy::PolicyUse::Resource, 51_200);
            let group = arn.as_str().unwrap().split(":log-group:").last().unwrap().to_owned();
            self.prerequisite(account, &Prerequisite::LogGroup(group)).insert("policy", policy);
            return;
        }
        let policy = document(input, "policyDocument", policy::PolicyUse::Resource, 5_120);
        let policies = self.logs_policies(account);
        policies.insert(text(input, "policyName"), policy);
        assert!(policies.len() <= 10, "LimitExceededException: {} policies", policies.len());
    }

    /// Needs its log group, room in it, and a destination of the same region.
    fn filter(&mut self, account: &str, input: &Value) {
        let (group, name) = (text(input, "logGroupName"), text(input, "filterName"));
        let to = text(input, "destinationArn");
        let region = self.account(account).place.region.clone();
        assert_eq!(to.parse::<Arn>().unwrap().region, region, "InvalidParameterException");
        if let Some(role) = input.get("roleArn") {
            self.passes(account, role.as_str().unwrap());
        }
        let id = self.known(
            account,
            |kind| matches!(kind, ResourceKind::Filter(filter) if filter.group == group && filter.name == name),
        );
        let state = self.prerequisite(account, &Prerequisite::LogGroup(group));
        let filters = state.get_mut(extra::FILTERS).unwrap().as_object_mut().unwrap();
        filters.insert(name, json!(to));
        assert!(filters.len() <= 2, "LimitExceededException");
        let state = [
            ("pattern", input["filterPattern"].clone()),
            ("destination", json!(to)),
            ("role", input["roleArn"].clone()),
        ];
        self.seen.resources.insert((account.to_owned(), id), Observation::Found(state.into()));
    }

    pub(super) fn stream(&mut self, account: &str, call: &ApiCall) -> Value {
        let input = &call.input;
        let id = |model: &Self, is: fn(&ResourceKind) -> bool| model.known(account, is);
        let firehose: fn(&ResourceKind) -> bool = |kind| matches!(kind, ResourceKind::DeliveryStream(_));
        let kinesis: fn(&ResourceKind) -> bool = |kind| matches!(kind, ResourceKind::DataStream { .. });
        let table: fn(&ResourceKind) -> bool = |kind| matches!(kind, ResourceKind::LeaseTable { .. });
        match call.operation {
            "DescribeDeliveryStream" => {
                let one = json!([{ "DestinationId": "destinationId-1" }]);
                return json!({ "DeliveryStreamDescription": { "VersionId": "7", "Destinations": one } });
            }
            "CreateDeliveryStream" => self.whole(account, firehose),
            "DeleteDeliveryStream" => {
                let id = id(self, firehose);
                self.lose(account, &id);
            }
            "UpdateDestination" => {
                assert_eq!(text(input, "CurrentDeliveryStreamVersionId"), "7");
                let id = id(self, firehose);
                let update = input["ExtendedS3DestinationUpdate"].clone();
                let state = self.state(account, &id);
                for (key, aspect) in [("RoleARN", "role"), ("BucketARN", "bucket"), ("Prefix", "prefix")] {
                    state.extend(update.get(key).map(|value| (aspect, value.clone())));
                }
                if update.get("ProcessingConfiguration").is_some() {
                    state.insert(extra::DECOMPRESSES, json!(false));
                }
            }
            "CreateStream" => self.whole(account, kinesis),
            "DeleteResourcePolicy" => {
                let id = id(self, kinesis);
                self.set(account, &id, "policy", Value::Null);
            }
            "PutResourcePolicy" => {
                let id = id(self, kinesis);
                let policy = document(input, "Policy", policy::PolicyUse::Resource, 20_480);
                self.set(account, &id, "policy", policy);
            }
            "AddTagsToStream" | "StartStreamEncryption" => {}
            "CreateTable" => self.whole(account, table),
            other => panic!("{other}"),
        }
        json!({})
    }

    /// Makes a resource at once: waiting is not played.
    fn whole(&mut self, account: &str, is: fn(&ResourceKind) -> bool) {
        let resource = self.resources(account).find(|resource| is(&resource.kind)).unwrap().clone();
        let state = self.made(account, &resource);
        let at = (account.to_owned(), resource.id);
        assert_eq!(self.seen.resources.get(&at), Some(&Observation::Absent), "ResourceInUseException");
        self.seen.resources.insert(at, Observation::Found(state));
    }
}
