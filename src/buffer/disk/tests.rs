//! The log against a model, and each damage by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::files::FileSystem;
use super::testing::{EIO, ENOSPC, EROFS, MemoryFileSystem, record};
use super::*;
use crate::buffer::RequestRoom;
use crate::event::{AckGuard, Budget, Buffers, Record, Timestamp};

fn dir() -> PathBuf {
    PathBuf::from("/state/spool/archive/logs")
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: 300, shared: Arc::from([]) }
}

/// A log as the daemon uses it, one step at a time.
struct TestLog {
    writer: Log<MemoryFileSystem>,
    reader: LogReader<MemoryFileSystem>,
    backlog: Backlog,
    draft: CursorDraft<MemoryFileSystem>,
    damage: Vec<Damage>,
    budget: Arc<Budget>,
    /// Events that the last opening found, less those that were lost when they were read.
    events: u64,
}

impl TestLog {
    fn open(files: &MemoryFileSystem) -> std::io::Result<Self> {
        let OpenedLog { log: writer, contents, damage } = open(files.clone(), &dir(), options())?;
        let backlog = Backlog::new(&contents, Arc::default());
        let reader = LogReader::new(files.clone(), &dir(), Buffers::new(BUFFER_BYTES, 1));
        let events = backlog.unread_events();
        let draft = CursorDraft::new(files.clone(), &dir());
        Ok(Self { writer, reader, backlog, draft, damage, budget: Budget::new(1 << 30), events })
    }

    /// Appends, keeping what is stored in memory or not; returns how many were stored.
    fn push(&mut self, records: Vec<Record>, keep: bool) -> usize {
        let appended = self.writer.append(&records, Timestamp(1));
        let count = appended.stored.len();
        assert_eq!(appended.failed.is_none(), count == records.len());
        for (mut record, stored) in records.into_iter().zip(appended.stored) {
            record.acks.drain(..).for_each(AckGuard::settle);
            let held = keep.then(|| self.budget.charge(record.len as u64));
            self.backlog.stored(record, stored, held);
        }
        count
    }

    fn take(&mut self, records: usize) -> Vec<Record> {
        while self.backlog.ready_records() == 0
            && let Some(part) = self.backlog.unread()
        {
            let mut loaded = self.reader.read(part, 8).unwrap();
            self.reader.keep_aside(&mut loaded);
            self.damage.extend(loaded.damage.iter().cloned());
            let budget = Arc::clone(&self.budget);
            self.events -= self.backlog.loaded(loaded, |bytes| budget.charge(bytes as u64)).min(self.events);
        }
        self.backlog.take_request(RequestRoom { records, bytes: usize::MAX })
    }

    fn save(&mut self) -> std::io::Result<()> {
        let delivered = self.backlog.delivered();
        self.writer.save(delivered)?;
        self.backlog.forget_before(delivered.segment);
        Ok(())
    }

    fn note(&mut self) -> std::io::Result<()> {
        self.draft.write(&CursorPlace {
            delivered: self.backlog.delivered(),
            out_of_order: self.backlog.out_of_order(),
            stored_last: self.backlog.stored_last().unwrap_or_default(),
        })
    }

    /// Everything that is left, in order.
    fn rest(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let taken = self.take(10);
            if taken.is_empty() {
                return texts;
            }
            texts.extend(taken.into_iter().map(end));
        }
    }

    fn flaws(&self) -> Vec<Flaw> {
        self.damage.iter().map(|damage| damage.flaw).collect()
    }
}

/// Delivers a record.
fn end(record: Record) -> String {
    record.acks.into_iter().for_each(AckGuard::settle);
    String::from_utf8(record.parts.concat()).unwrap()
}

fn end_all(records: Vec<Record>) {
    for record in records {
        drop(end(record));
    }
}

fn records(texts: &[&str]) -> Vec<Record> {
    texts.iter().map(|text| record(text)).collect()
}

const SIX: [&str; 6] = ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n"];

/// A log with six records in two segments, of a process that was killed.
fn six() -> MemoryFileSystem {
    let files = MemoryFileSystem::default();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.push(records(&SIX), true), 6);
    let segments = files.names().iter().filter(|name| log::number(name).is_some()).count();
    assert_eq!(segments, 2, "{:?}", files.names());
    files
}

fn segment(number: u64) -> PathBuf {
    dir().join(format!("{number:020}.spool"))
}

