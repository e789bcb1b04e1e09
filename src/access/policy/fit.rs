//! Whether a document is fit for what it is to be attached to.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html> (its notes) and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>.

use std::collections::BTreeSet;

use super::document::{Negatable, PolicyDocument, PrincipalType, Principals, Statement};

/// What a document is attached to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicyUse {
    /// A user, a group or a role.
    Identity,
    /// A resource.
    Resource,
    /// A role, to say who may assume it.
    Trust,
}

/// What AWS would refuse, or what means nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PolicyMisfit {
    /// An element that has no place there.
    #[error("{at}: `{element}` does not belong in a policy of this kind")]
    Superfluous {
        /// The statement, or `the policy`.
        at: String,
        /// The element.
        element: &'static str,
    },
    /// An element that has to be there.
    #[error("{at}: `{element}` is missing")]
    Missing {
        /// The statement.
        at: String,
        /// The element.
        element: &'static str,
    },
    /// A name of a statement that IAM does not take.
    #[error("{at}: `Sid` may hold letters and digits alone, and no two may be the same")]
    Sid {
        /// The statement.
        at: String,
    },
    /// A resource that is neither an ARN nor all.
    #[error("{at}: the resource `{text}` is neither an ARN nor `*`")]
    Resource {
        /// The statement.
        at: String,
        /// The resource.
        text: String,
    },
    /// A wildcard where there is none.
    #[error("{at}: the principal `{text}` means nobody: a `*` within a principal is not a wildcard")]
    Wildcard {
        /// The statement.
        at: String,
        /// The principal.
        text: String,
    },
}

impl PolicyDocument {
    /// What AWS would refuse if the document were attached as `kind`, and principals that mean nobody.
    #[must_use]
    pub fn misfits(&self, kind: PolicyUse) -> Vec<PolicyMisfit> {
        let mut misfits = Vec::new();
        if self.id.is_some() && kind == PolicyUse::Identity {
            misfits.push(PolicyMisfit::Superfluous { at: "the policy".to_owned(), element: "Id" });
        }
        let mut sids = BTreeSet::new();
        for (index, statement) in self.statements.iter().enumerate() {
            let at = format!("statement {}", index.saturating_add(1));
            let plain = |sid: &String| sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_taken = |sid: &String| !sids.insert(sid.clone()) || !plain(sid);
            if kind != PolicyUse::Resource && statement.sid.as_ref().is_some_and(is_taken) {
                misfits.push(PolicyMisfit::Sid { at: at.clone() });
            }
            elements(statement, kind, &at, &mut misfits);
            texts(statement, &at, &mut misfits);
        }
        misfits
    }
}

fn elements(statement: &Statement, kind: PolicyUse, at: &str, misfits: &mut Vec<PolicyMisfit>) {
    let mut rule = |is_there: bool, wanted: bool, element: &'static str| match (is_there, wanted) {
        (true, false) => misfits.push(PolicyMisfit::Superfluous { at: at.to_owned(), element }),
        (false, true) => misfits.push(PolicyMisfit::Missing { at: at.to_owned(), element }),
        (true, true) | (false, false) => {}
    };
    rule(statement.principals.is_some(), kind != PolicyUse::Identity, "Principal");
    rule(statement.resources.is_some(), kind != PolicyUse::Trust, "Resource");
    let is_negated = matches!(statement.principals, Some(Negatable::Not(_)));
    rule(is_negated && kind == PolicyUse::Trust, false, "NotPrincipal");
}

fn texts(statement: &Statement, at: &str, misfits: &mut Vec<PolicyMisfit>) {
    for text in statement.resources.iter().flat_map(Negatable::written) {
        if text != "*" && !text.starts_with("arn:") {
            misfits.push(PolicyMisfit::Resource { at: at.to_owned(), text: text.clone() });
        }
    }
    if let Some(Principals::Named(named)) = statement.principals.as_ref().map(Negatable::written) {
        for text in named.get(&PrincipalType::Aws).into_iter().flatten() {
            if text != "*" && text.contains('*') {
                misfits.push(PolicyMisfit::Wildcard { at: at.to_owned(), text: text.clone() });
            }
        }
    }
}
