//! Promises of the checkpoint file.

use proptest::prelude::*;

use super::super::snapshot::CORRUPT;
use super::*;
use crate::event::{Acknowledge, Outcome, Timestamp};
use crate::source::file::{ContentId, FileLocation, FilePosition, Fingerprint, Mark};

fn position(path: &str) -> FilePosition {
    FilePosition {
        location: FileLocation { path: path.into(), real: None, device: 1, inode: 2 },
        origin: path.into(),
        id: ContentId::default(),
        head: Fingerprint::of_start(path.as_bytes()),
        mark: Mark::default(),
        partial: false,
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

fn journals(dir: &Path) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = files.filter(|file| file.file_name().to_string_lossy().contains("journal"));
    named.map(|file| (file.path(), file.metadata().unwrap().len())).collect()
}

/// Acknowledges up to a place in the file.
fn advance(account: &LocalAccount<FilePosition>, offset: u64) {
    let chunk = account.begin(mark(offset), Timestamp(6));
    account.acknowledge(chunk, Outcome::Done);
}

#[test]
fn what_moved_survives_a_kill_and_costs_what_moved() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 1_000);
    checkpoints.renew();
    let accounts = checkpoints.stored::<FilePosition>("app");
    let before = fs::read(dir.path().join(NAME)).unwrap();
    advance(&accounts[700], 5_000);
    checkpoints.record().unwrap();
    assert_eq!(offsets(dir.path())[700], 5_000);
    assert!(journals(dir.path())[0].1 < 300, "{:?}", journals(dir.path()));
    accounts[3].change(|position| position.location.path = "/moved".into());
    accounts[4].forget();
    let new = checkpoints.begin("app", position("/new"));
    advance(&new, 77);
    checkpoints.record().unwrap();
    checkpoints.record().unwrap();
    assert!(journals(dir.path())[0].1 < 2_000, "{:?}", journals(dir.path()));
    assert_eq!(fs::read(dir.path().join(NAME)).unwrap(), before, "the synced file stays as it is");
    let found = positions(dir.path());
    assert_eq!((found.len(), found[3].location.path.as_path()), (1_000, Path::new("/moved")));
    assert_eq!((found[999].location.path.as_path(), found[999].mark.offset), (Path::new("/new"), 77));
    // The next run goes on with the same journal.
    let again = Checkpoints::open(dir.path()).unwrap();
    advance(&again.stored::<FilePosition>("app")[0], 12);
    again.record().unwrap();
    assert_eq!(offsets(dir.path())[0], 12);
    again.save().unwrap();
    assert_eq!(journals(dir.path()), []);
    assert_eq!(offsets(dir.path()).len(), 1_000);
    assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap().lines().count(), 1_002);
}

#[test]
fn a_journal_that_has_grown_is_taken_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 1);
    checkpoints.renew();
    let account = checkpoints.stored::<FilePosition>("app").pop().unwrap();
    let mut most = 0;
    for offset in 2..30_000 {
        advance(&account, offset);
        checkpoints.record().unwrap();
        if offset % 1_000 == 0 {
            checkpoints.sync().unwrap();
            most = journals(dir.path()).iter().map(|(_, len)| *len).sum::<u64>().max(most);
        }
    }
    assert!(most < 2 * SMALL_JOURNAL, "{most}");
    assert_eq!(offsets(dir.path()), [29_999]);
}

