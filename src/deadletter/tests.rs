//! Letters come back as they were written, whatever else is in their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::reader::read_all;
use super::store::LetterStore;
use super::*;
use crate::event::{
    Acknowledge, Field, Origin, OriginFields, OriginLabels, Outcome, RequestNames, Timestamp,
};
use crate::health::Status;
use crate::metrics::Metrics;

fn letter(bytes: &[u8]) -> DeadLetter {
    let origin = Origin::new("app", "host-1").with(Field::File, "/var/log/a.log");
    DeadLetter {
        time: Timestamp(1_795_309_323_004),
        reason: "too_large".into(),
        origin: Arc::new(origin),
        bytes: Bytes::copy_from_slice(bytes),
        events: 1,
        ..DeadLetter::default()
    }
}

fn line(letter: &DeadLetter) -> Vec<u8> {
    let mut line = Vec::new();
    letter.borrow().write("archive", &mut line).unwrap();
    line
}

fn any_text() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of(".{0,20}".prop_map(Arc::from))
}

prop_compose! {
    fn any_origin()(
        source in ".{0,10}",
        host in ".{0,10}",
        values in prop::collection::vec(any_text(), Field::ALL.len()),
        attributes in prop::collection::btree_map(".{0,5}", ".{0,5}", 0..3),
        labels in prop::option::of(prop::collection::btree_map("(fields|ec2)\\..{0,5}", ".{0,5}", 1..3)),
    ) -> Origin {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
        let (source, host) = (source.into(), host.into());
        let mut fields = OriginFields::default();
        for (field, value) in Field::ALL.iter().zip(values) {
            fields.set(*field, value);
        }
        let boxed = |(name, value): (String, String)| (Box::from(name), Box::from(value));
        let labels = labels.map(|values| values.into_iter().map(boxed).collect::<BTreeMap<Box<str>, Box<str>>>());
        let labels = labels.map(|values| Arc::new(OriginLabels::from(values)));
        Origin { source, host, fields, attributes: attributes.collect(), labels }
    }
}

prop_compose! {
    fn any_letter()(
        time in 0_i64..4_000_000_000_000,
        (reason, error, id) in (".{0,20}", prop::option::of(".{0,20}"), prop::option::of(".{0,20}")),
        origin in any_origin(),
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), ".{0,300}".prop_map(String::into_bytes)],
        content in prop::sample::select(vec![
            LetterContent::Record, LetterContent::Events, LetterContent::Message, LetterContent::Envelope, LetterContent::Payload,
        ]),
        (events, payload) in (any::<u64>(), prop::option::of(any::<usize>())),
        timestamp in prop::option::of((0_i64..4_000_000_000_000).prop_map(Timestamp)),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        request in prop::option::of((".{0,9}", ".{0,9}")),
    ) -> DeadLetter {
        let mut ends: Vec<u32> = cuts.iter().map(|cut| u32::try_from(cut.index(bytes.len() + 1)).unwrap()).collect();
        ends.sort_unstable();
        if let Some(last) = ends.last_mut() {
            *last = u32::try_from(bytes.len()).unwrap();
        }
        let (origin, bytes) = (Arc::new(origin), bytes.into());
        let names = |(arn, id): (String, String)| RequestNames { source_arn: arn.into(), request_id: id.into() };
        let request = request.map(|request| Arc::new(names(request)));
        DeadLetter { time: Timestamp(time), reason, error, origin, bytes, content, events, payload, timestamp, id, ends, request }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_letter_is_read_back_as_it_was(letters in prop::collection::vec(any_letter(), 0..5)) {
        let text: Vec<u8> = letters.iter().flat_map(line).collect();
        prop_assert_eq!(memchr::memchr_iter(b'\n', &text).count(), letters.len());
        let read: Vec<_> = read_all(&text).unwrap().into_iter().map(|entry| entry.letter.unwrap()).collect();
        prop_assert_eq!(read, letters);
    }

    #[test]
    fn a_file_cut_anywhere_loses_the_torn_letter_alone(
        letters in prop::collection::vec(any_letter(), 1..4),
        at in any::<prop::sample::Index>(),
    ) {
        let text: Vec<u8> = letters.iter().flat_map(line).collect();
        let cut = &text[..at.index(text.len() + 1)];
        let whole = memchr::memchr_iter(b'\n', cut).count();
        let entries = read_all(cut).unwrap();
        let read: Vec<_> = entries.iter().filter_map(|entry| entry.letter.clone()).collect();
        // A letter that lacks but its newline is whole.
        prop_assert!(read == letters[..whole] || read == letters[..=whole]);
        prop_assert!(entries.len() <= whole + 1);
    }

    #[test]
    fn no_bytes_are_too_strange(before in prop::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\",:a-z0-9\n ]{0,80}") {
        let text = [&before, b"\n".as_slice(), json.as_bytes(), b"\n", &line(&letter(b"last"))].concat();
        // Only gzip that is damaged cannot be read on.
        if let Ok(entries) = read_all(&text) {
            prop_assert_eq!(entries.last().and_then(|entry| entry.letter.clone()), Some(letter(b"last")));
        }
    }
}

