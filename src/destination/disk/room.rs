//! Room in a full disk buffer: sources wait, or the oldest records make some.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::blocking;
use super::write::{Gone, Writer};
use crate::buffer::disk::{Disk, Evicted, Log, Part, Reader};
use crate::config::WhenFull;
use crate::deadletter::{DeadLetter, Letter};
use crate::event::{AckGuard, Record, Timestamp};

/// The reason of records that went to the dead letters since the buffer was full.
const FULL: &str = "buffer_full";

/// How much is read at a time of what goes to the dead letters.
const LETTERS_BYTES: usize = 4 * 1024 * 1024;

impl Writer<'_> {
    /// How many of the records there is room for, and the bytes that are reserved for them.
    pub(crate) async fn reserve(&mut self, records: &[Record]) -> Result<(usize, u64), Gone> {
        let sizes: Vec<u64> = match &mut self.log {
            Some(log) => records.iter().map(|record| log.size_of(record)).collect(),
            None => return Err(Gone),
        };
        loop {
            let reserved = self.spool.quota.reserve(self.accounted, &sizes);
            if reserved.0 > 0 || !self.make_room().await? {
                return Ok(reserved);
            }
        }
    }

    /// Frees the room that what is delivered takes. Returns whether there was any.
    pub(crate) async fn free_delivered(&mut self) -> Result<bool, Gone> {
        let before = self.accounted;
        self.save().await?;
        if self.spool.queue.is_log_drained() {
            self.retire().await?;
        }
        Ok(self.accounted < before)
    }

    /// Frees room if the sink's `when_full` allows it, or what is delivered takes some. Returns whether it did.
    async fn make_room(&mut self) -> Result<bool, Gone> {
        if self.free_delivered().await? {
            return Ok(true);
        }
        match self.spool.quota.when_full() {
            WhenFull::Block => Ok(false),
            WhenFull::DropOldest | WhenFull::DeadLetter => self.evict().await,
        }
    }

    /// Gives up the oldest records that the sink has not taken. Returns whether there were any, and they are gone.
    async fn evict(&mut self) -> Result<bool, Gone> {
        let Some(mut evicted) = self.evicting.take().or_else(|| self.spool.queue.evict()) else {
            return Ok(false);
        };
        let segment = evicted.segment;
        let rotate = move |log: &mut Log<Disk>| {
            if log.is_open(segment) {
                log.rotate();
            }
        };
        self.with_log(rotate).await?;
        if self.spool.quota.when_full() == WhenFull::DeadLetter && !self.enqueue(&mut evicted).await? {
            self.evicting = Some(evicted);
            return Ok(false);
        }
        self.drop_rest(evicted);
        self.save().await?;
        if !self.tracker.is_under_way(segment) && self.spool.queue.delivered().segment <= segment {
            self.hollow(segment).await?;
        }
        Ok(true)
    }

    async fn hollow(&mut self, segment: u64) -> Result<(), Gone> {
        if let Err(error) = self.with_log(move |log| log.hollow(segment)).await? {
            self.spool.trouble("write", &error, &mut self.said);
        }
        Ok(())
    }

    /// Ends what is left of the evicted records.
    fn drop_rest(&self, evicted: Evicted) {
        let mut events: u64 = evicted.records.iter().map(|record| record.events).sum();
        let acks = evicted.records.into_iter().flat_map(|record| record.acks);
        let mut acks: Vec<AckGuard> = acks.collect();
        if let Some((_, unread, ack)) = evicted.unread {
            events = events.saturating_add(unread);
            acks.push(ack);
        }
        if events > 0 {
            warn!(
                destination = self.spool.label,
                events, "the disk buffer is full: the oldest events are dropped"
            );
            self.spool.metrics.dropped("oldest", events);
        }
        acks.into_iter().for_each(AckGuard::settle);
    }

    /// Writes the evicted records to the dead letters, and takes out those that are there. Returns whether all are.
    async fn enqueue(&mut self, evicted: &mut Evicted) -> Result<bool, Gone> {
        let records = std::mem::take(&mut evicted.records);
        let (records, dead_lettered_at) = self.bury_records(records).await?;
        if !dead_lettered_at {
            evicted.records = records;
            return Ok(false);
        }
        let mut reader = Reader::new(Disk, &self.spool.dir, Arc::clone(&self.spool.buffers));
        while let Some((part, events, ack)) = evicted.unread.take() {
            if part.from >= part.end {
                self.spool.count_lost(events);
                ack.settle();
                break;
            }
            let read = move || {
                let loaded = reader.read(part, LETTERS_BYTES);
                (reader, loaded)
            };
            let (again, loaded) = blocking(read).await.ok_or(Gone)?;
            reader = again;
            let Ok(loaded) = loaded.inspect_err(|error| self.spool.trouble("read", error, &mut self.said))
            else {
                evicted.unread = Some((part, events, ack));
                return Ok(false);
            };
            self.spool.report(&loaded.findings);
            let (to, now) = (loaded.to, (Instant::now(), Timestamp::now()));
            let records = loaded.records.into_iter().map(|record| record.into_record(now)).collect();
            let (records, dead_lettered_at) = self.bury_records(records).await?;
            let written: u64 = records.iter().map(|record| record.events).sum();
            let left = if dead_lettered_at {
                (Part { from: to, ..part }, events.saturating_sub(written))
            } else {
                (part, events)
            };
            evicted.unread = Some((left.0, left.1, ack));
            if !dead_lettered_at {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes records to the dead letters. Those with ack guards are settled once they are there.
    async fn bury_records(&mut self, records: Vec<Record>) -> Result<(Vec<Record>, bool), Gone> {
        let (dead_letters, sink) =
            (Arc::clone(&self.spool.dead_letters), self.spool.metrics.name().to_owned());
        let write = move || {
            let now = Timestamp::now();
            let letters = records.iter().map(|record| DeadLetter::of_record(record, FULL, None, now));
            let letters: Vec<DeadLetter> = letters.collect();
            let letters: Vec<Letter<'_>> = letters.iter().map(DeadLetter::borrow).collect();
            (records, dead_letters.write(&sink, &letters))
        };
        let (mut records, written) = blocking(write).await.ok_or(Gone)?;
        if let Err(error) = written {
            self.spool.trouble("dead_letter", &error, &mut self.said);
            return Ok((records, false));
        }
        let events: u64 = records.iter().map(|record| record.events).sum();
        if events > 0 {
            warn!(
                destination = self.spool.label,
                events, "the disk buffer is full: the oldest events are in the dead letters"
            );
            self.spool.metrics.dead_letter(FULL, events);
        }
        records.iter_mut().flat_map(|record| record.acks.drain(..)).for_each(AckGuard::settle);
        Ok((records, true))
    }
}