/// Damages the log of six records: what is left of it, what is found, and what is kept aside.
#[track_caller]
fn check(damage: impl FnOnce(&MemoryFileSystem), left: &[&str], flaws: &[Flaw], kept: usize) {
    let files = six();
    damage(&files);
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.rest(), left);
    assert_eq!(log.flaws(), flaws);
    assert_eq!(log.events, left.len() as u64, "what is accepted is what is delivered or lost");
    let aside = files.names().iter().filter(|name| name.ends_with(".corrupt")).count();
    assert_eq!(aside, kept, "{:?}", files.names());
    assert!(log.damage.iter().all(|damage| damage.kept.is_some() == (kept > 0)));

    // And it goes on.
    assert_eq!(log.push(records(&["seven\n"]), true), 1);
    assert_eq!(log.rest(), ["seven\n"]);
    log.save().unwrap();
    assert_eq!(TestLog::open(&files).unwrap().rest(), Vec::<String>::new());
}

fn flip(files: &MemoryFileSystem, number: u64, text: &str) {
    files.change(&segment(number), |data| {
        let at = memchr::memmem::find(data, text.as_bytes()).unwrap();
        data[at] ^= 1;
    });
}

#[test]
fn an_undamaged_log_is_delivered_whole() {
    check(|_| (), &SIX, &[], 0);
}

#[test]
fn a_torn_tail_is_cut_off() {
    check(
        |files| files.change(&segment(2), |data| data.truncate(data.len() - 3)),
        &SIX[..5],
        &[Flaw::Torn],
        1,
    );
}

#[test]
fn a_zero_filled_tail_is_cut_off() {
    check(|files| files.change(&segment(2), |data| data.extend([0; 5000])), &SIX, &[Flaw::Zeros], 1);
}

#[test]
fn a_flipped_bit_in_the_middle_costs_one_record() {
    check(
        |files| flip(files, 1, "two"),
        &["one\n", "three\n", "four\n", "five\n", "six\n"],
        &[Flaw::Checksum],
        1,
    );
    check(
        |files| flip(files, 2, "five"),
        &["one\n", "two\n", "three\n", "four\n", "six\n"],
        &[Flaw::Checksum],
        1,
    );
}

#[test]
fn a_missing_segment_is_noticed() {
    check(|files| files.remove(&segment(1)).unwrap(), &["five\n", "six\n"], &[Flaw::Missing], 0);
}

#[test]
fn a_segment_of_another_version_is_put_aside() {
    check(
        |files| {
            files.change(&segment(1), |data| {
                data[8] = 9;
                let sum = crc32c::crc32c(&data[..32]);
                data[32..36].copy_from_slice(&sum.to_le_bytes());
            });
        },
        &["five\n", "six\n"],
        &[Flaw::Version],
        1,
    );
}

#[test]
fn a_half_written_header_is_put_aside() {
    check(|files| files.change(&segment(2), |data| data.truncate(20)), &SIX[..4], &[Flaw::Header], 1);
}

#[test]
fn a_damaged_header_before_whole_records_is_fixed() {
    check(|files| files.change(&segment(1), |data| data[3] ^= 1), &SIX, &[Flaw::Header], 1);
}

#[test]
fn a_damaged_cursor_delivers_again_and_loses_nothing() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    end_all(log.take(3));
    log.save().unwrap();
    files.change(&dir().join("cursor"), |data| data.fill(7));
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!((log.flaws(), log.rest()), (vec![Flaw::Cursor], SIX.map(str::to_owned).to_vec()));
}

#[test]
fn a_torn_write_of_the_cursor_leaves_the_one_before() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    for _ in 0..2 {
        end_all(log.take(1));
        log.save().unwrap();
    }
    for half in [0..44, 4096..4140] {
        let torn = files.data(&dir().join("cursor")).unwrap();
        files.change(&dir().join("cursor"), |data| data[half].fill(1));
        let rest = TestLog::open(&files).unwrap().rest();
        assert!(rest == SIX[1..] || rest == SIX[2..], "{rest:?}");
        files.change(&dir().join("cursor"), |data| *data = torn);
    }
}

