//! Who takes which lease: each worker decides by itself, from the same table. Pure; the time is an argument.
//!
//! As in version 2 of the Kinesis Client Library: a lease is free when its counter stood still for longer than the failover time, by the
//! observer's own clock; every worker takes free ones up to its fair share, and steals from who has more, a part of what it lacks at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{Leases, ShardLease};

/// What one worker has seen of all leases.
#[derive(Debug)]
pub(super) struct LeaseObserver {
    worker: Arc<str>,
    failover: Duration,
    seen: BTreeMap<Arc<str>, SeenCounter>,
    /// When it may steal again.
    steal_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct SeenCounter {
    counter: u64,
    /// When it grew last; none: nobody has ever had it, as far as was seen.
    grew: Option<Instant>,
}

/// A lease that is to be taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LeaseTaking {
    pub(super) lease: ShardLease,
    /// Its owner is alive.
    pub(super) is_steal: bool,
}

impl LeaseObserver {
    pub(super) const fn new(worker: Arc<str>, failover: Duration) -> Self {
        Self { worker, failover, seen: BTreeMap::new(), steal_at: None }
    }

    /// Looks at the table.
    pub(super) fn look(&mut self, leases: &Leases, now: Instant) {
        let mut before = std::mem::take(&mut self.seen).into_iter().peekable();
        let look = |(shard, lease): (&Arc<str>, &ShardLease)| {
            // Both are in the order of their shards.
            while before.next_if(|(known, _)| known < shard).is_some() {}
            let grew = match before.next_if(|(known, _)| known == shard) {
                Some((_, seen)) if seen.counter == lease.counter => seen.grew,
                Some(_) => Some(now),
                None => lease.owner.as_ref().map(|_| now),
            };
            (Arc::clone(shard), SeenCounter { counter: lease.counter, grew })
        };
        self.seen = leases.iter().map(look).collect();
    }

    /// Whether it remembers no more leases than that.
    #[cfg(test)]
    pub(super) fn is_bounded_by(&self, most: usize) -> bool {
        self.seen.len() <= most
    }

    /// Whether nobody has a lease.
    pub(super) fn is_free(&self, lease: &ShardLease, now: Instant) -> bool {
        lease.owner.is_none() || self.stood_still(lease, now) > self.failover
    }

    fn stood_still(&self, lease: &ShardLease, now: Instant) -> Duration {
        let grew = self.seen.get(&lease.shard).and_then(|seen| seen.grew);
        grew.map_or(Duration::MAX, |grew| now.saturating_duration_since(grew))
    }

    /// The leases that this worker is to take now, of those that it does not hold: its own from an earlier run, and what is fair.
    pub(super) fn takings(
        &mut self,
        leases: &Leases,
        now: Instant,
        is_held: impl Fn(&str) -> bool,
        chance: &mut impl FnMut(usize) -> usize,
    ) -> Vec<LeaseTaking> {
        let fair = self.take(leases, now, chance);
        let of_earlier = leases.values().filter(|lease| lease.is_of(&self.worker));
        let of_earlier = of_earlier.map(|lease| LeaseTaking::of(lease, false));
        let others = fair.into_iter().filter(|taking| !taking.lease.is_of(&self.worker));
        of_earlier.chain(others).filter(|taking| !is_held(&taking.lease.shard)).collect()
    }

    /// The leases that are fair to be taken now; `chance` gives a number below its argument.
    fn take(
        &mut self,
        leases: &Leases,
        now: Instant,
        chance: &mut impl FnMut(usize) -> usize,
    ) -> Vec<LeaseTaking> {
        let (mut free, held): (Vec<&ShardLease>, Vec<&ShardLease>) =
            leases.values().partition(|lease| self.is_free(lease, now));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::from([(&*self.worker, 0)]);
        for owner in held.iter().filter_map(|lease| lease.owner.as_deref()) {
            *counts.entry(owner).or_default() += 1;
        }
        let mine = counts.get(&*self.worker).copied().unwrap_or_default();
        let share = leases.len().div_ceil(counts.len()).max(1);
        let very_old = |lease: &&ShardLease| self.stood_still(lease, now) > self.failover.saturating_mul(3);
        if free.iter().any(very_old) {
            // Somebody has to read it, whatever is fair.
            free.retain(very_old);
            return free.into_iter().map(|lease| LeaseTaking::of(lease, false)).collect();
        }
        let need = share.saturating_sub(mine);
        if !free.is_empty() {
            shuffle(&mut free, chance);
            return free.into_iter().take(need).map(|lease| LeaseTaking::of(lease, false)).collect();
        }
        if self.steal_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let stolen = self.steal(&held, Share { share, need }, chance);
        if !stolen.is_empty() {
            self.steal_at = Some(now + self.failover);
        }
        stolen
    }

