//! What is known, by dotted names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::MetadataKind;
use crate::sync::Lock;

/// Values by dotted names, such as `ec2.zone`.
pub(crate) type FactValues = BTreeMap<Box<str>, Box<str>>;

/// What is known of where standpipe runs.
#[derive(Debug, Default)]
pub(crate) struct HostFacts {
    /// The lock covers a look.
    known: Lock<KnownFacts>,
    /// Another number whenever something else is known.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct KnownFacts {
    values: Arc<FactValues>,
    /// Who has answered.
    kinds: BTreeSet<MetadataKind>,
}

impl HostFacts {
    /// A number that is another one whenever something else is known.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// All values.
    pub(crate) fn values(&self) -> Arc<FactValues> {
        Arc::clone(&self.known.lock().values)
    }

    /// Whether somebody has answered.
    pub(super) fn has(&self, kind: MetadataKind) -> bool {
        self.known.lock().kinds.contains(&kind)
    }

    /// Takes an answer, in place of the one before.
    pub(crate) fn set(&self, kind: MetadataKind, answer: FactValues) {
        let mut known = self.known.lock();
        let is_of_others = |name: &str| name.split('.').next() != Some(kind.name());
        let others = known.values.iter().filter(|(name, _)| is_of_others(name));
        let values: FactValues =
            others.map(|(name, value)| (name.clone(), value.clone())).chain(answer).collect();
        known.kinds.insert(kind);
        if *known.values != values {
            known.values = Arc::new(values);
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Why somebody has not answered.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct FactsFault {
    /// What happened.
    pub(super) text: String,
    /// What to do.
    pub(super) fix: &'static str,
    /// Asking again is of no use.
    pub(super) is_final: bool,
}

/// Members of a JSON object, as values under dotted names.
pub(super) fn members(kind: MetadataKind, found: &serde_json::Value, names: &[(&str, &str)]) -> FactValues {
    let one = |(name, pointer): &(&str, &str)| {
        let text = found.pointer(pointer)?.as_str().filter(|text| !text.is_empty())?;
        Some((format!("{}.{name}", kind.name()).into(), text.into()))
    };
    names.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_replaces_the_one_before_and_leaves_the_others() {
        let facts = HostFacts::default();
        let values = |pairs: &[(&str, &str)]| -> FactValues {
            pairs.iter().map(|(name, value)| (Box::from(*name), Box::from(*value))).collect()
        };
        facts.set(MetadataKind::Ec2, values(&[("ec2.zone", "a"), ("ec2.tags.team", "x")]));
        facts.set(MetadataKind::Ecs, values(&[("ecs.cluster", "c")]));
        let before = facts.version();
        facts.set(MetadataKind::Ecs, values(&[("ecs.cluster", "c")]));
        assert_eq!(facts.version(), before, "nothing else is known");
        facts.set(MetadataKind::Ec2, values(&[("ec2.zone", "b")]));
        assert_eq!(*facts.values(), values(&[("ec2.zone", "b"), ("ecs.cluster", "c")]));
        assert_ne!(facts.version(), before);
        assert!(facts.has(MetadataKind::Ec2) && !facts.has(MetadataKind::Kubernetes));
    }
}