#[test]
fn a_full_disk_stores_nothing_by_half_and_goes_on_when_there_is_room() {
    for after in 0..8 {
        let files = MemoryFileSystem::default();
        let mut log = TestLog::open(&files).unwrap();
        assert_eq!(log.push(records(&SIX[..2]), true), 2);
        files.fail(after, u32::MAX, ENOSPC);
        let stored = log.push(records(&SIX[2..]), true);
        assert!(stored < 4, "after {after}");
        files.works_again();
        assert_eq!(log.push(records(&SIX[2 + stored..]), true), 4 - stored);
        assert_eq!(log.rest(), SIX);
        let again = TestLog::open(&files).unwrap().rest();
        assert_eq!(again.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(SIX));
    }
}

#[test]
fn the_cursor_has_its_room_before_anything_is_stored() {
    let files = MemoryFileSystem::default();
    let mut log = TestLog::open(&files).unwrap();
    let cursor = dir().join("cursor");
    let made = files.data(&cursor).unwrap();
    assert!(made.chunks(4096).all(|block| block.iter().any(|byte| *byte != 0)), "both blocks are written to");
    assert_eq!(log.push(records(&SIX), true), 6);
    for _ in 0..3 {
        log.take(1).into_iter().flat_map(|record| record.acks).for_each(AckGuard::settle);
        log.save().unwrap();
        assert_eq!(files.data(&cursor).unwrap().len(), made.len());
    }
    assert_ne!(files.data(&cursor).unwrap(), made, "it moved");
    assert_eq!(TestLog::open(&files).unwrap().rest(), SIX[3..]);
}

#[test]
fn a_failed_sync_is_never_taken_for_done() {
    let files = MemoryFileSystem::default();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.push(records(&SIX[..2]), true), 2);
    // The frame's two writes succeed, and the sync after them does not.
    files.fail(1, 1, EIO);
    assert_eq!(log.push(records(&SIX[2..3]), true), 0);
    assert_eq!(log.push(records(&SIX[2..]), true), 4);
    // Nothing that was not synced is left, and what was acknowledged is there all the same.
    files.crash(&mut fastrand::Rng::with_seed(0));
    let left = TestLog::open(&files).unwrap().rest();
    assert_eq!(left.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(SIX));
}

#[test]
fn a_read_only_file_system_fails_and_changes_nothing() {
    let files = six();
    let names = files.names();
    let mut log = TestLog::open(&files).unwrap();
    files.fail(0, u32::MAX, EROFS);
    assert_eq!(log.push(records(&["seven\n"]), true), 0);
    assert_eq!(log.rest(), SIX, "what is there is delivered");
    assert!(log.save().is_err());
    assert!(TestLog::open(&files).is_err());
    files.works_again();
    assert_eq!(files.names(), names);
    assert_eq!(TestLog::open(&files).unwrap().rest(), SIX);
}

#[test]
fn what_was_delivered_out_of_order_is_not_delivered_again_after_a_stop() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    let mut taken = log.take(6);
    assert_eq!(taken.len(), 2, "one read's worth");
    drop(end(taken.remove(1)));
    let out_of_order = log.backlog.out_of_order();
    log.save().unwrap();
    log.writer.save_out_of_order(&out_of_order).unwrap();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.events, 5);
    assert_eq!(log.rest(), ["one\n", "three\n", "four\n", "five\n", "six\n"]);
}

/// As a clean stop does it.
fn stop(mut log: TestLog, files: &MemoryFileSystem) -> TestLog {
    let out_of_order = log.backlog.out_of_order();
    log.save().unwrap();
    log.writer.save_out_of_order(&out_of_order).unwrap();
    TestLog::open(files).unwrap()
}

#[test]
fn what_was_delivered_out_of_order_is_remembered_over_several_stops() {
    let files = MemoryFileSystem::default();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.push(records(&SIX[..5]), true), 5);
    drop(end(log.take(4).remove(3)));
    let mut log = stop(log, &files);
    drop(end(log.take(2).remove(1)));
    let mut log = stop(log, &files);
    assert_eq!(log.events, 3);
    assert_eq!(log.rest(), ["one\n", "three\n", "five\n"]);
}

