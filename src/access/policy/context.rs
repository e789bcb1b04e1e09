//! What is known of a request besides who, what and on what: the keys that conditions and variables ask for.

use std::collections::BTreeMap;

/// The keys of a request.
///
/// A key that was not given is absent, unless the context is [open](Self::open): then nobody knows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestContext {
    /// By the key in lower case, since names of keys have no case: all that a request may carry of it, mostly one.
    keys: BTreeMap<String, Vec<Vec<String>>>,
    open: bool,
}

/// What is known of one key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyLookup<'a> {
    /// Its values; mostly one.
    Values(&'a [String]),
    /// The request does not carry it.
    Absent,
    /// One of these, each of which is absent when it has no values.
    OneOf(&'a [Vec<String>]),
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
        let values = values.into_iter().map(Into::into).collect();
        self.keys.insert(key.to_ascii_lowercase(), vec![values]);
        self
    }

    /// With a key that is known not to be there, or to be one of these.
    #[must_use]
    pub fn with_perhaps(mut self, key: &str, values: &[&str]) -> Self {
        let one = values.iter().map(|&value| vec![value.to_owned()]);
        self.keys.insert(key.to_ascii_lowercase(), std::iter::once(Vec::new()).chain(one).collect());
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
        match self.keys.get(&key.to_ascii_lowercase()).map(Vec::as_slice) {
            Some([values]) => KeyLookup::of(values),
            Some(several) => KeyLookup::OneOf(several),
            None if self.open => KeyLookup::Unknown,
            None => KeyLookup::Absent,
        }
    }
}

impl<'a> KeyLookup<'a> {
    /// These values; absent when there are none.
    pub(super) fn of(values: &'a [String]) -> Self {
        if values.is_empty() { Self::Absent } else { Self::Values(values) }
    }
}
