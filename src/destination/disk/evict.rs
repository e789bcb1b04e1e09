//! Room in a full disk buffer at the cost of its oldest records: they are dropped, or go to the dead letters.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::context::{DiskContext, RuntimeGone, blocking};
use super::writer::LogWriter;
use crate::buffer::disk::{Evicted, EvictedRange, LogReader, OsFileSystem, SegmentRange};
use crate::config::WhenFull;
use crate::deadletter::{DeadLetter, Letter};
use crate::destination::storage::DiskStorage;
use crate::event::{AckGuard, Record, Timestamp};
use crate::sink::DestinationName;

/// The reason of records that went to the dead letters since the buffer was full.
const FULL: &str = "buffer_full";

/// How much is read at a time of what goes to the dead letters.
const LETTERS_BYTES: usize = 4 * 1024 * 1024;

/// Gives up the oldest records, a segment at a time.
#[derive(Debug)]
pub(super) struct Evictor<'c> {
    context: &'c DiskContext,
    /// Taken out, and not all in the dead letters yet.
    unfinished: Option<Evicted>,
}

/// What became of records that were to be written to the dead letters.
enum LettersWritten {
    /// They are there, with so many events.
    Yes(u64),
    /// They are not, and must be tried again.
    No(Vec<Record>),
}

impl<'c> Evictor<'c> {
    pub(super) fn new(context: &'c DiskContext) -> Self {
        Self { context, unfinished: None }
    }

    /// Gives up the oldest records that the sink has not taken. Returns whether there were any, and they are gone.
    pub(super) async fn evict(&mut self, writer: &mut LogWriter<'_>) -> Result<bool, RuntimeGone> {
        let DiskContext { queue, quota, .. } = self.context;
        let evicted = self.unfinished.take().or_else(|| queue.change_disk(DiskStorage::evict));
        let Some(mut evicted) = evicted else { return Ok(false) };
        let segment = evicted.segment;
        writer.end_segment(segment).await?;
        if quota.when_full() == WhenFull::DeadLetter && !self.move_to_letters(&mut evicted, writer).await? {
            self.unfinished = Some(evicted);
            return Ok(false);
        }
        self.drop_rest(evicted);
        writer.save().await?;
        let stays_empty =
            |disk: &DiskStorage| !disk.is_under_way(segment) && disk.delivered().segment <= segment;
        if queue.look_at_disk(stays_empty) {
            writer.clear_segment(segment).await?;
        }
        Ok(true)
    }

    /// Ends what is left of the evicted records.
    fn drop_rest(&self, evicted: Evicted) {
        let mut events: u64 = evicted.records.iter().map(|record| record.events).sum();
        let acks = evicted.records.into_iter().flat_map(|record| record.acks);
        let mut acks: Vec<AckGuard> = acks.collect();
        if let Some(unread) = evicted.unread {
            events = events.saturating_add(unread.events);
            acks.push(unread.ack);
        }
        if events > 0 {
            let DestinationName { sink, stream } = &self.context.label;
            warn!(sink, stream, events, "the disk buffer is full: the oldest events are dropped");
            self.context.metrics.dropped("oldest", events);
        }
        acks.into_iter().for_each(AckGuard::settle);
    }

    /// Writes evicted records to the dead letters, and takes out those that are there. Returns whether all are.
    async fn move_to_letters(
        &self,
        evicted: &mut Evicted,
        writer: &mut LogWriter<'_>,
    ) -> Result<bool, RuntimeGone> {
        let records = std::mem::take(&mut evicted.records);
        if let LettersWritten::No(records) = self.write_letters(records, writer).await? {
            evicted.records = records;
            return Ok(false);
        }
        let mut reader = LogReader::new(OsFileSystem, &self.context.dir, Arc::clone(&self.context.buffers));
        while let Some(unread) = evicted.unread.take() {
            if unread.range.from >= unread.range.end {
                self.context.count_lost(unread.events);
                unread.ack.settle();
                break;
            }
            let range = unread.range;
            let read = move || {
                let mut loaded = reader.read(range, LETTERS_BYTES);
                loaded.iter_mut().for_each(|loaded| reader.keep_aside(loaded));
                (reader, loaded)
            };
            let (again, loaded) = blocking(read).await?;
            reader = again;
            let Ok(loaded) = loaded.inspect_err(|error| writer.failed("read", error)) else {
                evicted.unread = Some(unread);
                return Ok(false);
            };
            self.context.report_damage(&loaded.damage);
            let (to, now, wall) = (loaded.to, Instant::now(), Timestamp::now());
            let records = loaded.records.into_iter().map(|record| record.into_record(now, wall)).collect();
            let LettersWritten::Yes(events) = self.write_letters(records, writer).await? else {
                evicted.unread = Some(unread);
                return Ok(false);
            };
            evicted.unread = Some(EvictedRange {
                range: SegmentRange { from: to, ..range },
                events: unread.events.saturating_sub(events),
                ack: unread.ack,
            });
        }
        Ok(true)
    }

    /// Writes records to the dead letters. Those with ack guards are settled once they are there.
    async fn write_letters(
        &self,
        records: Vec<Record>,
        writer: &mut LogWriter<'_>,
    ) -> Result<LettersWritten, RuntimeGone> {
        let DiskContext { metrics, label, .. } = self.context;
        let (dead_letters, sink) = (Arc::clone(&self.context.dead_letters), metrics.name().to_owned());
        let write = move || {
            let now = Timestamp::now();
            let letters = records.iter().map(|record| DeadLetter::of_record(record, FULL, None, now));
            let letters: Vec<DeadLetter> = letters.collect();
            let letters: Vec<Letter<'_>> = letters.iter().map(DeadLetter::borrow).collect();
            (records, dead_letters.write(&sink, &letters))
        };
        let (records, written) = blocking(write).await?;
        if let Err(error) = written {
            writer.failed("dead_letter", &error);
            return Ok(LettersWritten::No(records));
        }
        let events: u64 = records.iter().map(|record| record.events).sum();
        if events > 0 {
            warn!(
                sink = label.sink,
                stream = label.stream,
                events,
                "the disk buffer is full: the oldest events went to the dead letters"
            );
            metrics.dead_letter(FULL, events);
        }
        records.into_iter().flat_map(|record| record.acks).for_each(AckGuard::settle);
        Ok(LettersWritten::Yes(events))
    }
}
