//! Promises of the checkpoint file.

use proptest::prelude::*;

use super::*;
use crate::event::{Acknowledge, Outcome, Timestamp};
use crate::source::file::{FileLocation, FilePosition, Fingerprint, Mark};

fn position(path: &str) -> FilePosition {
    FilePosition {
        location: FileLocation { path: path.into(), real: None, device: 1, inode: 2 },
        origin: path.into(),
        head: Fingerprint::of_start(path.as_bytes()),
        mark: Mark::default(),
        time: Timestamp(0),
    }
}

fn mark(offset: u64) -> Mark {
    Mark { offset, tail: Fingerprint { len: 9, hash: offset }, skipping: false, size: offset }
}

fn filled(dir: &Path, files: usize) -> Arc<Checkpoints> {
    let checkpoints = Checkpoints::open(dir).unwrap();
    for number in 0..files {
        let account = checkpoints.begin("app", position(&format!("/var/log/{number}.log")));
        let chunk = account.begin(mark(number as u64 + 1), Timestamp(5));
        account.acknowledge(chunk, Outcome::Done);
    }
    checkpoints.save().unwrap();
    checkpoints
}

fn positions(dir: &Path) -> Vec<FilePosition> {
    Checkpoints::list(dir).unwrap().entries.iter().map(|entry| entry.position().unwrap()).collect()
}

fn offsets(dir: &Path) -> Vec<u64> {
    positions(dir).iter().map(|position| position.mark.offset).collect()
}

#[test]
fn positions_come_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 3));
    let before = positions(dir.path());
    let again = Checkpoints::open(dir.path()).unwrap();
    assert!(again.stored::<FilePosition>("other").is_empty());
    let claimed: Vec<_> =
        again.stored::<FilePosition>("app").iter().map(|account| account.position()).collect();
    assert_eq!(claimed, before);
    assert!(again.stored::<FilePosition>("app").is_empty(), "each is given once");
    again.renew();
    assert_eq!(again.stored::<FilePosition>("app").len(), 3, "and to each run");
    assert!(!dir.path().join(CORRUPT).exists());
}

#[test]
fn only_what_was_acknowledged_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 1);
    checkpoints.renew();
    let account = checkpoints.stored::<FilePosition>("app").pop().unwrap();
    let first = account.begin(mark(10), Timestamp(7));
    let second = account.begin(mark(20), Timestamp(8));
    account.acknowledge(second, Outcome::Done);
    checkpoints.save().unwrap();
    assert_eq!(offsets(dir.path()), [1]);
    assert_eq!(account.oldest_unacknowledged(), Some(Timestamp(7)));
    account.acknowledge(first, Outcome::Done);
    checkpoints.save().unwrap();
    assert_eq!(offsets(dir.path()), [20]);
    assert_eq!(account.oldest_unacknowledged(), None);
}

#[test]
fn a_save_writes_only_when_something_changed() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 1);
    fs::remove_file(dir.path().join(NAME)).unwrap();
    checkpoints.save().unwrap();
    assert!(!dir.path().join(NAME).exists());
    move_one(&checkpoints);
    checkpoints.save().unwrap();
    assert!(dir.path().join(NAME).exists());
}

fn move_one(checkpoints: &Checkpoints) {
    checkpoints.renew();
    let account = checkpoints.stored::<FilePosition>("app").pop().unwrap();
    account.change(|position| {
        position.location = FileLocation { path: "/b".into(), real: None, device: 3, inode: 4 }
    });
}

#[test]
fn a_failed_save_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let checkpoints = filled(&state, 1);
    move_one(&checkpoints);
    fs::rename(&state, dir.path().join("away")).unwrap();
    assert!(checkpoints.save().is_err());
    assert!(checkpoints.save().is_err(), "still to be saved");
    fs::rename(dir.path().join("away"), &state).unwrap();
    checkpoints.save().unwrap();
    assert_eq!(positions(&state)[0].location.path, Path::new("/b"));
}

#[test]
fn a_forgotten_file_leaves_the_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 3);
    checkpoints.renew();
    checkpoints.stored::<FilePosition>("app")[1].forget();
    checkpoints.save().unwrap();
    assert_eq!(offsets(dir.path()), [1, 3]);
}

#[test]
fn damage_costs_the_damaged_entries_only() {
    #[track_caller]
    fn check(damage: impl Fn(&mut Vec<u8>), expected: &[u64]) {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), 4));
        let path = dir.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let again = Checkpoints::open(dir.path()).unwrap();
        let claimed = again.stored::<FilePosition>("app");
        assert_eq!(
            claimed.iter().map(|account| account.position().mark.offset).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(fs::read(dir.path().join(CORRUPT)).unwrap(), bytes);
        again.save().unwrap();
        assert_eq!(offsets(dir.path()), expected, "the file is whole again");
        assert_eq!(Checkpoints::list(dir.path()).unwrap().damaged, 0);
    }
    check(Vec::clear, &[]);
    check(|bytes| bytes.truncate(bytes.len() - 4), &[1, 2, 3, 4]);
    check(|bytes| bytes.truncate(bytes.len() / 2), &[1]);
    check(|bytes| bytes[0] = b'?', &[1, 2, 3, 4]);
    check(|bytes| *bytes = b"\xff\x00not json at all".to_vec(), &[]);
    check(
        |bytes| {
            let at = memchr::memmem::find(bytes, b"/var/log/1.log").unwrap();
            bytes[at + 9] = b'9';
        },
        &[1, 3, 4],
    );
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = "{\"version\":2,\"files\":[\n]}\n";
    fs::write(dir.path().join(NAME), text).unwrap();
    let error = Checkpoints::open(dir.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::Version { version: 2, .. }));
    assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), text);
}

#[test]
fn the_file_is_json_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    for files in [0, 1, 3] {
        let checkpoints = filled(dir.path(), files);
        checkpoints.units.dirty.store(true, Ordering::Release);
        checkpoints.save().unwrap();
        let value: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join(NAME)).unwrap()).unwrap();
        assert_eq!(value["version"], VERSION);
    }
}

#[test]
fn ten_thousand_files_take_less_than_four_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 10_000));
    let size = fs::metadata(dir.path().join(NAME)).unwrap().len();
    assert!(size < 4_000_000, "{size} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_can_be_opened(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), &bytes).unwrap();
        Checkpoints::open(dir.path()).unwrap().save().unwrap();
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_entries(cut in 0_usize..1200) {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), 3));
        let path = dir.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(cut);
        fs::write(&path, &bytes).unwrap();
        let found = Checkpoints::open(dir.path()).unwrap().stored::<FilePosition>("app").len();
        let whole = memchr::memmem::find_iter(&bytes, b"}}").count();
        prop_assert_eq!(found, whole);
    }
}