    /// Leases of those who have more than is fair, a part of what is lacking: others may be about to take the same.
    fn steal(
        &self,
        held: &[&ShardLease],
        Share { share, need }: Share,
        chance: &mut impl FnMut(usize) -> usize,
    ) -> Vec<LeaseTaking> {
        let mut by_owner: BTreeMap<&str, Vec<&ShardLease>> = BTreeMap::new();
        for lease in held {
            if let Some(owner) = lease.owner.as_deref().filter(|owner| **owner != *self.worker) {
                by_owner.entry(owner).or_default().push(lease);
            }
        }
        let mut others: Vec<Vec<&ShardLease>> = by_owner.into_values().collect();
        // Workers that look at the same time do not all choose the same.
        shuffle(&mut others, chance);
        let mut stolen = Vec::new();
        while stolen.len() < need.min(share.div_ceil(STEALS)) {
            let Some(theirs) = others.iter_mut().max_by_key(|theirs| theirs.len()) else { break };
            // Of those who have just what is fair, only by who lacks more than one.
            let is_fair = theirs.len() > share || (theirs.len() == share && need > stolen.len() + 1);
            if !is_fair {
                break;
            }
            let chosen = theirs.swap_remove(chance(theirs.len()));
            stolen.push(LeaseTaking::of(chosen, true));
        }
        stolen
    }
}

/// A fair share is stolen in so many rounds at least.
const STEALS: usize = 3;

/// What is fair, and how much of it is lacking.
#[derive(Clone, Copy)]
struct Share {
    share: usize,
    need: usize,
}

impl LeaseTaking {
    fn of(lease: &ShardLease, is_steal: bool) -> Self {
        Self { lease: lease.clone(), is_steal }
    }
}

/// How often an owner renews its leases: three times before they are free.
pub(super) fn renew_every(failover: Duration) -> Duration {
    (failover / 3).saturating_sub(EPSILON)
}

/// How often a worker looks at the table, at the least: a lease that was seen renewed is free by the next look, if it stands still.
pub(super) fn look_every(failover: Duration) -> Duration {
    failover + EPSILON
}

const EPSILON: Duration = Duration::from_millis(25);

