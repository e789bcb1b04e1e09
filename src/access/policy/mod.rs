//! IAM policies: documents and ARNs as they are written, and what they allow.
//!
//! [`evaluate()`] answers whether a caller may do something to a resource, and which statement says so. When none does, it names
//! the statement that comes nearest and the element at fault. What it cannot know, it says.
//!
//! Pure: no file, no network, no clock. Sources, all below <https://docs.aws.amazon.com/IAM/latest/UserGuide/>:
//! the language `reference_policies_grammar.html`; the decision
//! `reference_policies_evaluation-logic_policy-eval-denyallow.html` and `reference_policies_evaluation-logic-cross-account.html`;
//! who is meant `reference_policies_elements_principal.html` and `reference_policies_elements_notprincipal.html`; wildcards
//! `reference_policies_elements_resource.html`; conditions `reference_policies_elements_condition_operators.html` and
//! `reference_policies_condition-logic-multiple-context-keys-or-values.html`; variables `reference_policies_variables.html`.

mod decision;
mod caller;
mod condition;
mod context;
pub mod document;
mod evaluate;
mod explain;
mod fit;
mod parse;
mod pattern;
mod read;
mod request;
mod statement;
mod json;
mod truth;
mod verdict;

pub use self::caller::RequestPrincipal;
pub use self::context::RequestContext;
pub use self::decision::{
    AccessDecision, ContextValue, Evaluation, MissingAllow, MissingReason, PolicyType, StatementMismatch,
    StatementRef, UnknownFact,
};
pub use self::document::PolicyDocument;
pub use self::evaluate::{evaluate, examine};
pub use self::fit::{PolicyMisfit, PolicyUse};
pub use self::parse::{PolicyParseError, PolicyProblem};
pub use self::read::{ReadPolicy, UnreadPart};
pub use self::request::{AccessRequest, ApplicablePolicies, LimitingPolicies, NamedPolicy, ResourcePolicies};

#[cfg(test)]
mod tests;
