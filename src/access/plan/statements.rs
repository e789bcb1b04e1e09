//! Statements, written as they are read: who may do what, on what, and when.

use crate::access::policy::document::{
    Comparison, ConditionOperator, Effect, Negatable, PolicyCondition, PolicyDocument, Principals,
    SetOperator, Statement,
};
use crate::arn::{AccountRegion, Arn};
use crate::config::topology::{AwsAccount, KmsKey};

/// The parts of a statement, one after the other.
pub(super) trait StatementBuilder {
    /// On these resources.
    fn on<R: ToString>(self, resources: impl IntoIterator<Item = R>) -> Self;
    /// By these principals.
    fn by(self, principals: Principals) -> Self;
    /// When the request's key is one of these.
    fn when<V: ToString>(self, test: Comparison, key: &str, values: impl IntoIterator<Item = V>) -> Self;
}

impl StatementBuilder for Statement {
    fn on<R: ToString>(mut self, resources: impl IntoIterator<Item = R>) -> Self {
        self.resources = Some(Negatable::Is(resources.into_iter().map(|it| it.to_string()).collect()));
        self
    }

    fn by(mut self, principals: Principals) -> Self {
        self.principals = Some(Negatable::Is(principals));
        self
    }

    fn when<V: ToString>(mut self, test: Comparison, key: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.conditions.push(PolicyCondition::new(test, key, values.into_iter().map(|it| it.to_string())));
        self
    }
}

/// A statement that allows these actions.
pub(super) fn allow<const N: usize>(sid: &str, actions: [&str; N]) -> Statement {
    Statement::allow(sid, actions)
}

/// A policy of these statements.
pub(super) fn document(statements: impl IntoIterator<Item = Statement>) -> PolicyDocument {
    PolicyDocument { statements: statements.into_iter().collect(), ..PolicyDocument::default() }
}

/// Nobody reaches the bucket without TLS.
pub(super) fn no_plain_http(bucket: &Arn, objects: &Arn) -> Statement {
    let denied = allow("NobodyComesWithoutTls", ["s3:*"]).by(Principals::Everyone).on([bucket, objects]);
    Statement { effect: Effect::Deny, ..denied }.when(Comparison::Bool, "aws:SecureTransport", ["false"])
}

/// One role of an account. It is the account that is named, and the role that is asked for: a policy that names a role itself
/// cannot be written before the role is there, and no longer means it when the role is made anew.
pub(super) fn by_role(statement: Statement, account: &AwsAccount, role: &str) -> Statement {
    let arn = account.place.role(role);
    statement.by(Principals::aws([account.place.root().to_string()])).when(
        Comparison::ArnEquals,
        "aws:PrincipalArn",
        [arn],
    )
}

/// The service principal of `CloudWatch` Logs in a region.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions.html>; in China it ends as the
/// endpoints there do.
pub(super) fn logs_service(place: &AccountRegion) -> Principals {
    Principals::service([format!("logs.{}.{}", place.region, place.partition().dns_suffix())])
}

/// The alias of a key that is made.
pub(super) fn alias(prefix: &str, key: &KmsKey) -> String {
    format!("alias/{prefix}-{}", key.name)
}

/// The use of a key through one service alone. A key that is made has no ARN yet, and is meant by its alias, or, if it is another
/// account's, by that account's key policy and by the encryption context.
///
/// Source: <https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html>.
pub(super) fn through(statement: Statement, key: &KmsKey, alias: Option<String>, service: &str) -> Statement {
    let place = &key.account.place;
    if let Some(arn) = &key.arn {
        return via(statement.on([arn]), place, service);
    }
    let mut statement = statement.on([place.key("*")]);
    let operator = ConditionOperator {
        test: Comparison::StringEquals,
        set: Some(SetOperator::ForAnyValue),
        if_exists: false,
    };
    let named =
        |alias| PolicyCondition { operator, key: "kms:ResourceAliases".to_owned(), values: vec![alias] };
    statement.conditions.extend(alias.map(named));
    via(statement, place, service)
}

/// Only through a service of the region.
pub(super) fn via(statement: Statement, place: &AccountRegion, service: &str) -> Statement {
    let endpoint = format!("{service}.{}.{}", place.region, place.partition().dns_suffix());
    statement.when(Comparison::StringEquals, "kms:ViaService", [endpoint])
}
