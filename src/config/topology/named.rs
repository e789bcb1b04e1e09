//! Accounts and keys, as other tables of a topology refer to them.

use std::sync::Arc;

use super::types::{AwsAccount, KmsKey};
use crate::config::problem::suggestion;
use crate::config::tree::Node;
use crate::config::values::{Parsed, string};

/// What other tables refer to by name.
pub(super) struct NamedParts {
    pub(super) accounts: Vec<Arc<AwsAccount>>,
    pub(super) keys: Vec<Arc<KmsKey>>,
    /// Whether every account, or key, that was written could be read: only then is a name that is not there a mistake of its own.
    pub(super) whole: bool,
}

impl NamedParts {
    /// The account that a key names; none for one that could not be read, which was reported where it stands.
    pub(super) fn account(&self, node: &Node) -> Parsed<Option<Arc<AwsAccount>>> {
        find(node, &self.accounts, |account| &account.name, "account", self.whole)
    }

    pub(super) fn key(&self, node: &Node) -> Parsed<Option<Arc<KmsKey>>> {
        find(node, &self.keys, |key| &key.name, "key", self.whole)
    }
}

fn find<T>(
    node: &Node,
    known: &[Arc<T>],
    name: impl Fn(&T) -> &String,
    what: &str,
    whole: bool,
) -> Parsed<Option<Arc<T>>> {
    let wanted = string(node)?;
    match known.iter().find(|one| *name(one) == wanted) {
        Some(found) => Ok(Some(Arc::clone(found))),
        None if !whole => Ok(None),
        None => {
            let near = suggestion(&wanted, known.iter().map(|one| name(one).as_str()));
            Err(format!("found `{wanted}`, but there is no such {what}; {near}").into())
        }
    }
}
