//! The stream of the model: its shards, how many records each has, which of them were delivered, and why some were more than once.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::super::lease::HashRange;
use super::super::place::SequenceNumber;
use super::super::shards::{ListedShard, ShardGraph};

/// One shard.
pub(super) struct ModelShard {
    pub(super) id: Arc<str>,
    pub(super) parents: Vec<usize>,
    pub(super) records: usize,
    /// When it was.
    pub(super) closed: Option<u64>,
    /// How often each record was delivered.
    delivered: Vec<u16>,
    /// How often each record may be delivered again: once for each reason to read it again.
    explained: Vec<u16>,
    /// All records before this one were delivered.
    pub(super) whole: usize,
    /// Up to here whoever had the lease has read it.
    read: usize,
    /// Why it was read again last.
    reason: Option<Reread>,
}

/// Why records are read again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Reread {
    /// Whoever had the lease was killed.
    Killed,
    /// It hung until the lease was free.
    Hung,
    /// Another had too few.
    Stolen,
    /// Who had lost the lease did not know it yet.
    Unnoticed,
}

impl ModelShard {
    pub(super) const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub(super) fn is_done(&self) -> bool {
        !self.is_open() && self.whole == self.records
    }

    /// The lease was taken at this position: what was read after it is read again. Who gives it back leaves nothing of its own to be read
    /// again; that is no reason.
    pub(super) fn taken(&mut self, from: usize, reason: Option<Reread>) {
        self.explain(from, self.read);
        self.reason = reason.or(self.reason);
    }

    /// Records were read, by who has the lease or by another.
    pub(super) fn read(&mut self, from: usize, upto: usize, is_owner: bool) {
        if is_owner {
            self.read = self.read.max(upto);
        } else {
            self.explain(from, upto);
        }
    }

    fn explain(&mut self, from: usize, upto: usize) {
        self.explained.resize(self.records, 0);
        for times in self.explained.get_mut(from..upto).unwrap_or_default() {
            *times += 1;
        }
    }

    /// Counts the records that are delivered again, and for which reason.
    pub(super) fn deliver(&mut self, from: usize, upto: usize, is_owner: bool) -> (Reread, usize) {
        self.delivered.resize(self.records, 0);
        let mut again = 0;
        for (number, count) in (from..).zip(&mut self.delivered[from..upto]) {
            *count += 1;
            again += usize::from(*count > 1);
            let explained = self.explained.get(number).copied().unwrap_or(0);
            assert!(*count <= 1 + explained, "record {number} of {} came {count} times", self.id);
        }
        while self.delivered.get(self.whole).is_some_and(|count| *count > 0) {
            self.whole += 1;
        }
        (self.reason.filter(|_| is_owner).unwrap_or(Reread::Unnoticed), again)
    }
}

/// See the module.
pub(super) struct ModelStream {
    pub(super) shards: Vec<ModelShard>,
    /// So many steps a closed shard is kept; none: for ever.
    keeps: Option<u64>,
    /// As it is listed by now, and as it was before the last change.
    listed: [Rc<ShardGraph>; 2],
    changed: u64,
    pub(super) splits: usize,
    pub(super) merges: usize,
    /// Records that were delivered again, by reason.
    pub(super) again: BTreeMap<Reread, usize>,
}

/// A list may be as old as so many steps.
const LATE_LIST: u64 = 3;

impl ModelStream {
    pub(super) fn new(shards: usize, keeps: Option<u64>) -> Self {
        let nothing = || Rc::new(ShardGraph::default());
        let mut stream = Self {
            shards: Vec::new(),
            keeps,
            listed: [nothing(), nothing()],
            changed: 0,
            splits: 0,
            merges: 0,
            again: BTreeMap::new(),
        };
        (0..shards).for_each(|_| stream.add(Vec::new()));
        stream.changed(0);
        stream
    }

    pub(super) fn number(id: &str) -> usize {
        id.rsplit('-').next().unwrap().parse().unwrap()
    }