#[test]
fn what_was_noted_is_not_delivered_again_after_a_kill_and_a_torn_note_is_not_believed() {
    #[track_caller]
    fn check(damage: impl FnOnce(&mut Vec<u8>), expected: &[&str]) {
        let files = six();
        let mut log = TestLog::open(&files).unwrap();
        let mut taken = log.take(6);
        taken.append(&mut log.take(6));
        drop(end(taken.remove(3)));
        drop(end(taken.remove(0)));
        log.note().unwrap();
        files.change(&dir().join(cursor::DRAFT), damage);
        assert_eq!(TestLog::open(&files).unwrap().rest(), expected);
    }
    check(|_| (), &["two\n", "three\n", "five\n", "six\n"]);
    check(|draft| *draft.last_mut().unwrap() ^= 1, &["two\n", "three\n", "four\n", "five\n", "six\n"]);
    check(|draft| draft.fill(0), &SIX);
    check(Vec::clear, &SIX);
}

#[test]
fn a_newest_segment_that_is_gone_is_said_once() {
    #[track_caller]
    fn check(gone: &[u64], delivered: usize, expected: &[Flaw], left: &[&str]) {
        let files = six();
        let mut log = TestLog::open(&files).unwrap();
        let mut taken = Vec::new();
        while taken.len() < delivered {
            taken.append(&mut log.take(1));
        }
        end_all(taken);
        log.note().unwrap();
        for number in gone {
            files.remove(&segment(*number)).unwrap();
        }
        let mut log = TestLog::open(&files).unwrap();
        assert_eq!(
            (log.flaws(), log.rest()),
            (expected.to_vec(), left.iter().map(ToString::to_string).collect())
        );
        assert_eq!(log.push(records(&["seven\n"]), true), 1);
        log.note().unwrap();
        let mut log = TestLog::open(&files).unwrap();
        assert_eq!((log.flaws().len(), log.rest().pop()), (0, Some("seven\n".to_owned())), "it is said once");
    }
    check(&[], 0, &[], &SIX);
    check(&[2], 0, &[Flaw::Missing], &SIX[..4]);
    check(&[1, 2], 0, &[Flaw::Missing], &[]);
    check(&[2], 5, &[Flaw::Missing], &[]);
    check(&[2], 6, &[], &[]);
}

#[test]
fn a_full_disk_stores_what_fits() {
    // A file, its header, four records and a seal.
    for after in 0..7 {
        let files = MemoryFileSystem::default();
        let mut log = TestLog::open(&files).unwrap();
        files.fail(after, 1, ENOSPC);
        let stored = log.push(records(&SIX), true);
        assert_eq!(stored, usize::try_from(after).unwrap().saturating_sub(2), "after {after} calls");
        assert_eq!(log.push(records(&SIX[stored..]), true), 6 - stored);
        files.crash(&mut fastrand::Rng::with_seed(u64::from(after)));
        assert_eq!(TestLog::open(&files).unwrap().rest(), SIX, "after {after} calls");
    }
}

#[test]
fn what_was_removed_behind_the_logs_back_is_not_written_to_and_made_again() {
    let files = MemoryFileSystem::default();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.push(records(&SIX[..2]), true), 2);
    log.note().unwrap();
    for name in files.names() {
        files.remove(&dir().join(name)).unwrap();
    }
    assert_eq!(log.push(records(&SIX[2..]), true), 0, "nobody is told that it is stored");
    assert_eq!(log.push(records(&SIX[2..]), true), 4);
    assert_eq!(TestLog::open(&files).unwrap().rest(), SIX[2..]);
}

#[test]
fn what_was_emptied_while_it_was_read_is_not_damaged() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    let range = log.backlog.unread().unwrap();
    let evicted = log.backlog.evict().unwrap();
    evicted.unread.unwrap().ack.settle();
    log.writer.clear_segment(1).unwrap();
    let mut loaded = log.reader.read(range, usize::MAX).unwrap();
    assert!(loaded.is_flawed() && !log.backlog.is_next_to_read(range));
    // Nor is an empty file kept where nothing is left to keep.
    log.reader.keep_aside(&mut loaded);
    assert!(loaded.damage.iter().all(
        |damage| damage.kept.is_none() || !files.data(damage.kept.as_ref().unwrap()).unwrap().is_empty()
    ));
    assert_eq!(log.rest(), ["five\n", "six\n"]);
    assert_eq!(log.flaws(), []);
}

#[test]
fn a_note_of_another_log_is_not_believed() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    log.rest();
    log.note().unwrap();
    // The cursor is gone, and with it the log, as far as anyone knows.
    for name in ["cursor".to_owned(), format!("{:020}.spool", 1), format!("{:020}.spool", 2)] {
        files.remove(&dir().join(name)).unwrap();
    }
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.push(records(&SIX), true), 6);
    assert_eq!(TestLog::open(&files).unwrap().rest(), SIX);
}

