//! Shards and what came of them: which need a lease, which may be read, and which leases are needed no more. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lease::{HashRange, Leases, ShardLease};
use super::place::{SequenceNumber, ShardMark};
use crate::config::StreamStart;
use crate::event::Timestamp;

/// A shard as the stream lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ListedShard {
    pub(super) id: Arc<str>,
    /// One that was split, or two that were merged.
    pub(super) parents: Vec<Arc<str>>,
    pub(super) hashes: HashRange,
    pub(super) first: SequenceNumber,
    /// No record comes to it any more.
    pub(super) is_closed: bool,
}

/// The shards of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardGraph {
    shards: BTreeMap<Arc<str>, ListedShard>,
}

impl ShardGraph {
    pub(super) fn new(shards: impl IntoIterator<Item = ListedShard>) -> Self {
        Self { shards: shards.into_iter().map(|shard| (Arc::clone(&shard.id), shard)).collect() }
    }

    /// The same with shards that are not listed yet.
    pub(super) fn with(mut self, told: &[ListedShard]) -> Self {
        for shard in told {
            self.shards.entry(Arc::clone(&shard.id)).or_insert_with(|| shard.clone());
        }
        self
    }

    /// Whether the stream still has the shard.
    pub(super) fn has(&self, shard: &str) -> bool {
        self.shards.contains_key(shard)
    }

    /// Whether records may still come to the shard.
    pub(super) fn is_open(&self, shard: &str) -> bool {
        let is_listed = self.shards.get(shard).is_some_and(|shard| !shard.is_closed);
        // The list may be one of two moments.
        is_listed && self.children(shard).is_empty()
    }

    /// What came of a shard.
    pub(super) fn children(&self, shard: &str) -> Vec<&ListedShard> {
        self.shards.values().filter(|child| child.parents.iter().any(|parent| **parent == *shard)).collect()
    }

    /// The leases that are missing, in the order of the shards' first records. Every record from `start` on, and each after what was
    /// read, is then in a shard that has a lease, or that comes after one that has.
    pub(super) fn missing(&self, leases: &Leases, start: StreamStart, now: Timestamp) -> Vec<ShardLease> {
        let mut search =
            LeaseSearch { graph: self, leases, start, now, found: BTreeMap::new(), seen: BTreeSet::new() };
        for shard in self.shards.values().filter(|shard| !shard.is_closed) {
            search.need(&shard.id, MOST_GENERATIONS);
        }
        search.in_order()
    }

    /// The same for what came of a shard that was read to its end.
    pub(super) fn missing_after(
        &self,
        shard: &str,
        leases: &Leases,
        start: StreamStart,
        now: Timestamp,
    ) -> Vec<ShardLease> {
        let mut search =
            LeaseSearch { graph: self, leases, start, now, found: BTreeMap::new(), seen: BTreeSet::new() };
        for child in self.children(shard) {
            if leases.contains_key(&child.id) {
                continue;
            }
            // What it was merged with may be known to nobody, or come of a shard that is still read: the child waits for it.
            for parent in child.parents.iter().filter(|parent| ***parent != *shard) {
                search.precede(parent, MOST_GENERATIONS);
            }
            search.add(&child.id, Some(ShardMark::TrimHorizon));
        }
        search.in_order()
    }

    /// Shards that are open though their leases say that all of them is done: these are of another stream.
    pub(super) fn passed_over(&self, leases: &Leases) -> BTreeSet<Arc<str>> {
        let finished = leases.values().filter(|lease| lease.is_finished() && self.is_open(&lease.shard));
        finished.map(|lease| Arc::clone(&lease.shard)).collect()
    }

    fn parents(&self, shard: &str) -> Vec<&Arc<str>> {
        let parents = self.shards.get(shard).map(|shard| &shard.parents);
        parents.into_iter().flatten().filter(|parent| self.has(parent)).collect()
    }
}

/// A list that goes further back is wrong.
const MOST_GENERATIONS: usize = 1_000;

/// Looks for shards that need a lease.
struct LeaseSearch<'a> {
    graph: &'a ShardGraph,
    leases: &'a Leases,
    start: StreamStart,
    now: Timestamp,
    found: BTreeMap<Arc<str>, ShardLease>,
    seen: BTreeSet<Arc<str>>,
}