#[test]
fn a_letter_is_plain_to_read() {
    assert_eq!(
        String::from_utf8(line(&letter(b"text"))).unwrap(),
        "{\"time\":\"2026-11-22T01:02:03.004Z\",\"sink\":\"archive\",\"reason\":\"too_large\",\"content\":\"record\",\"events\":1,\
         \"size\":4,\"source\":\"app\",\"host\":\"host-1\",\"file\":\"/var/log/a.log\",\"text\":\"text\"}\n"
    );
    assert!(String::from_utf8(line(&letter(b"\xff\x00"))).unwrap().contains("\"base64\":\"/wA=\""));
    let controls = line(&letter(&[0; 1000]));
    assert!(controls.len() < 1700, "control characters do not make it six times as large");
}

#[test]
fn what_a_later_version_wrote_beside_is_left_out() {
    let written = String::from_utf8(line(&letter(b"text"))).unwrap();
    let later = written.replace("\"file\":", "\"planet\":{\"of\":[\"mars\"]},\"file\":");
    assert_ne!(written, later);
    assert_eq!(DeadLetter::from_json(&later), Some(letter(b"text")));
}

/// What a backup object of Firehose says: the bytes, and why they are there.
#[track_caller]
fn check_backup(json: &str, expected: Option<(&[u8], &str, Option<&str>)>) {
    let read = DeadLetter::from_json(json);
    let read = read.as_ref().map(|letter| (&*letter.bytes, letter.reason.as_str(), letter.error.as_deref()));
    assert_eq!(read, expected, "{json}");
}

