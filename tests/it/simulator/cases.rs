//! A case for two judges: what each is asked.

use serde_json::{Map, Value, json};
use standpipe::access::policy::{
    AccessRequest, ApplicablePolicies, LimitingPolicies, NamedPolicy, PolicyDocument, RequestContext,
    RequestPrincipal, ResourcePolicies,
};

use super::vocabulary::{HOME, ResourceSide};

/// One case. Each side is a list of statements; none is no policy.
pub(super) struct SimulatedCase {
    pub(super) caller: &'static str,
    pub(super) action: &'static str,
    pub(super) resource: String,
    pub(super) owner: &'static str,
    pub(super) context: Map<String, Value>,
    pub(super) has: ResourceSide,
    pub(super) identity: Vec<Value>,
    pub(super) on_resource: Vec<Value>,
    pub(super) boundary: Vec<Value>,
    pub(super) session: Vec<Value>,
    pub(super) service_control: Vec<Value>,
    pub(super) resource_control: Vec<Value>,
}

fn document(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Organizations allow everything unless they say otherwise.
fn everything(principal: bool) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    if principal {
        statement["Principal"] = json!("*");
    }
    statement
}

impl SimulatedCase {
    /// The keys that each request of the caller carries, which the simulator does not know by itself.
    pub(super) fn own_keys(&self) -> Vec<(&'static str, String)> {
        let name = self.caller.rsplit('/').next().unwrap_or_default().to_owned();
        let mut keys = vec![("aws:ResourceAccount", self.owner.to_owned())];
        let (kind, arn) = if self.caller.contains(":user/") {
            keys.push(("aws:username", name));
            ("User", self.caller.to_owned())
        } else if self.caller.contains(":assumed-role/") {
            ("AssumedRole", "arn:aws:iam::111111111111:role/agent".to_owned())
        } else if self.caller.contains(":federated-user/") {
            ("FederatedUser", self.caller.to_owned())
        } else {
            keys.push(("aws:PrincipalIsAWSService", "true".to_owned()));
            keys.push(("aws:PrincipalServiceName", self.caller.to_owned()));
            return keys;
        };
        keys.extend([
            ("aws:PrincipalArn", arn),
            ("aws:PrincipalAccount", HOME.to_owned()),
            ("aws:PrincipalType", kind.to_owned()),
            ("aws:PrincipalIsAWSService", "false".to_owned()),
        ]);
        keys
    }

    /// As the simulator takes it.
    pub(super) fn simulation(&self) -> Value {
        let named = |statements: &[Value]| json!([{"name": "it", "policy": document(statements)}]);
        let control = |statements: &[Value], default: Option<Value>| {
            let all: Vec<Value> = statements.iter().cloned().chain(default).collect();
            json!([{"orgIdentifier": "ou-1", "policies": named(&all)}])
        };
        let mut context = self.context.clone();
        context.extend(self.own_keys().into_iter().map(|(key, value)| (key.to_owned(), value.into())));
        let mut simulation = json!({
            "request": {
                "principal": self.caller,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": self.owner},
                "contextVariables": context,
            },
            "identityPolicies": if self.identity.is_empty() { json!([]) } else { named(&self.identity) },
            "serviceControlPolicies": control(&self.service_control, self.service_control.is_empty().then(|| everything(false))),
            // That which allows everything is always there.
            "resourceControlPolicies": if self.resource_control.is_empty() {
                json!([{"orgIdentifier": "ou-1", "policies": []}])
            } else {
                control(&self.resource_control, None)
            },
        });
        if !self.on_resource.is_empty() {
            simulation["resourcePolicy"] = document(&self.on_resource);
        }
        if !self.boundary.is_empty() {
            simulation["permissionBoundaryPolicies"] = named(&self.boundary);
        }
        if !self.session.is_empty() {
            simulation["sessionPolicy"] = document(&self.session);
        }
        simulation
    }

    /// As `access verify` asks.
    pub(super) fn question(&self) -> (AccessRequest, ApplicablePolicies) {
        let caller = if self.caller.starts_with("arn:") {
            RequestPrincipal::from_arn(&self.caller.parse().unwrap()).unwrap()
        } else {
            RequestPrincipal::Service { names: vec![self.caller.to_owned()] }
        };
        let mut context = RequestContext::default();
        for (key, value) in &self.context {
            let values: Vec<String> = match value.as_array() {
                Some(values) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
                None => value.as_str().map(str::to_owned).into_iter().collect(),
            };
            context = context.with(key, values);
        }
        let request = AccessRequest {
            caller,
            action: self.action.to_owned(),
            resource: self.resource.clone(),
            owner: self.owner.to_owned(),
            context,
        };
        let seen = |statements: &[Value]| {
            if statements.is_empty() { Vec::new() } else { vec![named(statements)] }
        };
        let limit = |statements: &[Value]| match statements {
            [] => LimitingPolicies::Absent,
            _ => LimitingPolicies::Seen(vec![named(statements)]),
        };
        let mut resource_control = self.resource_control.clone();
        resource_control.push(everything(true));
        let policies = ApplicablePolicies {
            identity: Some(seen(&self.identity)),
            resource: match self.has {
                ResourceSide::Enough => ResourcePolicies::Optional(Some(seen(&self.on_resource))),
                ResourceSide::Needed => ResourcePolicies::Required(Some(seen(&self.on_resource))),
                ResourceSide::None => ResourcePolicies::Unsupported,
            },
            boundary: limit(&self.boundary),
            session: limit(&self.session),
            service_control: limit(&self.service_control),
            resource_control: limit(&resource_control),
        };
        (request, policies)
    }
}

fn named(statements: &[Value]) -> NamedPolicy {
    let document: PolicyDocument = document(statements).to_string().parse().unwrap();
    NamedPolicy::new("it", document)
}