impl LeaseSearch<'_> {
    /// Sees to it that a shard is read.
    fn need(&mut self, shard: &Arc<str>, generations: usize) {
        let Some(before) = generations.checked_sub(1) else { return };
        if self.leases.contains_key(shard) || !self.seen.insert(Arc::clone(shard)) {
            return;
        }
        let parents = self.graph.parents(shard);
        let is_open = |parent: &Arc<str>| self.graph.shards.get(parent).is_some_and(|shard| !shard.is_closed);
        if parents.iter().any(|parent| is_open(parent)) {
            // The list is not one of a single moment: the next will be.
            return;
        }
        let covered: Vec<bool> = parents.iter().map(|parent| self.is_covered(parent, before)).collect();
        let is_finished = |parent: &&Arc<str>| self.leases.get(*parent).is_some_and(ShardLease::is_finished);
        if !parents.is_empty() && parents.iter().all(is_finished) {
            return self.add(shard, Some(ShardMark::TrimHorizon));
        }
        if !covered.contains(&true) && (parents.is_empty() || self.start == StreamStart::End) {
            return self.add(shard, None);
        }
        for (parent, is_covered) in parents.into_iter().zip(covered) {
            // It is its turn at the end of what has a lease.
            if self.start == StreamStart::End && !is_covered {
                self.add(parent, None);
            } else {
                self.need(parent, before);
            }
        }
    }

    /// Sees to it that a shard has a lease before what came of it has one.
    fn precede(&mut self, shard: &Arc<str>, generations: usize) {
        let Some(before) = generations.checked_sub(1) else { return };
        if self.leases.contains_key(shard) || self.found.contains_key(shard) {
            return;
        }
        if !self.is_covered(shard, before) {
            return self.need(shard, before);
        }
        for parent in self.graph.parents(shard) {
            self.precede(parent, before);
        }
        self.add(shard, Some(ShardMark::TrimHorizon));
    }

    /// Whether the shard, or one before it, has a lease.
    fn is_covered(&self, shard: &Arc<str>, generations: usize) -> bool {
        let Some(before) = generations.checked_sub(1) else { return false };
        let mut next = vec![(shard, before)];
        let mut seen = BTreeSet::new();
        while let Some((shard, before)) = next.pop() {
            if self.leases.contains_key(shard) {
                return true;
            }
            if seen.insert(shard)
                && let Some(earlier) = before.checked_sub(1)
            {
                next.extend(self.graph.parents(shard).into_iter().map(|parent| (parent, earlier)));
            }
        }
        false
    }

    /// Without a mark, it begins where the source does.
    fn add(&mut self, shard: &Arc<str>, mark: Option<ShardMark>) {
        let Some(listed) = self.graph.shards.get(shard) else { return };
        let (mark, start) = match (mark, self.start) {
            (Some(mark), _) => (mark, None),
            (None, StreamStart::Beginning) => (ShardMark::TrimHorizon, None),
            (None, StreamStart::End) => (ShardMark::Latest, Some(self.now)),
            (None, StreamStart::At(time)) => (ShardMark::AtTimestamp, Some(time)),
        };
        let hashes = Some(listed.hashes.clone());
        let lease = ShardLease {
            start,
            parents: listed.parents.clone(),
            hashes,
            ..ShardLease::new(Arc::clone(shard), mark)
        };
        self.found.entry(Arc::clone(shard)).or_insert(lease);
    }

    fn in_order(self) -> Vec<ShardLease> {
        let first = |lease: &ShardLease| self.graph.shards.get(&lease.shard).map(|shard| shard.first.clone());
        let mut leases: Vec<ShardLease> = self.found.into_values().collect();
        leases.sort_by_key(first);
        leases
    }
}

/// Whether a shard may be read: all that it came from is done, or is known to nobody.
pub(super) fn may_be_read(lease: &ShardLease, leases: &Leases) -> bool {
    let is_done = |parent: &Arc<str>| leases.get(parent).is_none_or(ShardLease::is_finished);
    !lease.is_finished() && lease.parents.iter().all(is_done)
}