#[test]
fn objects_of_firehoses_backup_are_letters() {
    check_backup(
        r#"{"attemptsMade":4,"arrivalTimestamp":1795309323004,"errorCode":"Lambda.FunctionError","errorMessage":"m","attemptEndingTimestamp":1,"rawData":"YQo=","lambdaArn":"x"}"#,
        Some((b"a\n", "Lambda.FunctionError", Some("m"))),
    );
    check_backup(
        r#"{"ErrorCode":"DataFormatConversion.X","ErrorMessage":"m","rawData":"YQ=="}"#,
        Some((b"a", "DataFormatConversion.X", Some("m"))),
    );
    check_backup(r#"{"rawData":""}"#, Some((b"", "backup", None)));
    check_backup(r#"{"rawData":"?"}"#, None);
    check_backup(r#"{"data":"YQ=="}"#, None);
}

#[test]
fn several_values_in_a_line_and_gzip_are_read() {
    let one = r#"{"rawData":"YQ=="}"#;
    let text = format!("{one}{one}\n\n{one} rest\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    let member = gzip.finish().unwrap();
    for (input, times) in
        [(text.into_bytes(), 1), (member.clone(), 1), ([member.clone(), member].concat(), 2)]
    {
        let entries = read_all(&input).unwrap();
        let whole: Vec<bool> = entries.iter().map(|entry| entry.letter.is_some()).collect();
        assert_eq!(whole, [true, true, true, false].repeat(times));
        assert!(entries.iter().map(|entry| entry.number).eq(0..whole.len() as u64));
    }
}

fn store(state: &Path, limit: u64) -> LetterStore {
    LetterStore::new(state.join(FOLDER), LetterLimits::new(limit))
}

fn paths(state: &TempDir) -> Vec<std::path::PathBuf> {
    files(state.path(), "archive").unwrap()
}

#[test]
fn files_are_rotated_by_size_and_capped() {
    let state = tempfile::tempdir().unwrap();
    let limit = 8 * 1024;
    let store = store(state.path(), limit);
    let written =
        (0..1000).find(|_| store.write("archive", &[letter(&[b'x'; 100]).borrow()]).is_err()).unwrap();
    let size: u64 = paths(&state).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size <= limit && size > limit - 400, "{size}");
    assert!(paths(&state).len() >= 7, "closed at an eighth of the limit each: {:?}", paths(&state));
    let total = summary(state.path(), "archive").total();
    assert_eq!((total.letters, total.damaged), (written, 0));
    // Another folder has room of its own, and room is noticed when it is made.
    store.write("other", &[letter(b"x").borrow()]).unwrap();
    fs::remove_file(&paths(&state)[0]).unwrap();
    store.write("archive", &[letter(b"x").borrow()]).unwrap();
}

#[test]
fn a_letter_above_the_limit_is_kept_when_there_is_no_other() {
    let state = tempfile::tempdir().unwrap();
    let store = store(state.path(), 1024);
    store.write("archive", &[letter(&[b'x'; 5000]).borrow()]).unwrap();
    let refused = store.write("archive", &[letter(b"x").borrow()]).unwrap_err();
    assert!(refused.to_string().contains("state.max_dead_letters"), "it says what to do: {refused}");
}

#[test]
fn a_torn_end_is_kept_aside_at_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    store(state.path(), 1 << 20).write("archive", &[letter(b"whole").borrow()]).unwrap();
    let path = paths(&state).remove(0);
    let whole = fs::read(&path).unwrap();
    for torn in [b"{\"time\":\"20".to_vec(), vec![b'x'; 200_000]] {
        fs::write(&path, [whole.as_slice(), &torn].concat()).unwrap();
        store(state.path(), 1 << 20).recover();
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(fs::read(path.with_extension("corrupt")).unwrap(), torn);
        fs::remove_file(path.with_extension("corrupt")).unwrap();
    }
    store(state.path(), 1 << 20).recover();
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert!(!path.with_extension("corrupt").exists(), "nothing is torn");
}

#[test]
fn a_file_that_is_written_is_not_replayed_and_not_recovered() {
    let state = tempfile::tempdir().unwrap();
    let writer = store(state.path(), 1 << 20);
    writer.write("archive", &[letter(b"x").borrow()]).unwrap();
    let path = paths(&state).remove(0);
    assert!(ReplayProgress::begin(&path, true).unwrap().is_none());
    drop(writer);
    let taken = ReplayProgress::begin(&path, true).unwrap();
    assert!(taken.is_some());
    assert!(ReplayProgress::begin(&path, true).unwrap().is_none(), "another replay has it");
    // The next writer makes a file of its own.
    store(state.path(), 1 << 20).write("archive", &[letter(b"y").borrow()]).unwrap();
    assert_eq!(paths(&state).len(), 2);
}

/// A file of so many letters, in a state directory or not.
fn file_of(letters: u8) -> (TempDir, std::path::PathBuf) {
    let state = tempfile::tempdir().unwrap();
    let writer = store(state.path(), 1 << 20);
    for number in 0..letters {
        writer.write("archive", &[letter(&[b'0' + number]).borrow()]).unwrap();
    }
    drop(writer);
    let path = paths(&state).remove(0);
    (state, path)
}

/// What a replay finds to be sent.
fn left(progress: &ReplayProgress) -> Vec<u8> {
    let mut reader = progress.reader().unwrap();
    let mut left = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        if progress.set_out(entry.number) {
            left.extend(entry.letter.unwrap().bytes);
        }
    }
    left
}

#[test]
fn what_was_delivered_before_a_kill_is_not_delivered_again() {
    let (_state, path) = file_of(6);
    let progress = ReplayProgress::begin(&path, true).unwrap().unwrap();
    assert_eq!(left(&progress), b"012345");
    for number in [0, 1, 4] {
        progress.acknowledge(number, Outcome::Done);
        progress.save().unwrap();
    }
    progress.acknowledge(2, Outcome::Done);
    progress.acknowledge(3, Outcome::Abandoned);
    // Killed: 2 was not noted yet.
    drop(progress);
    assert_eq!(delivered(&path).unwrap(), [0, 1, 4].into());
    let notes = path.with_extension("ndjson.delivered");
    fs::write(&notes, [fs::read(&notes).unwrap(), b"2".to_vec()].concat()).unwrap();
    let progress = ReplayProgress::begin(&path, true).unwrap().unwrap();
    assert_eq!(left(&progress), b"235", "a torn note says nothing");
    progress.acknowledge(5, Outcome::Done);
    progress.save().unwrap();
    drop(progress);
    assert_eq!(delivered(&path).unwrap(), [0, 1, 4, 5].into(), "a note after a torn one is whole");
}

#[test]
fn a_file_holds_what_is_left_and_goes_when_nothing_is() {
    let (state, path) = file_of(4);
    let progress = ReplayProgress::begin(&path, true).unwrap().unwrap();
    assert_eq!(left(&progress), b"0123");
    progress.acknowledge(1, Outcome::Done);
    progress.acknowledge(2, Outcome::Abandoned);
    progress.finish().unwrap();
    drop(progress);
    let progress = ReplayProgress::begin(&path, true).unwrap().unwrap();
    assert_eq!(left(&progress), b"023");
    for number in 0..3 {
        progress.acknowledge(number, Outcome::Done);
    }
    progress.set_read();
    assert!(progress.has_ended());
    progress.finish().unwrap();
    let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 0, "nothing is left behind in {state:?}");
}