/// What a kill at each moment of writing the file anew leaves.
#[test]
fn a_kill_while_the_file_is_written_anew_takes_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 2);
    checkpoints.renew();
    let accounts = checkpoints.stored::<FilePosition>("app");
    let mut offset = 100;
    let mut step = |what: &str| {
        offset += 1;
        advance(&accounts[0], offset);
        checkpoints.record().unwrap();
        let killed = tempfile::tempdir().unwrap();
        for file in fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap()) {
            fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
        }
        assert_eq!(offsets(killed.path()), [offset, 2], "{what}");
        // Whatever is left, the next run goes on with it, and writes it anew.
        let next = Checkpoints::open(killed.path()).unwrap();
        advance(&next.stored::<FilePosition>("app")[1], offset);
        next.record().unwrap();
        assert_eq!(offsets(killed.path()), [offset, offset], "{what}");
        next.sync().unwrap();
        next.save().unwrap();
        assert_eq!(
            (offsets(killed.path()), journals(killed.path())),
            (vec![offset, offset], vec![]),
            "{what}"
        );
    };
    for _ in 0..3 {
        step("before");
        let (generation, drained) = checkpoints.begin_snapshot().unwrap();
        assert_eq!(drained, BTreeSet::new());
        step("begun");
        let units = checkpoints.units.all();
        let entries = units.iter().map(|(_, unit)| {
            step("begun");
            Ok(unit.entry()?)
        });
        snapshot::prepare(dir.path(), generation, units.iter().map(|(number, _)| *number), entries).unwrap();
        step("prepared");
        checkpoints.begin_generation(generation).unwrap();
        step("a new journal begun");
        snapshot::put_in_place(dir.path()).unwrap();
        step("in place");
        checkpoints.journal().is_begun = false;
        journal::remove_others(dir.path(), generation, true);
    }
    step("after");
}

#[test]
fn a_file_that_was_written_anew_under_another_journal_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 2);
    checkpoints.renew();
    let account = &checkpoints.stored::<FilePosition>("app")[0];
    advance(account, 50);
    checkpoints.record().unwrap();
    let path = dir.path().join(NAME);
    let text = fs::read_to_string(&path).unwrap();
    // As a version without journals writes it.
    let head = text.lines().next().unwrap();
    fs::write(&path, text.replace(head, r#"{"version":1,"files":["#)).unwrap();
    assert_eq!(offsets(dir.path()), [1, 2]);
    let again = Checkpoints::open(dir.path()).unwrap();
    advance(&again.stored::<FilePosition>("app")[1], 60);
    again.record().unwrap();
    assert_eq!(offsets(dir.path()), [1, 60]);
    // Who moves the file away starts over.
    fs::remove_file(&path).unwrap();
    assert_eq!(offsets(dir.path()), Vec::<u64>::new());
    assert!(Checkpoints::open(dir.path()).unwrap().stored::<FilePosition>("app").is_empty());
}

#[test]
fn files_that_were_removed_while_it_runs_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 2);
    checkpoints.renew();
    let account = &checkpoints.stored::<FilePosition>("app")[0];
    for (offset, is_journal) in [(50, true), (60, false), (70, true)] {
        advance(account, offset);
        checkpoints.record().unwrap();
        let gone = if is_journal { journals(dir.path())[0].0.clone() } else { dir.path().join(NAME) };
        fs::remove_file(gone).unwrap();
        checkpoints.sync().unwrap();
        assert_eq!(offsets(dir.path()), [offset, 2]);
    }
}

#[test]
fn a_file_that_cannot_be_put_in_place_is_not_taken_for_saved() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path()).unwrap();
    fs::create_dir(dir.path().join(NAME)).unwrap();
    let account = checkpoints.begin("app", position("/a"));
    advance(&account, 50);
    assert!(checkpoints.record().is_err());
    advance(&account, 60);
    assert!(checkpoints.record().is_err() && checkpoints.sync().is_err() && checkpoints.save().is_err());
    fs::remove_dir(dir.path().join(NAME)).unwrap();
    checkpoints.save().unwrap();
    assert_eq!(offsets(dir.path()), [60]);
}

#[test]
fn a_journal_that_cannot_be_written_is_said_and_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = filled(dir.path(), 2);
    checkpoints.renew();
    let account = &checkpoints.stored::<FilePosition>("app")[0];
    let in_the_way = dir.path().join("checkpoints.journal-1");
    fs::create_dir(&in_the_way).unwrap();
    advance(account, 50);
    assert!(checkpoints.record().is_err());
    assert!(checkpoints.record().is_err(), "still to be recorded");
    fs::remove_dir(&in_the_way).unwrap();
    checkpoints.record().unwrap();
    assert_eq!(offsets(dir.path()), [50, 2]);
    // Where the file cannot be written, the journal is enough.
    fs::create_dir(dir.path().join("checkpoints.json.new")).unwrap();
    advance(account, 60);
    checkpoints.save().unwrap();
    assert_eq!(offsets(dir.path()), [60, 2]);
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
    for other_shape in [r#"{"version":99,"x":[]}"#, "{\"version\": 99,\n\"x\":[]}", r#"{"version":3}"#] {
        fs::write(dir.path().join(NAME), other_shape).unwrap();
        Checkpoints::open(dir.path()).unwrap_err();
        assert!(!dir.path().join(CORRUPT).exists());
    }
}