#[test]
fn what_was_evicted_behind_something_under_way_is_not_taken_from_what_is_left() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    let under_way = log.take(1);
    let evicted = log.backlog.evict().unwrap();
    end_all(evicted.records);
    let EvictedRange { range, ack, .. } = evicted.unread.unwrap();
    ack.settle();
    assert_eq!(range.segment, 1);
    drop(under_way);
    let mut log = stop(log, &files);
    let left = log.events;
    assert_eq!(log.rest().len() as u64, left);
}

#[test]
fn delivered_segments_are_removed_and_in_the_end_the_log_is() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    let before = log.writer.bytes();
    let taken = log.take(2).into_iter().chain(log.take(3)).map(end).count();
    assert!(taken >= 4);
    log.save().unwrap();
    assert!(log.writer.bytes() < before && !files.names().contains(&format!("{:020}.spool", 1)));
    log.rest();
    log.save().unwrap();
    assert!(log.backlog.is_drained());
    log.writer.remove().unwrap();
    assert_eq!(files.names(), Vec::<String>::new());
}

#[test]
fn a_segment_after_those_that_were_removed_is_delivered_from_its_start() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    log.rest();
    let segment = log.writer.rotate();
    log.writer.save(LogPosition { segment, offset: 0, events: 0 }).unwrap();
    // The place where the removed segments ended is not saved again.
    log.save().unwrap();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!(log.push(records(&SIX), true), 6);
    assert_eq!(TestLog::open(&files).unwrap().rest(), SIX);
}

#[test]
fn the_oldest_make_room_a_segment_at_a_time() {
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    let taken = log.take(1);
    let evicted = log.backlog.evict().unwrap();
    let EvictedRange { events, ack, .. } = evicted.unread.unwrap();
    assert_eq!((evicted.segment, evicted.records.len() as u64 + events), (1, 3));
    end_all(evicted.records);
    ack.settle();
    assert!(log.backlog.is_under_way(1), "the first record is with the sink");
    assert_eq!(log.backlog.evict().unwrap().segment, 2);
    end_all(taken);
    assert!(!log.backlog.is_under_way(1));

    // Where an earlier one is under way, a segment is emptied and not removed, so that none is missing.
    let files = six();
    let mut log = TestLog::open(&files).unwrap();
    log.writer.clear_segment(1).unwrap();
    let mut log = TestLog::open(&files).unwrap();
    assert_eq!((log.rest(), log.flaws()), (vec!["five\n".to_owned(), "six\n".to_owned()], vec![]));
}

#[test]
fn a_look_says_where_the_first_undelivered_record_comes_from() {
    let files = MemoryFileSystem::default();
    assert_eq!(peek(&files, &dir()).unwrap(), None);
    let files = six();
    assert_eq!(&*peek(&files, &dir()).unwrap().unwrap().origin.source, "app");
    let mut log = TestLog::open(&files).unwrap();
    log.rest();
    log.save().unwrap();
    assert_eq!(peek(&files, &dir()).unwrap(), None);
}

#[test]
fn the_real_file_system_keeps_what_the_double_does() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("spool/archive/logs");
    let open = || open(OsFileSystem, &dir, options()).unwrap();
    let large = "x".repeat(900_000);
    let texts = ["one\n", &large, "three\n"];
    let OpenedLog { mut log, .. } = open();
    assert!(log.append(&records(&texts), Timestamp(1)).failed.is_none());
    drop(log);
    let OpenedLog { log, contents, damage } = open();
    assert!(damage.is_empty());
    assert_eq!(log.bytes(), on_disk(&dir));
    let mut backlog = Backlog::new(&contents, Arc::default());
    assert_eq!(backlog.unread_events(), 3);
    let budget = Budget::new(1 << 30);
    let mut reader = LogReader::new(OsFileSystem, &dir, Buffers::new(BUFFER_BYTES, 1));
    while let Some(part) = backlog.unread() {
        let loaded = reader.read(part, 1).unwrap();
        assert_eq!(backlog.loaded(loaded, |bytes| budget.charge(bytes as u64)), 0);
    }
    let read: Vec<String> =
        backlog.take_request(RequestRoom { records: 9, bytes: usize::MAX }).into_iter().map(end).collect();
    assert_eq!(read, texts);
    assert_eq!(budget.used(), 0);
}

