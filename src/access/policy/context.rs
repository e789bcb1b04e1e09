//! What is known of a request besides who, what and on what: the keys that conditions and variables ask for.

use std::collections::BTreeMap;

/// The keys of a request.
///
/// A key that was not given is absent, unless the context is [open](Self::open): then nobody knows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestContext {
    /// By the key in lower case: names of keys have no case.
    keys: BTreeMap<String, Vec<String>>,
    open: bool,
}

/// What is known of one key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyLookup<'a> {
    /// Its values; mostly one.
    Values(&'a [String]),
    /// The request does not carry it.
    Absent,
    /// Not known.
    Unknown,
}

impl RequestContext {
    /// A context whose other keys are not known.
    #[must_use]
    pub fn open() -> Self {
        Self { keys: BTreeMap::new(), open: true }
    }

    /// With one more key; without values it is known to be absent.
    #[must_use]
    pub fn with<V: Into<String>>(mut self, key: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.keys.insert(key.to_ascii_lowercase(), values.into_iter().map(Into::into).collect());
        self
    }

    /// With the keys of `other` that this one does not have.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        for (key, values) in other.keys {
            self.keys.entry(key).or_insert(values);
        }
        self
    }

    pub(super) fn look_up(&self, key: &str) -> KeyLookup<'_> {
        match self.keys.get(&key.to_ascii_lowercase()) {
            Some(values) if values.is_empty() => KeyLookup::Absent,
            Some(values) => KeyLookup::Values(values),
            None if self.open => KeyLookup::Unknown,
            None => KeyLookup::Absent,
        }
    }
}