/// Whether a lease is needed no more: its shard is done, what came of it has begun, and nothing is left of what it came from.
pub(super) fn is_needless(lease: &ShardLease, leases: &Leases, graph: &ShardGraph) -> bool {
    let begun = |child: &&ListedShard| leases.get(&child.id).is_some_and(|lease| lease.mark.is_begun());
    let children = graph.children(&lease.shard);
    // Of what is not listed any more it is not known what came of it; by then, nothing of it is left either.
    let is_succeeded =
        if children.is_empty() { !graph.has(&lease.shard) } else { children.iter().all(begun) };
    lease.is_finished() && is_succeeded && !lease.parents.iter().any(|parent| leases.contains_key(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shards by number, each with its parents; those after `open` are open.
    fn graph(shards: &[(u32, &[u32])], open: &[u32]) -> ShardGraph {
        let listed = |(number, parents): &(u32, &[u32])| ListedShard {
            id: id(*number),
            parents: parents.iter().copied().map(id).collect(),
            hashes: HashRange { first: "0".into(), last: "9".into() },
            first: SequenceNumber::new(&number.to_string()).unwrap(),
            is_closed: !open.contains(number),
        };
        ShardGraph::new(shards.iter().map(listed))
    }

    fn id(number: u32) -> Arc<str> {
        format!("shardId-{number:012}").into()
    }

    fn leases(all: &[(u32, ShardMark)]) -> Leases {
        all.iter().map(|(number, mark)| (id(*number), ShardLease::new(id(*number), mark.clone()))).collect()
    }

    fn read(number: u64) -> ShardMark {
        ShardMark::read(&number.to_string(), 0).unwrap()
    }

    /// The example of the client library: 0 and 1, 2 and 3 were merged, then what came of them; 5 was split.
    fn example() -> ShardGraph {
        let shards: [(u32, &[u32]); 11] = [
            (0, &[]),
            (1, &[]),
            (2, &[]),
            (3, &[]),
            (4, &[]),
            (5, &[]),
            (6, &[0, 1]),
            (7, &[2, 3]),
            (8, &[6, 7]),
            (9, &[5]),
            (10, &[5]),
        ];
        graph(&shards, &[4, 8, 9, 10])
    }

    #[track_caller]
    fn check(
        graph: &ShardGraph,
        known: &[(u32, ShardMark)],
        start: StreamStart,
        expected: &[(u32, ShardMark)],
    ) {
        let found = graph.missing(&leases(known), start, Timestamp(5));
        let found: Vec<_> = found.into_iter().map(|lease| (lease.shard, lease.mark)).collect();
        let expected: Vec<_> = expected.iter().map(|(number, mark)| (id(*number), mark.clone())).collect();
        assert_eq!(found, expected, "{start:?}");
    }

    #[test]
    fn an_empty_table_gets_what_is_oldest_or_what_is_open() {
        use ShardMark::{AtTimestamp, Latest, TrimHorizon};
        let oldest = |mark: ShardMark| [0, 1, 2, 3, 4, 5].map(|number| (number, mark.clone()));
        check(&example(), &[], StreamStart::Beginning, &oldest(TrimHorizon));
        // Those from a time on, as the stream lists them: 0 to 3 had ended by then.
        let later: [(u32, &[u32]); 7] =
            [(4, &[]), (5, &[]), (6, &[0, 1]), (7, &[2, 3]), (8, &[6, 7]), (9, &[5]), (10, &[5])];
        let at_time = [4, 5, 6, 7].map(|number| (number, AtTimestamp));
        check(&graph(&later, &[4, 8, 9, 10]), &[], StreamStart::At(Timestamp(7)), &at_time);
        check(&example(), &[], StreamStart::End, &[4, 8, 9, 10].map(|number| (number, Latest)));
    }

    #[test]
    fn a_branch_that_nobody_knows_gets_a_lease_of_its_own() {
        use ShardMark::{Latest, TrimHorizon};
        let known = [(4, read(1)), (5, read(1)), (7, read(1))];
        check(&example(), &known, StreamStart::End, &[(6, Latest)]);
        check(&example(), &known, StreamStart::Beginning, &[(0, TrimHorizon), (1, TrimHorizon)]);
    }

    #[test]
    fn what_came_of_a_finished_shard_is_read_from_its_beginning() {
        use ShardMark::{ShardEnd, TrimHorizon};
        let shards: [(u32, &[u32]); 4] = [(0, &[]), (1, &[0]), (2, &[0]), (3, &[1, 2])];
        let graph = graph(&shards, &[3]);
        for start in [StreamStart::Beginning, StreamStart::End] {
            check(&graph, &[(0, read(1))], start, &[]);
            check(&graph, &[(0, ShardEnd)], start, &[(1, TrimHorizon), (2, TrimHorizon)]);
            check(&graph, &[(0, ShardEnd), (1, ShardEnd)], start, &[(2, TrimHorizon)]);
            check(&graph, &[(1, ShardEnd), (2, read(1))], start, &[]);
            check(&graph, &[(1, ShardEnd), (2, ShardEnd)], start, &[(3, TrimHorizon)]);
        }
    }

    #[test]
    fn a_list_of_two_moments_adds_nothing_that_comes_too_early() {
        let shards: [(u32, &[u32]); 3] = [(0, &[]), (1, &[0]), (2, &[0])];
        let graph = graph(&shards, &[0, 1, 2]);
        check(&graph, &[], StreamStart::Beginning, &[(0, ShardMark::TrimHorizon)]);
        check(&graph, &[(0, read(1))], StreamStart::End, &[]);
    }

    #[test]
    fn a_shard_that_ends_is_followed_by_its_children_and_the_unknown_side_of_a_merge() {
        let after = |number: u32, known: &[(u32, ShardMark)]| -> Vec<Arc<str>> {
            let found =
                example().missing_after(&id(number), &leases(known), StreamStart::Beginning, Timestamp(5));
            found.into_iter().map(|lease| lease.shard).collect()
        };
        assert_eq!(after(5, &[(5, read(1))]), [id(9), id(10)]);
        assert_eq!(after(5, &[(5, read(1)), (9, ShardMark::TrimHorizon)]), [id(10)]);
        assert_eq!(after(7, &[(7, read(1)), (6, read(1))]), [id(8)]);
        // The other side is still before its turn: the merged shard is not to be read before it.
        assert_eq!(after(7, &[(7, read(1)), (0, read(1)), (1, read(1))]), [id(6), id(8)]);
        assert_eq!(after(7, &[(7, read(1))]), [id(0), id(1), id(8)]);
    }

    #[test]
    fn an_open_shard_whose_lease_is_finished_is_found() {
        let known =
            [(4, ShardMark::ShardEnd), (5, ShardMark::ShardEnd), (8, read(1)), (90, ShardMark::ShardEnd)];
        assert_eq!(example().passed_over(&leases(&known)), BTreeSet::from([id(4)]));
        // Of a list of two moments, what has children is closed.
        let graph = graph(&[(0, &[]), (1, &[0]), (2, &[0])], &[0, 1, 2]);
        assert!(graph.passed_over(&leases(&[(0, ShardMark::ShardEnd)])).is_empty());
    }

    #[test]
    fn a_child_waits_for_all_that_it_came_from() {
        let check = |parents: &[(u32, ShardMark)], mark: ShardMark, expected: bool| {
            let mut child = ShardLease::new(id(8), mark);
            child.parents = vec![id(6), id(7)];
            assert_eq!(may_be_read(&child, &leases(parents)), expected, "{parents:?}");
        };
        check(&[], ShardMark::TrimHorizon, true);
        check(&[(6, read(1))], ShardMark::TrimHorizon, false);
        check(&[(6, ShardMark::ShardEnd), (7, read(1))], ShardMark::TrimHorizon, false);
        check(&[(6, ShardMark::ShardEnd), (7, ShardMark::ShardEnd)], read(1), true);
        check(&[], ShardMark::ShardEnd, false);
    }

    #[test]
    fn a_lease_goes_when_its_children_have_begun_and_its_parents_are_gone() {
        use ShardMark::{ShardEnd, TrimHorizon};
        let check = |known: &[(u32, ShardMark)], expected: bool| {
            let leases = leases(known);
            assert_eq!(is_needless(&leases[&id(5)], &leases, &example()), expected, "{known:?}");
        };
        check(&[(5, ShardEnd), (9, read(1)), (10, read(1))], true);
        check(&[(5, ShardEnd), (9, read(1)), (10, TrimHorizon)], false);
        check(&[(5, ShardEnd), (9, read(1))], false);
        check(&[(5, read(1)), (9, read(1)), (10, read(1))], false);
        let mut of_old = ShardLease::new(id(90), ShardEnd);
        let nothing = Leases::new();
        assert!(
            is_needless(&of_old, &nothing, &example()),
            "its records are older than the stream keeps them"
        );
        of_old.parents = vec![id(89)];
        assert!(!is_needless(&of_old, &leases(&[(89, ShardEnd)]), &example()));
    }
}
