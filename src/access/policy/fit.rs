//! Whether a document is fit for what it is to be attached to.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html> (its notes) and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>.

use std::collections::BTreeSet;

use super::document::{Document, Element, PrincipalKind, Principals, Statement};

/// What a document is attached to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A user, a group or a role.
    Identity,
    /// A resource.
    Resource,
    /// A role, to say who may assume it.
    Trust,
}

/// What AWS would refuse, or what means nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misfit {
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
    #[error("{at}: the principal `{text}` means nobody: a `*` within a principal is no wildcard")]
    Wildcard {
        /// The statement.
        at: String,
        /// The principal.
        text: String,
    },
}

impl Document {
    /// What AWS would refuse if the document were attached as `kind`, and principals that mean nobody.
    #[must_use]
    pub fn misfits(&self, kind: Kind) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        if self.id.is_some() && kind == Kind::Identity {
            misfits.push(Misfit::Superfluous { at: "the policy".to_owned(), element: "Id" });
        }
        let mut sids = BTreeSet::new();
        for (index, statement) in self.statements.iter().enumerate() {
            let at = format!("statement {}", index.saturating_add(1));
            let plain = |sid: &String| sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_taken = |sid: &String| !sids.insert(sid.clone()) || !plain(sid);
            if kind != Kind::Resource && statement.sid.as_ref().is_some_and(is_taken) {
                misfits.push(Misfit::Sid { at: at.clone() });
            }
            elements(statement, kind, &at, &mut misfits);
            texts(statement, &at, &mut misfits);
        }
        misfits
    }
}

fn elements(statement: &Statement, kind: Kind, at: &str, misfits: &mut Vec<Misfit>) {
    let mut rule = |is_there: bool, wanted: bool, element: &'static str| match (is_there, wanted) {
        (true, false) => misfits.push(Misfit::Superfluous { at: at.to_owned(), element }),
        (false, true) => misfits.push(Misfit::Missing { at: at.to_owned(), element }),
        (true, true) | (false, false) => {}
    };
    rule(statement.principals.is_some(), kind != Kind::Identity, "Principal");
    rule(statement.resources.is_some(), kind != Kind::Trust, "Resource");
    let is_negated = matches!(statement.principals, Some(Element::Not(_)));
    rule(is_negated && kind == Kind::Trust, false, "NotPrincipal");
}

fn texts(statement: &Statement, at: &str, misfits: &mut Vec<Misfit>) {
    for text in statement.resources.iter().flat_map(Element::written) {
        if text != "*" && !text.starts_with("arn:") {
            misfits.push(Misfit::Resource { at: at.to_owned(), text: text.clone() });
        }
    }
    if let Some(Principals::Named(named)) = statement.principals.as_ref().map(Element::written) {
        for text in named.get(&PrincipalKind::Aws).into_iter().flatten() {
            if text != "*" && text.contains('*') {
                misfits.push(Misfit::Wildcard { at: at.to_owned(), text: text.clone() });
            }
        }
    }
}