#[test]
fn what_a_kill_left_beside_a_file_goes_at_the_next_start_when_the_file_is_gone() {
    let (state, path) = file_of(1);
    let beside = |name: &str| path.with_file_name(name);
    let kept = path.with_extension("ndjson.delivered");
    let gone =
        ["2026-11-22T01-02-03.004Z-000.ndjson.delivered", "2026-11-22T01-02-03.004Z-000.new"].map(beside);
    for path in gone.iter().chain([&kept]) {
        fs::write(path, "delivered 1\n").unwrap();
    }
    store(state.path(), 1 << 20).recover();
    assert!(path.exists() && kept.exists());
    assert!(!gone.iter().any(|path| path.exists()));
}

#[test]
fn what_is_no_letter_is_kept_aside_when_its_file_goes() {
    let (_state, path) = file_of(1);
    fs::write(&path, [fs::read(&path).unwrap(), b"{\"tim".to_vec()].concat()).unwrap();
    let progress = ReplayProgress::begin(&path, true).unwrap().unwrap();
    assert!(progress.set_out(0));
    progress.acknowledge(0, Outcome::Done);
    progress.finish().unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read(path.with_extension("corrupt")).unwrap(), b"{\"tim\n");
}

#[test]
fn a_file_from_elsewhere_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("object");
    let object = b"{\"rawData\":\"YQ==\"}\n{\"rawData\":\"Yg==\"}\n";
    fs::write(&path, object).unwrap();
    let progress = ReplayProgress::begin(&path, false).unwrap().unwrap();
    assert_eq!(left(&progress), b"ab");
    progress.acknowledge(0, Outcome::Done);
    progress.finish().unwrap();
    drop(progress);
    assert_eq!(fs::read(&path).unwrap(), object);
    let progress = ReplayProgress::begin(&path, false).unwrap().unwrap();
    assert_eq!(left(&progress), b"b", "what was delivered is noted beside it");
    drop(progress);
    fs::write(&path, b"{\"rawData\":\"Yw==\"}\n").unwrap();
    assert!(matches!(ReplayProgress::begin(&path, false), Err(ProgressError::Changed { .. })));
}

/// Waits for what has to come, but not for ever.
async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), what).await.expect("it comes")
}

#[tokio::test]
async fn many_letters_share_a_write_and_nothing_is_told_before_it_is_on_disk() {
    let state = tempfile::tempdir().unwrap();
    let letters =
        DeadLetters::new(state.path(), LetterLimits::new(1 << 20), 1 << 20, Arc::new(Notify::new()));
    let (told, mut done) = tokio::sync::mpsc::channel(500);
    let path = state.path().to_owned();
    for number in 0..500_u32 {
        let (told, path) = (told.clone(), path.clone());
        let done = move || {
            let on_disk = summary(&path, "archive").total().letters;
            told.try_send(on_disk > u64::from(number)).unwrap();
        };
        let letter = letter(&number.to_le_bytes());
        letters.enqueue(PendingDeadLetter { folder: "archive".into(), letter, done: Box::new(done) });
    }
    drop(told);
    assert_eq!(letters.waiting(), 500);
    let running = tokio::spawn(Arc::clone(&letters).run(Metrics::new(), Arc::new(Status::default())));
    patiently(letters.emptied()).await;
    while let Some(on_disk) = done.recv().await {
        assert!(on_disk);
    }
    assert_eq!((letters.waiting(), letters.kept()), (0, 500));
    running.abort();
}

#[tokio::test]
async fn a_full_folder_holds_its_sources_up_says_so_and_goes_on_when_there_is_room() {
    let state = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(state.path(), LetterLimits::new(1000), 100, Arc::new(Notify::new()));
    let status = Arc::new(Status::default());
    letters.write("archive", &[letter(&[b'x'; 2000]).borrow()]).unwrap();
    let running = tokio::spawn(Arc::clone(&letters).run(Metrics::new(), Arc::clone(&status)));
    let enqueue = |folder: &str, bytes| {
        letters.enqueue(PendingDeadLetter {
            folder: folder.into(),
            letter: letter(bytes),
            done: Box::new(|| ()),
        });
    };
    enqueue("archive", &[b'y'; 200]);
    enqueue("other", b"z");
    assert!(letters.backpressure(&"archive".into()).is_full());
    assert!(!letters.backpressure(&"other".into()).is_full());
    let reported = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if let Some(issue) = status.issues().pop() {
                return issue;
            }
        }
    };
    let issue = patiently(reported).await;
    assert!(issue.contains("archive") && issue.contains("state.max_dead_letters"), "{issue}");
    fs::remove_file(&paths(&state)[0]).unwrap();
    patiently(letters.emptied()).await;
    assert!(!letters.backpressure(&"archive".into()).is_full());
    assert_eq!(status.issues(), Vec::<String>::new());
    assert_eq!(letters.kept(), 2);
    running.abort();
}
