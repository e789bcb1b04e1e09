//! A service that keeps shards and who owns them, and a source of it. Its checkpoints are conditional writes that are slow, fail, or
//! succeed without an answer; owners change behind the source's back, and shards come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::ack::{CheckpointFailure, Checkpointer, PositionTracker, keep_checkpointed, last_checkpoint};
use crate::event::{Chunk, Origin, Piece, Timestamp};
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};
use crate::source::{Source, SourceContext, SourceError, SourceFuture, Stop};

/// Records that a source takes at once.
const BATCH: usize = 7;

/// The service.
pub(super) struct Remote {
    state: Mutex<RemoteState>,
}

struct RemoteState {
    random: fastrand::Rng,
    shards: BTreeMap<u64, RemoteShard>,
    /// Whether writes fail, owners change, and shards come.
    is_faulty: bool,
    owners: u64,
}

#[derive(Default)]
struct RemoteShard {
    records: Vec<String>,
    /// So many records are acknowledged.
    checkpoint: usize,
    owner: Option<u64>,
}

impl Remote {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let random = fastrand::Rng::with_seed(seed);
        let state = RemoteState { random, shards: BTreeMap::new(), is_faulty: true, owners: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Something happens: a new shard, more records, or another owner.
    pub(super) fn happen(&self) {
        let mut state = self.state();
        let new = state.shards.len() as u64;
        if state.random.u8(..) < 100 || new == 0 {
            state.shards.insert(new, RemoteShard::default());
        }
        let RemoteState { random, shards, .. } = &mut *state;
        for (number, shard) in shards {
            let first = shard.records.len();
            shard
                .records
                .extend((0..random.usize(..40)).map(|n| format!("shard {number} record {}", first + n)));
            if random.u8(..) < 30 {
                // Somebody else takes it, or lets it go; who had it is not told.
                shard.owner = random.bool().then_some(0);
            }
        }
    }

    /// No more faults, and what others own is free, as that of an owner that is gone.
    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.is_faulty = false;
        for shard in state.shards.values_mut() {
            shard.owner = None;
        }
    }

    pub(super) fn is_all_acknowledged(&self) -> bool {
        self.state().shards.values().all(|shard| shard.checkpoint == shard.records.len())
    }

    /// Every record that is acknowledged was delivered.
    #[track_caller]
    pub(super) fn check_acknowledged(&self, delivered: impl Fn() -> BTreeSet<String>) {
        let records =
            |shard: &RemoteShard| shard.records.iter().take(shard.checkpoint).cloned().collect::<Vec<_>>();
        let acknowledged: Vec<String> = self.state().shards.values().flat_map(records).collect();
        let delivered = delivered();
        let lost = acknowledged.iter().find(|record| !delivered.contains(*record));
        assert_eq!(lost, None, "acknowledged, and not delivered");
    }

