//! A policy document as plain values, and how it is printed.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A policy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyDocument {
    /// The version of the language.
    pub version: LanguageVersion,
    /// A name, for resource policies alone.
    pub id: Option<String>,
    /// What it says.
    pub statements: Vec<Statement>,
}

/// The version of the language.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LanguageVersion {
    /// `2008-10-17`, and what a document without a version is; it has no variables.
    V2008,
    /// `2012-10-17`.
    #[default]
    V2012,
}

/// One rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// Its name.
    pub sid: Option<String>,
    /// Whether it allows or denies.
    pub effect: Effect,
    /// Who; none in the policy of an identity.
    pub principals: Option<Negatable<Principals>>,
    /// What is done; with `*` and `?`.
    pub actions: Negatable<Vec<String>>,
    /// To what; none in a role's trust policy. With `*`, `?` and variables.
    pub resources: Option<Negatable<Vec<String>>>,
    /// When: all of them must hold.
    pub conditions: Vec<PolicyCondition>,
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// An element of a statement, or its negation such as `NotAction`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Negatable<T> {
    /// These.
    Is(T),
    /// All but these.
    Not(T),
}

/// Who a statement is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Principals {
    /// `"*"`: everyone, known or not.
    Everyone,
    /// Those named, by kind.
    Named(BTreeMap<PrincipalType, Vec<String>>),
}

/// What a principal is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PrincipalType {
    /// Accounts, users, roles, sessions.
    Aws,
    /// Services, such as `firehose.amazonaws.com`.
    Service,
    /// Identity providers.
    Federated,
    /// An account by its canonical id, in policies of buckets.
    CanonicalUser,
}

/// One test of a key of the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyCondition {
    /// How.
    pub operator: ConditionOperator,
    /// The key, such as `aws:SourceArn`; its case does not matter.
    pub key: String,
    /// Any of these; numbers and truths as text.
    pub values: Vec<String>,
}

/// How a key is tested, such as `ForAnyValue:StringLikeIfExists`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConditionOperator {
    /// The comparison.
    pub test: Comparison,
    /// For keys of many values.
    pub set: Option<SetOperator>,
    /// Holds as well when the key is absent.
    pub if_exists: bool,
}

/// How the values of a key of many values are taken together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SetOperator {
    /// One of the request's values is enough.
    ForAnyValue,
    /// Each of the request's values, of which there may be none.
    ForAllValues,
}

macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        /// A comparison.
        ///
        /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Comparison {
            $(#[doc = concat!("`", stringify!($name), "`.")] $name),+
        }

        impl Comparison {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }
        }
    };
}

tests! {
    StringEquals, StringNotEquals, StringEqualsIgnoreCase, StringNotEqualsIgnoreCase, StringLike, StringNotLike,
    NumericEquals, NumericNotEquals, NumericLessThan, NumericLessThanEquals, NumericGreaterThan, NumericGreaterThanEquals,
    DateEquals, DateNotEquals, DateLessThan, DateLessThanEquals, DateGreaterThan, DateGreaterThanEquals,
    Bool, BinaryEquals, IpAddress, NotIpAddress, ArnEquals, ArnLike, ArnNotEquals, ArnNotLike, Null,
}

impl From<Comparison> for ConditionOperator {
    fn from(test: Comparison) -> Self {
        Self { test, set: None, if_exists: false }
    }
}

impl PolicyCondition {
    /// A plain test against some values.
    pub fn new<V: Into<String>>(test: Comparison, key: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { operator: test.into(), key: key.to_owned(), values }
    }
}

impl Principals {
    /// Accounts (by id or ARN), users, roles or sessions.
    pub fn aws<V: Into<String>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::of(PrincipalType::Aws, values)
    }

    /// Services, such as `firehose.amazonaws.com`.
    pub fn service<V: Into<String>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::of(PrincipalType::Service, values)
    }

    fn of<V: Into<String>>(kind: PrincipalType, values: impl IntoIterator<Item = V>) -> Self {
        Self::Named(BTreeMap::from([(kind, values.into_iter().map(Into::into).collect())]))
    }
}

