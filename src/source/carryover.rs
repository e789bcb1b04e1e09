//! What sources leave to those of the next configuration: sockets, buffers, and what cannot be read again.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A thing that outlives the source which made it.
pub trait Carried: Any + Send + Sync {
    /// Whether it holds data that only a later source can deliver.
    fn holds_data(&self) -> bool {
        false
    }

    /// Says in the log what of it was read, is not delivered, and cannot be read again, now that nothing comes after; whether there is such.
    fn report_lost(&self) -> bool {
        false
    }

    /// Comes before a stop: sources of these kinds will take over after it.
    fn announce(&self, _successors: &BTreeSet<&'static str>) {}
}

/// Carried things, by their type and a key that the type's owner chooses. There is one for the whole life of the process, and as
/// many things as there are sources.
#[derive(Default)]
pub struct SourceCarryover {
    /// The lock covers a look-up.
    carried: Mutex<BTreeMap<(TypeId, String), Arc<dyn Carried>>>,
}

impl SourceCarryover {
    /// The thing of this type and key; made where there is none.
    #[must_use]
    pub fn get<T: Carried + Default>(&self, key: &str) -> Arc<T> {
        self.get_or(key, || Arc::new(T::default()))
    }

    /// The same, made by `make`.
    #[must_use]
    pub fn get_or<T: Carried>(&self, key: &str, make: impl Fn() -> Arc<T>) -> Arc<T> {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = carried.entry((TypeId::of::<T>(), key.to_owned()));
        let found: Arc<dyn Any + Send + Sync> = Arc::<dyn Carried>::clone(entry.or_insert_with(|| make()));
        // What stands under a type's id is of that type.
        found.downcast().unwrap_or_else(|_| make())
    }

    /// Whether something holds data that only a later source can deliver.
    #[must_use]
    pub fn holds_data(&self) -> bool {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).values().any(|thing| thing.holds_data())
    }
}

impl SourceCarryover {
    /// Says in the log what is lost with the end of the process; whether there is such.
    #[must_use]
    pub fn report_lost(&self) -> bool {
        self.all().iter().fold(false, |is_lost, thing| thing.report_lost() || is_lost)
    }

    fn all(&self) -> Vec<Arc<dyn Carried>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Tells every thing that a stop is to come, and which kinds of sources take over after it.
    pub fn announce(&self, successors: &BTreeSet<&'static str>) {
        for thing in self.all() {
            thing.announce(successors);
        }
    }
}

impl fmt::Debug for SourceCarryover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceCarryover").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Default)]
    struct Socket(AtomicBool);

    impl Carried for Socket {
        fn holds_data(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[derive(Default)]
    struct Other;

    impl Carried for Other {}

    #[test]
    fn a_later_source_finds_what_an_earlier_one_left_under_its_type_and_key() {
        let carryover = SourceCarryover::default();
        let first = carryover.get::<Socket>("a");
        assert!(Arc::ptr_eq(&first, &carryover.get::<Socket>("a")));
        assert!(!Arc::ptr_eq(&first, &carryover.get::<Socket>("b")));
        drop(carryover.get::<Other>("a"));
        assert!(!carryover.holds_data());
        first.0.store(true, Ordering::Relaxed);
        assert!(carryover.holds_data());
    }
}