fn on_disk(dir: &Path) -> u64 {
    OsFileSystem
        .list(dir)
        .unwrap()
        .iter()
        .filter(|(name, _)| log::number(name).is_some())
        .map(|(_, size)| size)
        .sum()
}

/// Sparse files: were they looked through, this test would take minutes.
#[test]
fn a_hundred_gibibytes_are_opened_by_their_headers_and_seals() {
    const SEGMENTS: u64 = 1_600;
    const SIZE: u64 = 64 * 1024 * 1024;
    let state = tempfile::tempdir().unwrap();
    for number in 1..=SEGMENTS {
        let mut file = OsFileSystem.create(&log::path(state.path(), number)).unwrap();
        let header = frame::SegmentHeader { salt: 7, number, previous: number - 1 };
        let seal = SIZE - frame::FRAME_HEADER as u64;
        let mut end = Vec::new();
        frame::Frame::seal(7, seal, Timestamp(1), 1_000).encode(&mut end);
        OsFileSystem.write(&mut file, 0, &header.encode()).unwrap();
        OsFileSystem.write(&mut file, seal, &end).unwrap();
    }
    let OpenedLog { log, contents, damage } = open(OsFileSystem, state.path(), options()).unwrap();
    assert_eq!((log.bytes(), contents.segments.len()), (SEGMENTS * SIZE, 1_600));
    assert_eq!(Backlog::new(&contents, Arc::default()).unread_events(), SEGMENTS * 1_000);
    assert!(damage.is_empty(), "{damage:?}");
}

#[derive(Clone, Debug)]
enum PlayStep {
    Push { count: usize, keep: bool },
    Take(usize),
    Deliver(prop::sample::Index),
    Save,
    Note,
    Retire,
    Fail { after: u32, count: u32, code: i32 },
    Crash(u64),
    Kill,
    Stop,
}

fn step() -> impl Strategy<Value = PlayStep> {
    prop_oneof![
        6 => (1_usize..6, any::<bool>()).prop_map(|(count, keep)| PlayStep::Push { count, keep }),
        4 => (1_usize..6).prop_map(PlayStep::Take),
        6 => any::<prop::sample::Index>().prop_map(PlayStep::Deliver),
        2 => Just(PlayStep::Save),
        2 => Just(PlayStep::Note),
        2 => Just(PlayStep::Retire),
        2 => (0_u32..12, 1_u32..6, prop::sample::select(vec![EIO, ENOSPC, EROFS]))
            .prop_map(|(after, count, code)| PlayStep::Fail { after, count, code }),
        1 => any::<u64>().prop_map(PlayStep::Crash),
        1 => Just(PlayStep::Kill),
        1 => Just(PlayStep::Stop),
    ]
}

/// What was promised.
#[derive(Default)]
struct Model {
    pushed: u64,
    acknowledged: BTreeSet<u64>,
    /// How often each was delivered.
    delivered: BTreeMap<u64, u32>,
    /// Since the log was opened.
    delivered_now: BTreeSet<u64>,
    /// The disk refused something: a record may be stored twice.
    faulted: bool,
    /// Delivered, and a clean stop came after.
    settled: BTreeSet<u64>,
    /// Delivered, and that was noted.
    noted: BTreeSet<u64>,
    /// Of these, what a kill came after.
    killed: BTreeSet<u64>,
    /// The highest that was taken since the log was opened.
    highest: Option<u64>,
    /// Taken since the log was opened.
    taken: BTreeSet<u64>,
}

fn id(record: &Record) -> u64 {
    String::from_utf8(record.parts.concat()).unwrap().split(' ').next().unwrap().parse().unwrap()
}

impl Model {
    fn took(&mut self, record: &Record) {
        let id = id(record);
        assert!(id < self.pushed, "{id} was never pushed");
        assert!(self.faulted || !self.settled.contains(&id), "{id} was delivered before a clean stop");
        assert!(self.faulted || !self.killed.contains(&id), "{id} was noted before a kill");
        if self.taken.insert(id) {
            let in_order = self.highest.is_none_or(|highest| highest < id);
            // The second copy of one that is stored twice may come after what followed the first.
            assert!(self.faulted || in_order, "{id} comes late");
            self.highest = Some(id);
        }
    }

    fn delivers(&mut self, record: Record) {
        let id = id(&record);
        *self.delivered.entry(id).or_default() += 1;
        self.delivered_now.insert(id);
        drop(end(record));
    }