impl Statement {
    /// A statement that allows `actions`, on nothing yet.
    pub fn allow<V: Into<String>>(sid: &str, actions: impl IntoIterator<Item = V>) -> Self {
        Self {
            sid: (!sid.is_empty()).then(|| sid.to_owned()),
            effect: Effect::Allow,
            principals: None,
            actions: Negatable::Is(actions.into_iter().map(Into::into).collect()),
            resources: None,
            conditions: Vec::new(),
        }
    }
}

impl PolicyDocument {
    /// The document as JSON without spaces: what limits on its length count.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Nothing in a document can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The document as JSON for people.
    #[must_use]
    pub fn to_pretty_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl LanguageVersion {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2008 => "2008-10-17",
            Self::V2012 => "2012-10-17",
        }
    }
}

impl PrincipalType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Aws, Self::Service, Self::Federated, Self::CanonicalUser];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Service => "Service",
            Self::Federated => "Federated",
            Self::CanonicalUser => "CanonicalUser",
        }
    }
}

impl<T> Negatable<T> {
    /// What is written, negated or not.
    pub const fn written(&self) -> &T {
        match self {
            Self::Is(written) | Self::Not(written) => written,
        }
    }

    /// Its key in a statement: `plain`, or `negated`.
    const fn key(&self, plain: &'static str, negated: &'static str) -> &'static str {
        match self {
            Self::Is(_) => plain,
            Self::Not(_) => negated,
        }
    }
}

impl fmt::Display for ConditionOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.set {
            Some(SetOperator::ForAnyValue) => "ForAnyValue:",
            Some(SetOperator::ForAllValues) => "ForAllValues:",
            None => "",
        })?;
        f.write_str(self.test.as_str())?;
        f.write_str(if self.if_exists { "IfExists" } else { "" })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        })
    }
}

impl Serialize for PolicyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Version", self.version.as_str())?;
        if let Some(id) = &self.id {
            map.serialize_entry("Id", id)?;
        }
        map.serialize_entry("Statement", &self.statements)?;
        map.end()
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(sid) = &self.sid {
            map.serialize_entry("Sid", sid)?;
        }
        map.serialize_entry("Effect", &self.effect.to_string())?;
        if let Some(principals) = &self.principals {
            map.serialize_entry(principals.key("Principal", "NotPrincipal"), principals.written())?;
        }
        map.serialize_entry(self.actions.key("Action", "NotAction"), &OneOrMany(self.actions.written()))?;
        if let Some(resources) = &self.resources {
            map.serialize_entry(resources.key("Resource", "NotResource"), &OneOrMany(resources.written()))?;
        }
        if !self.conditions.is_empty() {
            map.serialize_entry("Condition", &ConditionBlock(&self.conditions))?;
        }
        map.end()
    }
}

impl Serialize for Principals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Everyone => serializer.serialize_str("*"),
            Self::Named(named) => {
                let entries = named.iter().map(|(kind, values)| (kind.as_str(), OneOrMany(values)));
                serializer.collect_map(entries)
            }
        }
    }
}

/// One value by itself, several as a list: as AWS's own examples do.
struct OneOrMany<'a>(&'a [String]);

impl Serialize for OneOrMany<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

/// Tests by operator, then by key.
struct ConditionBlock<'a>(&'a [PolicyCondition]);

impl Serialize for ConditionBlock<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut operators: Vec<(String, Vec<(&str, OneOrMany<'_>)>)> = Vec::new();
        for PolicyCondition { operator, key, values } in self.0 {
            let name = operator.to_string();
            let entry = (key.as_str(), OneOrMany(values));
            match operators.iter_mut().find(|(known, _)| *known == name) {
                Some((_, keys)) => keys.push(entry),
                None => operators.push((name, vec![entry])),
            }
        }
        serializer.collect_map(operators.iter().map(|(name, keys)| (name, ConditionKeys(keys))))
    }
}

/// Keys and their values, in the order written.
struct ConditionKeys<'a>(&'a [(&'a str, OneOrMany<'a>)]);

impl Serialize for ConditionKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, values)| (key, values)))
    }
}