    /// Every record was delivered.
    #[track_caller]
    pub(super) fn check_all(&self, delivered: &BTreeSet<String>) {
        let state = self.state();
        let records = state.shards.values().flat_map(|shard| &shard.records);
        let lost: Vec<_> = records.filter(|record| !delivered.contains(*record)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }

    /// Prepares a source of this service, whatever its configuration says.
    pub(super) fn prepare(self: &Arc<Self>, context: SourceContext) -> RemoteSource {
        RemoteSource { remote: Arc::clone(self), context, units: Vec::new() }
    }

    /// Takes the shards that nobody owns, each as an owner that never was before: who had it cannot write any more, even if it is
    /// the same source.
    fn take(self: &Arc<Self>) -> Vec<(OwnedShard, usize)> {
        let mut state = self.state();
        let RemoteState { shards, owners, .. } = &mut *state;
        let mut taken = Vec::new();
        for (number, shard) in shards.iter_mut().filter(|(_, shard)| shard.owner.is_none()) {
            *owners += 1;
            shard.owner = Some(*owners);
            let owned = OwnedShard { remote: Arc::clone(self), number: *number, owner: *owners };
            taken.push((owned, shard.checkpoint));
        }
        taken
    }

    /// Gives a shard back.
    fn release(&self, shard: u64, owner: u64) {
        let mut state = self.state();
        if let Some(shard) = state.shards.get_mut(&shard).filter(|shard| shard.owner == Some(owner)) {
            shard.owner = None;
        }
    }

    fn read(&self, shard: u64, from: usize) -> Vec<String> {
        let state = self.state();
        let records = state.shards.get(&shard).map(|shard| shard.records.as_slice()).unwrap_or_default();
        records.iter().skip(from).take(BATCH).cloned().collect()
    }

    /// The conditional write.
    async fn checkpoint(&self, shard: u64, owner: u64, position: usize) -> Result<(), CheckpointFailure> {
        let (pause, fate) = {
            let mut state = self.state();
            let fate = if state.is_faulty { state.random.u8(..10) } else { 9 };
            (state.random.u64(..15), fate)
        };
        let failed = |why: &str| CheckpointFailure::Failed(why.into());
        sleep(Duration::from_millis(pause)).await;
        if fate < 2 {
            return Err(failed("nobody answers"));
        }
        let mut state = self.state();
        let Some(shard) = state.shards.get_mut(&shard).filter(|shard| shard.owner == Some(owner)) else {
            return Err(CheckpointFailure::NotOwner);
        };
        assert!(position >= shard.checkpoint, "a checkpoint went back");
        shard.checkpoint = position;
        if fate < 4 { Err(failed("the answer is lost")) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, RemoteState> {
        self.state.lock().unwrap()
    }
}

/// A source of all shards that it can own.
pub(super) struct RemoteSource {
    remote: Arc<Remote>,
    context: SourceContext,
    units: Vec<RemoteUnit>,
}

/// One shard, as long as this source owns it.
struct RemoteUnit {
    shard: Arc<OwnedShard>,
    tracker: Arc<PositionTracker<usize>>,
    lane: Arc<OrderedLane>,
    next: usize,
    /// Writes its checkpoints.
    checkpoints: JoinSet<()>,
}

struct OwnedShard {
    remote: Arc<Remote>,
    number: u64,
    owner: u64,
}

impl Checkpointer for OwnedShard {
    type Position = usize;

    async fn checkpoint(&self, position: &usize) -> Result<(), CheckpointFailure> {
        self.remote.checkpoint(self.number, self.owner, *position).await
    }
}

impl RemoteSource {
    fn own(&mut self, intake: &Intake) {
        self.units.retain(|unit| !unit.tracker.is_revoked());
        for (shard, next) in self.remote.take() {
            let shard = Arc::new(shard);
            let tracker = PositionTracker::new();
            let (kept, by) = (Arc::clone(&tracker), Arc::clone(&shard));
            let mut checkpoints = JoinSet::new();
            checkpoints.spawn(async move { keep_checkpointed(&kept, &*by, Duration::from_millis(10)).await });
            let lane = intake.lane(WhenFullDestination::Wait);
            self.units.push(RemoteUnit { shard, tracker, lane, next, checkpoints });
        }
    }

    async fn round(&mut self, intake: &Intake) {
        self.own(intake);
        for unit in &mut self.units {
            let records = self.remote.read(unit.shard.number, unit.next);
            if records.is_empty() || unit.lane.is_blocked() {
                continue;
            }
            let payload: Bytes = (records.join(
                "
",
            ) + "
")
            .into();
            let held = intake.admit(payload.len()).await;
            unit.next += records.len();
            let read_at = Timestamp::now();
            let ack = unit.tracker.begin(unit.next, read_at);
            let (source, host) = (Arc::clone(&self.context.name), Arc::clone(&self.context.host));
            let origin = Arc::new(Origin { source, host, ..Origin::default() });
            let chunk = Chunk { origin, payload, piece: Piece::default(), read_at, ack, held };
            // A closed pipeline is a stop.
            intake.submit(&unit.lane, chunk).await.ok();
        }
    }
}

impl Source for RemoteSource {
    fn run(&mut self, intake: Intake, mut stop: Stop) -> SourceFuture<'_> {
        Box::pin(async move {
            while !stop.is_requested() {
                self.round(&intake).await;
                tokio::select! {
                    () = stop.requested() => {}
                    () = sleep(Duration::from_millis(3)) => {}
                }
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move {
            let mut late = Ok(());
            for mut unit in self.units {
                // Everything that was handed out has ended by now.
                assert!(tokio::time::timeout(Duration::ZERO, unit.tracker.ended()).await.is_ok());
                unit.checkpoints.shutdown().await;
                let deadline = Instant::now() + Duration::from_secs(2);
                match last_checkpoint(&unit.tracker, &*unit.shard, deadline).await {
                    Ok(()) | Err(CheckpointFailure::NotOwner) => {}
                    Err(failed) => late = Err(SourceError::Other(Box::new(failed))),
                }
                self.remote.release(unit.shard.number, unit.shard.owner);
            }
            late
        })
    }
}
