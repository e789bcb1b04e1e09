//! Why a lease could not be read or written.

use crate::aws::{CallError, principal_in};

/// Why a lease could not be read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct LeaseFault {
    pub(super) kind: LeaseFaultKind,
    /// The call, what was said, and what to do.
    pub(super) message: String,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LeaseFaultKind {
    /// It may work a moment later.
    Passing,
    /// A permission or credentials are missing, or what was asked is not taken.
    Denied,
    /// The table is not one for this.
    Refused,
}

impl LeaseFault {
    /// What a call of `DynamoDB` failed by.
    pub(super) fn of(operation: &str, table: &str, error: CallError) -> Self {
        let action = format!("dynamodb:{operation}");
        match error {
            CallError::Answered { code, message } => {
                let kind = kind(&code);
                let fix =
                    if code.contains("AccessDenied") { fix(&action, table, &message) } else { String::new() };
                Self {
                    kind,
                    message: format!("{action} of the lease table `{table}`: {code}: {message}{fix}"),
                }
            }
            CallError::Credentials { message, fix } => {
                let fix = fix.map(|fix| format!("; {fix}")).unwrap_or_default();
                Self { kind: LeaseFaultKind::Denied, message: format!("{message}{fix}") }
            }
            CallError::Unanswered { message, .. }
            | CallError::Unreadable(message)
            | CallError::Unusable(message) => {
                Self { kind: LeaseFaultKind::Passing, message: format!("{action}: {message}") }
            }
        }
    }

    /// As metrics have it.
    pub(super) const fn reason(&self) -> &'static str {
        match self.kind {
            LeaseFaultKind::Passing => "leases",
            LeaseFaultKind::Denied => "leases_denied",
            LeaseFaultKind::Refused => "leases_refused",
        }
    }
}

/// What throttles, what passes, and what only somebody can change.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.
fn kind(code: &str) -> LeaseFaultKind {
    let needs_somebody = code.contains("AccessDenied")
        || matches!(
            code,
            "ValidationException"
                | "UnrecognizedClientException"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "IncompleteSignatureException"
                | "MissingAuthenticationTokenException"
                | "ExpiredTokenException"
                | "OptInRequired"
        );
    if needs_somebody { LeaseFaultKind::Denied } else { LeaseFaultKind::Passing }
}

fn fix(action: &str, table: &str, said: &str) -> String {
    let who = principal_in(said).map_or_else(|| "the caller".to_owned(), |who| format!("`{who}`"));
    format!("; allow {who} `{action}` on the table `{table}`")
}
