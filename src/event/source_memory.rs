//! One source's way to the memory that all sources share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::{Budget, Held};

/// Admits memory for one source, as long as what it has under way leaves something for others: what waits for a destination that
/// takes nothing is under way for as long as that lasts.
#[derive(Debug)]
pub struct SourceMemory {
    budget: Arc<Budget>,
    /// Bytes of chunks that were handed over and are not done.
    under_way: Arc<AtomicU64>,
}

impl SourceMemory {
    /// A source more shares the budget.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Self {
        budget.join();
        Self { budget, under_way: Arc::default() }
    }

    /// The budget.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Admits `bytes` if they fit now, nobody waits, and the source has not its share.
    #[must_use]
    pub fn try_admit(&self, bytes: u64) -> Option<Held> {
        if self.may_have(bytes) { self.budget.try_admit(bytes) } else { None }
    }

    /// Waits until `bytes` fit into the source's share, and then into the sources' part.
    pub async fn admit(&self, bytes: u64) -> Held {
        loop {
            self.until_within_share(bytes).await;
            if let Some(held) = self.budget.admit_while(bytes, || self.may_have(bytes)).await {
                return held;
            }
        }
    }

    /// Counts what a chunk holds as under way for this source.
    pub fn hand_over(&self, held: &mut Held) {
        held.count_in(&self.under_way);
    }

    /// Bytes of chunks that were handed over and are not done.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Acquire)
    }

    async fn until_within_share(&self, bytes: u64) {
        let mut waits = None;
        loop {
            let grown = self.budget.share_grown();
            tokio::pin!(grown);
            grown.as_mut().enable();
            if self.may_have(bytes) {
                return;
            }
            waits.get_or_insert_with(|| self.budget.wait_for_share());
            grown.await;
        }
    }

    /// A source that has nothing under way may always have something.
    fn may_have(&self, bytes: u64) -> bool {
        let under_way = self.under_way();
        under_way == 0 || under_way.saturating_add(bytes) <= self.budget.source_share(bytes)
    }
}

impl Drop for SourceMemory {
    fn drop(&mut self) {
        self.budget.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn handed_over(source: &SourceMemory, bytes: u64) -> Option<Held> {
        let mut held = source.try_admit(bytes)?;
        source.hand_over(&mut held);
        Some(held)
    }

    /// Chunks of 1 of a hundred that this many sources get one after the other, when each takes all that it can.
    fn taken(sources: u64, busy: usize) -> Vec<u64> {
        let budget = Budget::new(800);
        let all: Vec<_> = (0..sources).map(|_| SourceMemory::new(Arc::clone(&budget))).collect();
        let mut held = Vec::new();
        loop {
            let before = held.len();
            held.extend(all.iter().take(busy).filter_map(|source| handed_over(source, 6)));
            if held.len() == before {
                return all.iter().map(|source| source.under_way() / 6).collect();
            }
        }
    }

    #[test]
    fn what_a_source_has_under_way_leaves_something_for_one_that_comes() {
        assert_eq!(taken(1, 1), [100], "a single one has everything");
        assert_eq!(taken(2, 1), [66, 0], "a third is left");
        assert_eq!(taken(3, 2), [40, 40, 0], "a fifth");
        assert_eq!(taken(4, 3), [29, 28, 28, 0], "a seventh");
    }

    #[test]
    fn memory_that_is_split_merged_and_resized_is_under_way_until_it_is_given_back() {
        let budget = Budget::new(800);
        let (source, other) =
            (SourceMemory::new(Arc::clone(&budget)), SourceMemory::new(Arc::clone(&budget)));
        let mut held = handed_over(&source, 100).unwrap();
        let part = held.split(30);
        assert_eq!(source.under_way(), 100);
        held.resize(90);
        assert_eq!(source.under_way(), 120);
        held.merge(budget.charge(10));
        assert_eq!(source.under_way(), 130, "what is written of it is, too");
        held.merge(handed_over(&other, 5).unwrap());
        assert_eq!((source.under_way(), other.under_way()), (135, 0));
        drop(part);
        assert_eq!(source.under_way(), 105);
        drop(held);
        assert_eq!((source.under_way(), budget.used()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_its_share_waits_and_keeps_nobody_waiting() {
        let budget = Budget::new(800);
        let (source, other) =
            (SourceMemory::new(Arc::clone(&budget)), SourceMemory::new(Arc::clone(&budget)));
        let mut held: Vec<_> = std::iter::from_fn(|| handed_over(&source, 50)).collect();
        assert_eq!(source.under_way(), 400);
        let next = source.admit(50);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_secs(1), next.as_mut()).await.is_err());
        assert!(budget.is_spent(), "what lingers is wanted");
        assert!(other.try_admit(100).is_some(), "the other one is served");
        held.pop();
        assert_eq!(next.await.bytes(), 50);
        assert!(!budget.is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_source_has_everything_once_the_others_have_ended() {
        let budget = Budget::new(800);
        let (source, other) =
            (SourceMemory::new(Arc::clone(&budget)), SourceMemory::new(Arc::clone(&budget)));
        let _held: Vec<_> = std::iter::from_fn(|| handed_over(&source, 50)).collect();
        let next = source.admit(200);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_secs(1), next.as_mut()).await.is_err());
        drop(other);
        assert_eq!(next.await.bytes(), 200);
    }

    #[test]
    fn more_than_its_share_is_admitted_to_a_source_that_has_nothing() {
        let budget = Budget::new(800);
        let sources = [0; 2].map(|_| SourceMemory::new(Arc::clone(&budget)));
        let _held = handed_over(&sources[0], 350).unwrap();
        let _other = sources[1].try_admit(250).unwrap();
        assert!(sources[0].try_admit(50).is_none());
    }
}