    fn add(&mut self, parents: Vec<usize>) {
        let id = format!("shardId-{:012}", self.shards.len()).into();
        self.shards.push(ModelShard {
            id,
            parents,
            records: 0,
            closed: None,
            delivered: Vec::new(),
            explained: Vec::new(),
            whole: 0,
            read: 0,
            reason: None,
        });
    }

    pub(super) fn open(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|number| self.shards[*number].is_open()).collect()
    }

    pub(super) fn split(&mut self, number: usize, step: u64) {
        self.splits += 1;
        self.shards[number].closed = Some(step);
        self.add(vec![number]);
        self.add(vec![number]);
    }

    pub(super) fn merge(&mut self, pair: [usize; 2], step: u64) {
        self.merges += 1;
        for number in pair {
            self.shards[number].closed = Some(step);
        }
        self.add(pair.to_vec());
    }

    pub(super) fn is_kept(&self, number: usize, step: u64) -> bool {
        let is_kept = |closed: u64| self.keeps.is_none_or(|keeps| step - closed < keeps);
        self.shards[number].closed.is_none_or(is_kept)
    }

    /// Shards were added.
    pub(super) fn changed(&mut self, step: u64) {
        let numbers = (0..self.shards.len()).filter(|number| self.is_kept(*number, step));
        let graph = Rc::new(ShardGraph::new(numbers.map(|number| self.listed(number))));
        self.listed = [graph, Rc::clone(&self.listed[0])];
        self.changed = step;
    }

    fn listed(&self, number: usize) -> ListedShard {
        let shard = &self.shards[number];
        ListedShard {
            id: Arc::clone(&shard.id),
            parents: shard.parents.iter().map(|parent| Arc::clone(&self.shards[*parent].id)).collect(),
            hashes: HashRange { first: "0".into(), last: "9".into() },
            first: SequenceNumber::new(&number.to_string()).unwrap(),
            is_closed: !shard.is_open(),
        }
    }

    /// As `ListShards` gives it, sometimes a little late.
    pub(super) fn list(&self, step: u64, random: &mut fastrand::Rng) -> Rc<ShardGraph> {
        let is_late = step - self.changed < LATE_LIST && step > LATE_LIST && random.bool();
        Rc::clone(&self.listed[usize::from(is_late)])
    }

    /// What the last answer for a shard tells of its children.
    pub(super) fn told(&self, parent: usize) -> Vec<ListedShard> {
        let of = |number: &usize| self.shards[*number].parents.contains(&parent);
        // Children are not far behind their parents.
        (parent..self.shards.len()).filter(of).map(|number| self.listed(number)).collect()
    }

    /// Records of a shard are delivered.
    pub(super) fn deliver(&mut self, number: usize, [from, upto]: [usize; 2], is_owner: bool) {
        let (reason, again) = self.shards[number].deliver(from, upto, is_owner);
        if again > 0 {
            *self.again.entry(reason).or_default() += again;
        }
    }

    /// Records of a shard come.
    pub(super) fn put(&mut self, number: usize, records: usize) {
        self.shards[number].records += records;
    }

    /// Nothing is to be known any more of shards that are done and are kept no more.
    pub(super) fn forget(&mut self, step: u64) {
        for number in 0..self.shards.len() {
            if !self.is_kept(number, step) && self.shards[number].is_done() {
                (self.shards[number].delivered, self.shards[number].explained) = (Vec::new(), Vec::new());
            }
        }
    }

    /// The records that nobody delivered.
    pub(super) fn lost(&self) -> Vec<String> {
        let is_lost = |(_, shard): &(usize, &ModelShard)| shard.whole < shard.records;
        let lost = self.shards.iter().enumerate().filter(is_lost);
        lost.map(|(number, shard)| format!("shard {number}: {} of {}", shard.whole, shard.records))
            .take(5)
            .collect()
    }
}
