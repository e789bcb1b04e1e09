//! What is answered: allowed or not, by which statement, or for want of what.

use super::document::{ConditionOperator, Negatable, Principals};
use super::read::UnreadPart;

/// Whether a request is allowed, and what that rests on.
///
/// Printed, it is a sentence or two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evaluation {
    /// The decision.
    pub decision: AccessDecision,
    /// What was not seen, and might deny nevertheless.
    pub unknowns: Vec<UnknownFact>,
}

/// Whether a request is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccessDecision {
    /// By these statements together.
    Allowed {
        /// They allow it; none when the root user acts in its own account.
        by: Vec<StatementRef>,
    },
    /// A statement denies it, whatever others allow.
    Denied {
        /// The statement.
        by: StatementRef,
    },
    /// Nothing denies it, and what would have to allow it does not.
    Missing {
        /// Who would have to.
        gaps: Vec<MissingAllow>,
    },
    /// It depends on what is not known.
    Undecided {
        /// What it would take to know.
        on: Vec<UnknownFact>,
        /// Those who do not allow it by what is known.
        gaps: Vec<MissingAllow>,
    },
}

/// Whose policies have a say.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PolicyType {
    /// The policies of the user or role that asks.
    Identity,
    /// The policy of what is asked for; for a role, its trust policy.
    Resource,
    /// The permissions boundary of the user or role.
    Boundary,
    /// The policies given when the session was made.
    Session,
    /// The service control policies of the caller's organization.
    ServiceControl,
    /// The resource control policies of the owner's organization.
    ResourceControl,
}

/// A statement.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatementRef {
    /// Whose policy it stands in.
    pub side: PolicyType,
    /// The policy.
    pub policy: String,
    /// Which one, from 1.
    pub number: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
}

/// Someone who would have to allow a request, and does not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingAllow {
    /// Whose policies.
    pub side: PolicyType,
    /// What they lack.
    pub lack: MissingReason,
}

/// What policies lack that do not allow a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MissingReason {
    /// The service knows no such policies: whoever is of another account has to assume a role in the owner's.
    NotSupported {
        /// The service.
        service: String,
        /// The owner's account.
        owner: String,
    },
    /// There are none.
    NoPolicy,
    /// No statement is about such a request.
    NoStatement,
    /// One comes near.
    Nearest {
        /// The statement.
        cite: StatementRef,
        /// The elements that do not cover the request.
        faults: Vec<StatementMismatch>,
    },
    /// One covers the request by its account alone: the account's own policies have to allow it as well.
    Delegated {
        /// The statement.
        cite: StatementRef,
    },
}

/// An element of a statement that does not cover a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StatementMismatch {
    /// It is about others.
    Principal {
        /// Who asks.
        caller: String,
        /// Who is meant.
        element: Negatable<Principals>,
    },
    /// It is about other actions.
    Action {
        /// What is asked for.
        asked: String,
        /// What is meant.
        element: Negatable<Vec<String>>,
    },
    /// It is about other resources.
    Resource {
        /// What is asked for.
        asked: String,
        /// What is meant.
        element: Negatable<Vec<String>>,
    },
    /// A condition does not hold.
    Condition {
        /// How the key is tested.
        operator: ConditionOperator,
        /// The key.
        key: String,
        /// What is asked of it.
        wanted: Vec<String>,
        /// What it is.
        found: ContextValue,
    },
}

/// What a request carries of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ContextValue {
    /// These values.
    Values(Vec<String>),
    /// Nothing.
    Absent,
}

/// What is not known.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum UnknownFact {
    /// Policies that nobody looked at.
    Unseen(PolicyType),
    /// Something of a policy that cannot be read.
    Unread {
        /// The policy.
        policy: String,
        /// What of it, and why.
        part: UnreadPart,
    },
    /// The value of a key that a statement asks for.
    Key {
        /// The statement.
        cite: StatementRef,
        /// The key.
        key: String,
    },
    /// Whose a canonical id is.
    CanonicalUser {
        /// The statement that names it.
        cite: StatementRef,
    },
    /// Whether a denial of all but some spares a caller whom it names without its account or role.
    NotPrincipal {
        /// The statement.
        cite: StatementRef,
    },
}

impl Evaluation {
    /// Whether nothing that was seen stands against it.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self.decision, AccessDecision::Allowed { .. })
    }
}