    fn reopened(&mut self) {
        self.highest = None;
        self.taken.clear();
        self.delivered_now.clear();
    }
}

fn reopen(files: &MemoryFileSystem) -> TestLog {
    // A file system may refuse for a while.
    for _ in 0..100 {
        if let Ok(log) = TestLog::open(files) {
            return log;
        }
    }
    files.works_again();
    TestLog::open(files).unwrap()
}

/// A log that is played with.
struct Play {
    files: MemoryFileSystem,
    log: TestLog,
    model: Model,
    /// Pushed, and not stored yet.
    waiting: Vec<String>,
    taken: Vec<Record>,
}

impl Play {
    fn step(&mut self, step: &PlayStep) {
        match *step {
            PlayStep::Push { count, keep } => self.push(count, keep),
            PlayStep::Take(count) => {
                for record in self.log.take(count) {
                    self.model.took(&record);
                    self.taken.push(record);
                }
            }
            PlayStep::Deliver(index) => {
                if !self.taken.is_empty() {
                    let record = self.taken.remove(index.index(self.taken.len()));
                    self.model.delivers(record);
                }
            }
            // That it cannot be saved is no harm before a stop.
            PlayStep::Save => drop(self.log.save()),
            PlayStep::Note => {
                if self.log.note().is_ok() {
                    self.model.noted.extend(&self.model.delivered_now);
                }
            }
            PlayStep::Retire => {
                if self.log.backlog.is_drained() {
                    let segment = self.log.writer.rotate();
                    drop(self.log.writer.save(LogPosition { segment, offset: 0, events: 0 }));
                }
            }
            PlayStep::Fail { after, count, code } => {
                self.model.faulted = true;
                self.files.fail(after, count, code);
            }
            PlayStep::Crash(seed) => {
                self.taken.clear();
                // What was noted is not synced.
                self.model.noted.clear();
                self.model.killed.clear();
                self.files.crash(&mut fastrand::Rng::with_seed(seed));
                // What was not acknowledged is read again by its source, as something new.
                self.waiting.clear();
                self.reopen();
            }
            PlayStep::Kill => {
                self.taken.clear();
                self.waiting.clear();
                self.model.killed.extend(&self.model.noted);
                self.reopen();
            }
            PlayStep::Stop => self.stop(),
        }
    }

    fn push(&mut self, count: usize, keep: bool) {
        for _ in 0..count {
            let padding = "x".repeat(usize::try_from(self.model.pushed * 37 % 300).unwrap());
            self.waiting.push(format!("{} {padding}\n", self.model.pushed));
            self.model.pushed += 1;
        }
        let records: Vec<Record> = self.waiting.iter().map(|text| record(text)).collect();
        let ids: Vec<u64> = records.iter().map(id).collect();
        let stored = self.log.push(records, keep);
        self.waiting.drain(..stored);
        self.model.acknowledged.extend(&ids[..stored]);
    }

    fn stop(&mut self) {
        self.files.works_again();
        self.taken.clear();
        self.log.save().unwrap();
        self.log.writer.save_out_of_order(&self.log.backlog.out_of_order()).unwrap();
        self.model.settled.extend(&self.model.delivered_now);
        self.reopen();
    }

    fn reopen(&mut self) {
        self.log = reopen(&self.files);
        self.model.reopened();
    }

    /// Whatever was acknowledged is delivered in the end.
    fn end(mut self) {
        self.files.works_again();
        self.taken.clear();
        self.reopen();
        loop {
            let records = self.log.take(5);
            if records.is_empty() {
                break;
            }
            for record in records {
                self.model.took(&record);
                self.model.delivers(record);
            }
        }
        let Model { acknowledged, delivered, .. } = &self.model;
        let lost: Vec<_> = acknowledged.iter().filter(|id| !delivered.contains_key(id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(self.log.backlog.is_drained());
        assert_eq!(self.log.budget.used(), 0);
    }
}

fn play(steps: &[PlayStep]) {
    let files = MemoryFileSystem::default();
    let log = TestLog::open(&files).unwrap();
    let mut play = Play { files, log, model: Model::default(), waiting: Vec::new(), taken: Vec::new() };
    for step in steps {
        play.step(step);
    }
    play.end();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_was_acknowledged_is_delivered_through_any_crash_and_fault(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { play(&steps) });
    }
}
