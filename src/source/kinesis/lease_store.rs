//! Where leases are kept: in a table that is shared, or in the state directory, where all of them are ours.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::lease::{Leases, ShardLease};
use super::lease_fault::LeaseFault;
use super::lease_table::{LeaseTable, OwnersWrite};
use super::position::ShardPosition;
use crate::ack::{Checkpoints, LocalAccount};
use crate::event::Timestamp;
use crate::sync::Lock;

/// All leases of a stream.
#[derive(Debug)]
pub(super) enum LeaseStore {
    /// Shared with others.
    Shared(Box<LeaseTable>),
    /// This process reads all shards.
    Own(OwnLeases),
}

/// Leases in the state directory.
pub(super) struct OwnLeases {
    source: Arc<str>,
    stream: Arc<str>,
    checkpoints: Arc<Checkpoints>,
    /// The lock covers a look or a change.
    shards: Lock<BTreeMap<Arc<str>, Arc<LocalAccount<ShardPosition>>>>,
}

impl OwnLeases {
    /// What an earlier run left of this stream.
    pub(super) fn claim(source: &Arc<str>, stream: &Arc<str>, checkpoints: &Arc<Checkpoints>) -> Self {
        let stored = checkpoints.stored::<ShardPosition>(source);
        let known = stored.into_iter().filter_map(|account| {
            let position = account.position();
            (position.stream == *stream).then_some((position.lease.shard, account))
        });
        let shards = Lock::new(known.collect());
        Self {
            source: Arc::clone(source),
            stream: Arc::clone(stream),
            checkpoints: Arc::clone(checkpoints),
            shards,
        }
    }

    fn leases(&self) -> Leases {
        let shards = self.shards.lock();
        shards.iter().map(|(shard, account)| (Arc::clone(shard), account.position().lease)).collect()
    }

    fn create(&self, lease: &ShardLease) {
        let mut shards = self.shards.lock();
        shards.entry(Arc::clone(&lease.shard)).or_insert_with(|| {
            let position = ShardPosition { stream: Arc::clone(&self.stream), lease: lease.clone() };
            self.checkpoints.begin(&self.source, position)
        });
    }

    fn write(&self, shard: &str, write: OwnersWrite<'_>) -> bool {
        let Some(account) = self.shards.lock().get(shard).map(Arc::clone) else { return false };
        if let OwnersWrite::Mark(mark) = write {
            account.change(|position| position.lease.mark.clone_from(mark));
        }
        true
    }

    fn remove(&self, shard: &str) {
        if let Some(account) = self.shards.lock().remove(shard) {
            account.forget();
        }
    }
}

impl fmt::Debug for OwnLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnLeases").finish_non_exhaustive()
    }
}

impl LeaseStore {
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Sees to it that it can be used.
    pub(super) async fn open(&self) -> Result<(), LeaseFault> {
        match self {
            Self::Shared(table) => table.open().await,
            Self::Own(_) => Ok(()),
        }
    }

    /// As [`LeaseTable::check_versions`].
    pub(super) async fn check_versions(&self) -> Result<(), LeaseFault> {
        match self {
            Self::Shared(table) => table.check_versions().await,
            Self::Own(_) => Ok(()),
        }
    }

    pub(super) async fn leases(&self) -> Result<Leases, LeaseFault> {
        match self {
            Self::Shared(table) => table.leases().await,
            Self::Own(own) => Ok(own.leases()),
        }
    }

    /// As [`LeaseTable::leases_by_now`].
    pub(super) async fn leases_by_now(&self) -> Result<Leases, LeaseFault> {
        match self {
            Self::Shared(table) => table.leases_by_now().await,
            Self::Own(own) => Ok(own.leases()),
        }
    }

    /// As [`LeaseTable::create`].
    pub(super) async fn create(&self, lease: &ShardLease) -> Result<bool, LeaseFault> {
        match self {
            Self::Shared(table) => table.create(lease).await,
            Self::Own(own) => {
                own.create(lease);
                Ok(true)
            }
        }
    }

    /// As [`LeaseTable::take`].
    pub(super) async fn take(&self, lease: &ShardLease, now: Timestamp) -> Result<Option<u64>, LeaseFault> {
        match self {
            Self::Shared(table) => table.take(lease, now).await,
            Self::Own(_) => Ok(Some(0)),
        }
    }

    /// As [`LeaseTable::write`].
    pub(super) async fn write(
        &self,
        shard: &str,
        counter: u64,
        write: OwnersWrite<'_>,
    ) -> Result<Option<u64>, LeaseFault> {
        match self {
            Self::Shared(table) => table.write(shard, counter, write).await,
            Self::Own(own) => Ok(own.write(shard, write).then_some(0)),
        }
    }

    /// As [`LeaseTable::set_children`].
    pub(super) async fn set_children(&self, shard: &str, children: &[Arc<str>]) -> Result<(), LeaseFault> {
        match self {
            Self::Shared(table) => table.set_children(shard, children).await,
            Self::Own(_) => Ok(()),
        }
    }

    /// As [`LeaseTable::give_back`].
    pub(super) async fn give_back(&self, shard: &str) -> Result<(), LeaseFault> {
        match self {
            Self::Shared(table) => table.give_back(shard).await,
            Self::Own(_) => Ok(()),
        }
    }

    pub(super) async fn remove(&self, shard: &str) -> Result<(), LeaseFault> {
        match self {
            Self::Shared(table) => table.remove(shard).await,
            Self::Own(own) => {
                own.remove(shard);
                Ok(())
            }
        }
    }
}
