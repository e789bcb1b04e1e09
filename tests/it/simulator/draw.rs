//! Draws cases: policies of every kind that come near to a request.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::cases::SimulatedCase;
use super::vocabulary::{CALLERS, HOME, KEYS, Key, KeyKind, OTHER, ResourceSide, TARGETS};

/// So many cases, always the same of one seed.
pub(super) fn drawn(seed: u64, count: usize) -> Vec<SimulatedCase> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|_| Draw { rng: &mut rng }.case()).collect()
}

struct Draw<'r> {
    rng: &'r mut Rng,
}

impl Draw<'_> {
    fn in_hundred(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.rng.usize(0..of.len())]
    }

    fn case(&mut self) -> SimulatedCase {
        let target = &TARGETS[self.rng.usize(0..TARGETS.len())];
        let caller = self.one(&CALLERS);
        let owner = if self.in_hundred(60) { HOME } else { OTHER };
        let mut case = SimulatedCase {
            caller,
            action: target.action,
            resource: target.resource.replace('@', owner),
            owner,
            context: self.context(),
            has: target.has,
            identity: Vec::new(),
            on_resource: Vec::new(),
            boundary: Vec::new(),
            session: Vec::new(),
            service_control: Vec::new(),
            resource_control: Vec::new(),
        };
        let is_service = caller.ends_with(".amazonaws.com");
        if !is_service {
            case.identity = self.statements(&case, PolicySide::Identity, 90);
            case.boundary = self.statements(&case, PolicySide::Identity, 20);
            case.service_control = self.statements(&case, PolicySide::ServiceControl, 20);
        }
        if caller.starts_with("arn:aws:sts:") {
            case.session = self.statements(&case, PolicySide::Identity, 25);
        }
        match case.has {
            ResourceSide::Enough => case.on_resource = self.statements(&case, PolicySide::Resource, 75),
            ResourceSide::Needed => case.on_resource = self.statements(&case, PolicySide::Resource, 100),
            ResourceSide::None => {}
        }
        if case.action.starts_with("s3:")
            || case.action.starts_with("sqs:")
            || case.action.starts_with("kms:")
        {
            case.resource_control = self.statements(&case, PolicySide::ResourceControl, 15);
        }
        case
    }

    fn context(&mut self) -> Map<String, Value> {
        let mut context = Map::new();
        for key in &KEYS {
            if !self.in_hundred(60) {
                continue;
            }
            let value = if key.several {
                let count = self.rng.usize(1..=key.found.len());
                json!(&key.found[..count])
            } else {
                json!(self.one(key.found))
            };
            context.insert(key.name.to_owned(), value);
        }
        context
    }

    /// Some statements of one side; in so many of a hundred cases.
    fn statements(&mut self, case: &SimulatedCase, side: PolicySide, percent: u32) -> Vec<Value> {
        if !self.in_hundred(percent) {
            return Vec::new();
        }
        (0..self.rng.usize(1..=3)).map(|_| self.statement(case, side)).collect()
    }

    fn statement(&mut self, case: &SimulatedCase, side: PolicySide) -> Value {
        let denies = side == PolicySide::ResourceControl || self.in_hundred(18);
        let mut statement =
            Map::from_iter([("Effect".to_owned(), json!(if denies { "Deny" } else { "Allow" }))]);
        // One that denies all that is asked for would leave nothing to decide.
        let about = if denies { 40 } else { 80 };
        let is_trust = side == PolicySide::Resource && case.action == "sts:AssumeRole";
        let negated = side == PolicySide::Identity || side == PolicySide::Resource && !is_trust;
        let action = self.action(case, about, side);
        let key = if negated && self.in_hundred(8) { "NotAction" } else { "Action" };
        statement.insert(key.to_owned(), action);
        if !is_trust {
            let resource = self.resources(case, about);
            let key = if negated && self.in_hundred(8) { "NotResource" } else { "Resource" };
            statement.insert(key.to_owned(), resource);
        }
        match side {
            PolicySide::Resource => {
                statement.insert("Principal".to_owned(), self.principal(case));
            }
            PolicySide::ResourceControl => {
                statement.insert("Principal".to_owned(), json!("*"));
            }
            PolicySide::Identity | PolicySide::ServiceControl => {}
        }
        let conditions = self.conditions();
        if !conditions.is_empty() {
            statement.insert("Condition".to_owned(), conditions.into());
        }
        statement.into()
    }

    fn action(&mut self, case: &SimulatedCase, about: u32, side: PolicySide) -> Value {
        let (service, name) = case.action.split_once(':').unwrap();
        let prefix = &name[..3];
        let meant = [
            case.action.to_owned(),
            format!("{service}:*"),
            format!("{service}:{prefix}*"),
            format!("{service}:?{}", &name[1..]),
            format!("{service}:{}", name.to_uppercase()),
        ];
        let other = [format!("{service}:{prefix}"), format!("{service}:Tag*"), "iam:Get*".to_owned()];
        let is_meant = self.in_hundred(about);
        let pick = |rng: &mut Rng, of: &[String]| of[rng.usize(0..of.len())].clone();
        let first = if is_meant { pick(self.rng, &meant) } else { pick(self.rng, &other) };
        if side == PolicySide::ResourceControl {
            // They name one service a statement here: those of others are refused.
            return json!(if first.starts_with("iam:") { format!("{service}:Tag*") } else { first });
        }
        match self.rng.u32(0..10) {
            0 => json!("*"),
            1 | 2 => json!([first, pick(self.rng, &other)]),
            _ => json!(first),
        }
    }

    fn resources(&mut self, case: &SimulatedCase, about: u32) -> Value {
        let own = case.resource.as_str();
        let front = &own[..own.len() - 2];
        let mut meant = vec![
            "*".to_owned(),
            own.to_owned(),
            format!("{front}*"),
            format!("{front}??"),
            format!("{front}?*"),
        ];
        if let Some((bucket, _)) = own.split_once('/') {
            meant.push(format!("{bucket}/*"));
            meant.push(format!("{bucket}/${{aws:PrincipalTag/team}}*"));
        }
        if let Some(rest) = own.strip_prefix("arn:aws:").filter(|_| own.contains("us-east-1")) {
            meant.push(format!("arn:*:{rest}"));
            meant.push(own.replace("us-east-1", "*"));
            meant.push(own.replace(case.owner, "*"));
            meant.push(own.replace(case.owner, "${aws:PrincipalAccount}"));
        }
        let other = [
            format!("{own}x"),
            format!("{front}?"),
            own.replace("us-east-1", "eu-west-1") + "-",
            own.to_uppercase(),
        ];
        let of = if self.in_hundred(about) { meant.as_slice() } else { other.as_slice() };
        let first = of[self.rng.usize(0..of.len())].clone();
        if self.in_hundred(25) && first != "*" {
            return json!([first, other[self.rng.usize(0..other.len())].clone()]);
        }
        json!(first)
    }

    fn principal(&mut self, case: &SimulatedCase) -> Value {
        let role = "arn:aws:iam::111111111111:role/agent";
        match self.rng.u32(0..12) {
            0 => json!("*"),
            1 => json!({"AWS": "*"}),
            2 => json!({"AWS": HOME}),
            3 => json!({"AWS": [OTHER, format!("arn:aws:iam::{HOME}:root")]}),
            4 => json!({"AWS": format!("arn:aws:iam::{OTHER}:root")}),
            5 => json!({"AWS": role}),
            6 => {
                json!({"AWS": ["arn:aws:iam::111111111111:user/carlos", "arn:aws:iam::111111111111:user/eve"]})
            }
            7 => json!({"Service": ["firehose.amazonaws.com", "logs.amazonaws.com"]}),
            _ if case.caller.starts_with("arn:") => json!({"AWS": case.caller}),
            _ => json!({"Service": case.caller}),
        }
    }

    fn conditions(&mut self) -> Map<String, Value> {
        let mut conditions = Map::new();
        let count = [0, 0, 0, 1, 1, 2][self.rng.usize(0..6)];
        for _ in 0..count {
            let key = &KEYS[self.rng.usize(0..KEYS.len())];
            let operator = self.operator(key);
            let values = self.values(key, &operator);
            conditions.insert(operator, json!({key.name: values}));
        }
        conditions
    }

    fn operator(&mut self, key: &Key) -> String {
        if self.in_hundred(8) {
            return "Null".to_owned();
        }
        let of: &[&str] = match key.kind {
            KeyKind::Text => &[
                "StringEquals",
                "StringNotEquals",
                "StringEqualsIgnoreCase",
                "StringNotEqualsIgnoreCase",
                "StringLike",
                "StringNotLike",
            ],
            KeyKind::Arn => {
                &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringLike", "StringEquals"]
            }
            KeyKind::Number => &[
                "NumericEquals",
                "NumericNotEquals",
                "NumericLessThan",
                "NumericLessThanEquals",
                "NumericGreaterThan",
                "NumericGreaterThanEquals",
            ],
            KeyKind::Date => &[
                "DateEquals",
                "DateNotEquals",
                "DateLessThan",
                "DateLessThanEquals",
                "DateGreaterThan",
                "DateGreaterThanEquals",
            ],
            KeyKind::Truth => &["Bool"],
            KeyKind::Address => &["IpAddress", "NotIpAddress"],
        };
        let test = self.one(of);
        let set = match self.rng.u32(0..10) {
            0..=4 if key.several => "ForAnyValue:",
            5..=9 if key.several => "ForAllValues:",
            0 => "ForAllValues:",
            _ => "",
        };
        format!("{set}{test}{}", if self.in_hundred(25) { "IfExists" } else { "" })
    }

    fn values(&mut self, key: &Key, operator: &str) -> Value {
        if operator == "Null" {
            return json!(self.one(&["true", "false"]));
        }
        let mut one = || if self.in_hundred(60) { self.one(key.found) } else { self.one(key.asked) };
        let first = one();
        if matches!(key.kind, KeyKind::Truth) || self.in_hundred(60) {
            return json!(first);
        }
        let second = if self.in_hundred(60) { self.one(key.found) } else { self.one(key.asked) };
        json!([first, second])
    }
}

/// Whose policy a statement is for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum PolicySide {
    Identity,
    Resource,
    ServiceControl,
    ResourceControl,
}