#[test]
fn the_file_is_json_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    for files in [0, 1, 3] {
        let checkpoints = filled(dir.path(), files);
        checkpoints.begin("app", position("/gone.log")).forget();
        checkpoints.save().unwrap();
        let value: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join(NAME)).unwrap()).unwrap();
        assert_eq!(value["version"], snapshot::VERSION);
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

    /// Moves, kills and power cuts: nothing that was recorded is lost to a kill, and nothing that was synced to a power cut.
    #[test]
    fn what_is_written_down_is_there_at_the_next_start(
        steps in proptest::collection::vec((0_u8..9, any::<proptest::sample::Index>()), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        play(dir.path(), &steps);
    }
}

/// Units by their paths.
type Offsets = BTreeMap<String, u64>;

fn play(dir: &Path, steps: &[(u8, proptest::sample::Index)]) {
    let mut checkpoints = Checkpoints::open(dir).unwrap();
    let mut accounts: Vec<Arc<LocalAccount<FilePosition>>> = Vec::new();
    let (mut made, mut offset) = (0, 0);
    let (mut recorded, mut synced) = (Offsets::new(), Offsets::new());
    let mut synced_bytes = Vec::new();
    for (step, index) in steps {
        match step {
            0 | 1 => {
                accounts.push(checkpoints.begin("app", position(&format!("/{made}"))));
                made += 1;
            }
            2 | 3 if !accounts.is_empty() => {
                offset += 1;
                advance(&accounts[index.index(accounts.len())], offset);
            }
            4 if !accounts.is_empty() => accounts.remove(index.index(accounts.len())).forget(),
            5 => {
                checkpoints.record().unwrap();
                recorded = current(&accounts);
            }
            6 => {
                checkpoints.record().unwrap();
                if index.index(2) == 0 { checkpoints.sync() } else { checkpoints.save() }.unwrap();
                (recorded, synced) = (current(&accounts), current(&accounts));
                synced_bytes = journals(dir);
            }
            7 => {
                assert_eq!(by_path(&positions(dir)), recorded, "after a kill");
                (checkpoints, accounts) = reopened(dir);
            }
            8 => {
                for (path, bytes) in journals(dir) {
                    let safe =
                        synced_bytes.iter().find(|(synced, _)| *synced == path).map_or(0, |(_, len)| *len);
                    let left = safe + index.index(usize::try_from(bytes - safe + 1).unwrap()) as u64;
                    File::options().write(true).open(path).unwrap().set_len(left).unwrap();
                }
                let found = by_path(&positions(dir));
                let is_kept =
                    |(path, offset): (&String, &u64)| found.get(path).is_none_or(|now| now >= offset);
                assert!(synced.iter().all(is_kept), "after a power cut: {found:?}, synced {synced:?}");
                let lost =
                    synced.keys().filter(|path| !found.contains_key(*path) && recorded.contains_key(*path));
                assert_eq!(lost.count(), 0, "{found:?}, synced {synced:?}");
                (checkpoints, accounts) = reopened(dir);
                (recorded, synced, synced_bytes) = (current(&accounts), current(&accounts), journals(dir));
            }
            _ => {}
        }
    }
    checkpoints.save().unwrap();
    assert_eq!(by_path(&positions(dir)), current(&accounts));
}

fn reopened(dir: &Path) -> (Arc<Checkpoints>, Vec<Arc<LocalAccount<FilePosition>>>) {
    let checkpoints = Checkpoints::open(dir).unwrap();
    let accounts = checkpoints.stored("app");
    (checkpoints, accounts)
}

fn by_path(positions: &[FilePosition]) -> Offsets {
    positions.iter().map(|found| (found.location.path.display().to_string(), found.mark.offset)).collect()
}

fn current(accounts: &[Arc<LocalAccount<FilePosition>>]) -> Offsets {
    by_path(&accounts.iter().map(|account| account.position()).collect::<Vec<_>>())
}