fn shuffle<T>(items: &mut [T], chance: &mut impl FnMut(usize) -> usize) {
    for last in (1..items.len()).rev() {
        items.swap(last, chance(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::ShardMark;
    use super::*;

    const FAILOVER: Duration = Duration::from_secs(10);

    /// So many leases of each owner; of nobody without a name.
    fn table(owners: &[(&str, usize)]) -> Leases {
        let of = owners.iter().flat_map(|(owner, count)| std::iter::repeat_n(*owner, *count));
        let lease = |(number, owner): (usize, &str)| {
            let shard: Arc<str> = format!("shard-{number:03}").into();
            let mut lease = ShardLease::new(Arc::clone(&shard), ShardMark::Latest);
            lease.owner = Some(owner).filter(|owner| !owner.is_empty()).map(Arc::from);
            (shard, lease)
        };
        of.enumerate().map(lease).collect()
    }

    fn observer(leases: &Leases, now: Instant) -> LeaseObserver {
        let mut observer = LeaseObserver::new("me".into(), FAILOVER);
        observer.look(leases, now);
        observer
    }

    /// Whom leases are taken from, of a table that is looked at for the first time.
    fn taken(owners: &[(&str, usize)]) -> Vec<String> {
        let (leases, now) = (table(owners), Instant::now());
        let taken = observer(&leases, now).take(&leases, now, &mut |most| most - 1);
        taken.iter().map(|taking| taking.lease.owner.as_deref().unwrap_or("nobody").to_owned()).collect()
    }

    #[test]
    fn a_worker_takes_its_fair_share_and_steals_a_part_of_it_at_a_time() {
        let check = |owners: &[(&str, usize)], expected: &[(&str, usize)]| {
            let expected: Vec<_> =
                expected.iter().flat_map(|(owner, count)| vec![(*owner).to_owned(); *count]).collect();
            assert_eq!(taken(owners), expected, "{owners:?}");
        };
        check(&[], &[]);
        // Nobody has ever had them: somebody has to.
        check(&[("", 5)], &[("nobody", 5)]);
        check(&[("", 2), ("a", 4)], &[("nobody", 2)]);
        check(&[("me", 3)], &[]);
        check(&[("a", 4)], &[("a", 1)]);
        check(&[("a", 2), ("me", 2)], &[]);
        check(&[("a", 3), ("me", 2)], &[]);
        check(&[("a", 4), ("me", 2)], &[("a", 1)]);
        check(&[("a", 1)], &[]);
        check(&[("a", 2)], &[("a", 1)]);
        check(&[("a", 2), ("b", 5), ("me", 2)], &[("b", 1)]);
        check(&[("a", 2), ("b", 2)], &[("b", 1)]);
        check(&[("a", 2), ("b", 2), ("me", 1)], &[]);
        check(&[("a", 30)], &[("a", 5)]);
        check(&[("a", 12), ("b", 9)], &[("a", 3)]);
        check(&[("a", 13), ("b", 13), ("c", 4)], &[("b", 1), ("a", 1), ("b", 1)]);
        check(&[("a", 11), ("b", 10), ("me", 9)], &[("a", 1)]);
        check(&[("a", 7), ("b", 7), ("me", 5)], &[("b", 1)]);
        check(&[("a", 7), ("b", 7), ("c", 7), ("me", 4)], &[("c", 1), ("b", 1)]);
    }

    #[test]
    fn a_lease_is_free_when_its_counter_stood_still_by_the_observers_own_clock() {
        let (mut leases, start) = (table(&[("a", 2), ("me", 1)]), Instant::now());
        let mut observer = observer(&leases, start);
        let mut round = |leases: &mut Leases, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            // The worker renews its own.
            leases.get_mut("shard-002").unwrap().counter += 1;
            observer.look(leases, now);
            observer.take(leases, now, &mut |_| 0).len()
        };
        assert_eq!(round(&mut leases, 10), 0, "it has stood still for ten seconds, and not for longer");
        leases.get_mut("shard-000").unwrap().counter += 1;
        // One is free, and the worker may have two.
        assert_eq!(round(&mut leases, 11), 1);
        assert_eq!(round(&mut leases, 21), 1);
        assert_eq!(round(&mut leases, 42), 2, "all that are very old, however many");
    }

    #[test]
    fn a_lease_that_was_given_back_is_shared_fairly() {
        let (mut leases, now) = (table(&[("a", 4)]), Instant::now());
        let mut observer = observer(&leases, now);
        for shard in ["shard-000", "shard-001", "shard-002"] {
            let lease = leases.get_mut(shard).unwrap();
            (lease.owner, lease.counter) = (None, lease.counter + 1);
        }
        observer.look(&leases, now);
        assert_eq!(observer.take(&leases, now, &mut |_| 0).len(), 2, "of four, for two workers");
    }

    #[test]
    fn workers_level_out_without_knowing_of_each_other() {
        let mut leases = table(&[("", 100)]);
        let names: Vec<Arc<str>> = (0..7).map(|number| format!("w{number}").into()).collect();
        let mut workers: Vec<_> =
            names.iter().map(|name| LeaseObserver::new(Arc::clone(name), FAILOVER)).collect();
        let (start, mut seed) = (Instant::now(), 7_usize);
        for round in 0..60_u32 {
            for (number, worker) in (0_u32..).zip(&mut workers) {
                let now = start + FAILOVER * round + Duration::from_secs(u64::from(number));
                worker.look(&leases, now);
                let mut chance = |most: usize| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 33) % most
                };
                for taking in worker.take(&leases, now, &mut chance) {
                    let lease = leases.get_mut(&taking.lease.shard).unwrap();
                    lease.owner = Some(Arc::clone(&worker.worker));
                }
                // Who lives renews.
                leases
                    .values_mut()
                    .filter(|lease| lease.is_of(&worker.worker))
                    .for_each(|lease| lease.counter += 1);
            }
        }
        for name in &names {
            let count = leases.values().filter(|lease| lease.is_of(name)).count();
            assert!((13..=15).contains(&count), "{name} has {count} of 100");
        }
    }
}
