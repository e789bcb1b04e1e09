//! The disk buffer: what is on disk is acknowledged, and delivered whatever happens to the process or to Firehose.

use std::fs;
use std::path::PathBuf;

use crate::standin::{Faults, Key, Refusal, Settings, Stream};
use crate::world::{
    Daemon, Envelope, FILE_SOURCE, MESSAGE_SINK, RUN, Sender, World, at_least_once, exactly_once, is_full,
    killed_again_and_again, progress, scale, until,
};

const MIB: u64 = 1024 * 1024;

/// From files to the stream `logs`, by a buffer of 8 MiB or more.
pub(crate) fn configure(world: &World, buffer: &str) {
    configure_sink(world, &format!("buffer = {{ type = \"disk\", {buffer} }}\n"));
}

fn configure_sink(world: &World, more: &str) {
    let limits = "[limits]\nmemory = \"16MiB\"\nshutdown = \"1s\"\n";
    world.config(&format!("{limits}{FILE_SOURCE}{MESSAGE_SINK}{more}"));
}

pub(crate) fn refuses(faults: &mut Faults) {
    faults.refusal = Some(Refusal::AccessDenied);
}

pub(crate) fn serves(faults: &mut Faults) {
    *faults = Faults::default();
}

/// Waits until the checkpoint of the log file is at its end.
pub(crate) fn acknowledged(world: &World, daemon: &Daemon) {
    let size = fs::metadata(world.log("app.log")).unwrap().len();
    progress("the file is acknowledged", || {
        daemon.must_run();
        let offset = world.checkpointed();
        if offset == size { Ok(()) } else { Err((offset, daemon.log_text())) }
    });
}

/// The files of the disk buffer whose names end so.
pub(crate) fn files(world: &World, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![world.path("state/spool")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A daemon that was killed with all lines on disk and none delivered.
pub(crate) fn killed_with_a_backlog(world: &World, lines: u64) {
    world.standin.faults(refuses);
    world.write("app.log", 0..lines);
    let daemon = world.spawn();
    acknowledged(world, &daemon);
    daemon.kill();
    assert_eq!(world.standin.report().total.seen, 0);
}

#[test]
fn lines_arrive_once_and_in_order_by_way_of_the_disk() {
    let lines = scale(100_000);
    let world = World::new();
    world.write("app.log", 0..lines);
    // Requests that overlap, where answers come late, may arrive in any order.
    configure_sink(&world, "max_concurrency = 1\nbuffer = { type = \"disk\", max = \"1GiB\" }\n");
    let daemon = world.start();
    let report = world.delivered(&daemon);
    exactly_once(&report, lines);
    assert_eq!(report.total.out_of_order, 0, "{report:#?}");
    assert!(report.total.bill() <= 1.02, "billed by payload: {:.4}", report.total.bill());
    let scrape = daemon.conserved();
    assert!(scrape.sum("buffer_fsync_duration_seconds_count", &[]) > 0.0);
    assert_eq!(daemon.issues(), Vec::<String>::new());
    daemon.stop().drained();
    assert_eq!(files(&world, ""), Vec::<PathBuf>::new(), "what is delivered leaves nothing behind");
}

#[test]
fn what_is_on_disk_survives_a_kill_and_the_loss_of_its_file() {
    let lines = scale(60_000);
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    killed_with_a_backlog(&world, lines);
    fs::remove_file(world.log("app.log")).unwrap();
    world.standin.faults(serves);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), lines);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("sink_accepted_events_total", &[]), lines, "the backlog counts as accepted");
    daemon.stop().drained();
}

#[test]
fn kills_in_a_row_under_load_lose_nothing() {
    let kills = if is_full() { 100 } else { 12 };
    let share = scale(120_000) / kills;
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    world.standin.faults(|faults| faults.delay_ms = 20);
    for round in 0..kills {
        let daemon = world.start();
        let before = world.standin.report().total.seen;
        world.write("app.log", round * share..(round + 1) * share);
        world.seen(&daemon, before + 1);
        daemon.scrape();
        daemon.kill();
    }
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), share * kills);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_process_that_is_killed_again_and_again_makes_progress_on_disk() {
    let world = World::new();
    configure_sink(&world, "buffer = { type = \"disk\", max = \"1GiB\" }\n");
    killed_again_and_again(&world);
    assert!(files(&world, ".corrupt").is_empty(), "a kill damages nothing");
}

#[test]
fn a_stop_at_the_deadline_exits_75_and_doubles_nothing() {
    let lines = scale(60_000);
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    world.write("app.log", 0..lines / 2);
    let daemon = world.start();
    world.delivered(&daemon);
    daemon.conserved();
    world.standin.faults(refuses);
    world.write("app.log", lines / 2..lines);
    acknowledged(&world, &daemon);
    daemon.stop().undelivered();
    world.standin.faults(serves);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_full_buffer_lets_sources_wait() {
    let lines = scale(120_000);
    let world = World::new();
    configure(&world, "max = \"8MiB\"");
    world.standin.faults(refuses);
    world.write("app.log", 0..lines);
    let daemon = world.spawn();
    progress("the buffer is full", || {
        let scrape = daemon.scrape();
        let bytes = scrape.count("buffer_bytes", &[]);
        assert!(bytes <= 8 * MIB, "{bytes} bytes");
        let full = bytes > 6 * MIB && scrape.count("file_behind_bytes", &[]) > 0;
        if full { Ok(()) } else { Err((bytes, daemon.log_text())) }
    });
    world.standin.faults(serves);
    exactly_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

/// Fills a buffer of 8 MiB with three times as much, lets it go, and returns how many lines were delivered, dropped, and
/// given to the dead letters.
fn overfill(when_full: &str) -> (World, u64, [u64; 3]) {
    let lines = scale(120_000);
    let world = World::new();
    configure(&world, &format!("max = \"8MiB\", when_full = \"{when_full}\""));
    world.standin.faults(refuses);
    world.write("app.log", 0..lines);
    let daemon = world.spawn();
    acknowledged(&world, &daemon);
    assert!(daemon.scrape().count("buffer_bytes", &[]) <= 8 * MIB);
    for text in ["/readyz", "/"].map(|page| daemon.get(page).unwrap().text()) {
        assert_eq!(text.contains("sink archive: losing data: "), when_full == "drop_oldest", "{text}");
    }
    world.standin.faults(serves);
    let scrape = daemon.conserved();
    let counts = ["sink_delivered_events_total", "sink_dropped_events_total", "dead_letter_events_total"];
    let counts = counts.map(|name| scrape.count(name, &[]));
    assert_eq!(world.standin.report().total.seen, counts[0]);
    daemon.stop().drained();
    (world, lines, counts)
}

#[test]
fn a_full_buffer_drops_the_oldest_and_counts_them() {
    let (_world, lines, [delivered, dropped, dead]) = overfill("drop_oldest");
    assert_eq!((delivered + dropped, dead), (lines, 0));
    assert!(delivered > 0 && dropped > lines / 3, "{delivered} delivered, {dropped} dropped");
}

#[test]
fn a_full_buffer_gives_the_oldest_to_the_dead_letters() {
    let (world, lines, [delivered, dropped, dead]) = overfill("dead_letter");
    assert_eq!((delivered + dead, dropped), (lines, 0));
    assert!(delivered > 0 && dead > lines / 3, "{delivered} delivered, {dead} in the dead letters");
    assert!(world.state_holds(b"\"reason\":\"buffer_full\""));
}

const SUBSCRIPTIONS: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"an-access-key-for-tests\"]
";

#[test]
fn a_request_is_answered_200_while_the_sink_is_down_and_is_delivered_after_a_kill() {
    let world = World::new();
    world.config(&format!("{SUBSCRIPTIONS}{MESSAGE_SINK}buffer = {{ type = \"disk\" }}\n"));
    world.standin.faults(refuses);
    world.standin.expect(RUN, 2_000);
    let daemon = world.start();
    let payloads: Vec<_> =
        (0..4).map(|index| Envelope::of_lines(RUN, index * 500..(index + 1) * 500).gzipped()).collect();
    Sender::to(&daemon.endpoint()).deliver("request-1", &payloads);
    daemon.kill();
    world.standin.faults(serves);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 2_000);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_backlog_goes_where_the_present_configuration_says() {
    let streams = ["logs", "fixed"].map(|name| Stream::new(&Key::default().account, name)).to_vec();
    let world = World::with(&Settings { streams, ..Settings::default() });
    configure(&world, "max = \"1GiB\"");
    killed_with_a_backlog(&world, 10_000);
    world.standin.faults(serves);
    let text = fs::read_to_string(world.config_path()).unwrap();
    fs::write(world.config_path(), text.replace("stream = \"logs\"", "stream = \"fixed\"")).unwrap();
    let daemon = world.start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 10_000);
    assert_eq!(report.stream("fixed").seen, 10_000);
    daemon.stop().drained();
}

#[test]
fn a_backlog_is_delivered_when_the_sink_has_a_memory_buffer_now() {
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    killed_with_a_backlog(&world, 10_000);
    world.standin.faults(serves);
    world.file_to_firehose("");
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 10_000);
    daemon.conserved();
    daemon.stop().drained();
    assert_eq!(files(&world, ""), Vec::<PathBuf>::new());
}

#[test]
fn a_backlog_of_a_sink_that_is_gone_is_kept_and_said() {
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    killed_with_a_backlog(&world, 10_000);
    world.standin.faults(serves);
    let text = fs::read_to_string(world.config_path()).unwrap();
    fs::write(world.config_path(), text.replace("[sinks.archive]", "[sinks.renamed]")).unwrap();
    let daemon = world.start();
    let said = |text: &str| text.contains("holds undelivered records of the sink `archive`");
    assert!(said(&daemon.log_text()), "{}", daemon.log_text());
    assert!(said(&daemon.get("/").unwrap().text()), "the status page says so");
    daemon.stop().drained();
    assert_eq!(world.standin.report().total.seen, 0);

    fs::write(world.config_path(), text).unwrap();
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 10_000);
    daemon.stop().drained();
}

#[test]
fn names_made_finer_hold_a_backlog_that_they_cannot_tell_apart() {
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    killed_with_a_backlog(&world, 1_000);
    world.standin.faults(serves);
    let text = fs::read_to_string(world.config_path()).unwrap();
    fs::write(world.config_path(), text.replace("stream = \"logs\"", "stream = \"logs-{source}\"")).unwrap();
    let daemon = world.start();
    assert!(daemon.log_text().contains("does not depend on `{source}`"), "{}", daemon.log_text());
    daemon.stop().drained();
    fs::write(world.config_path(), text).unwrap();
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 1_000);
    daemon.stop().drained();
}

#[test]
fn a_buffer_that_cannot_be_written_is_said_and_delivered_past_until_it_can() {
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    fs::create_dir_all(world.path("state")).unwrap();
    fs::write(world.path("state/spool"), "in the way").unwrap();
    world.standin.faults(refuses);
    world.write("app.log", 0..20_000);
    let daemon = world.spawn();
    let said = until("it is said", || {
        Some(daemon.until_readyz(503).text()).filter(|said| said.contains("disk buffer of archive (logs)"))
    });
    assert_eq!(world.checkpointed(), 0, "nothing is told done: {said}");
    assert!(daemon.scrape().count("buffer_errors_total", &["reason=\"open\""]) > 0);
    world.standin.faults(serves);
    exactly_once(&world.delivered(&daemon), 20_000);
    daemon.until_readyz(503);
    acknowledged(&world, &daemon);
    fs::remove_file(world.path("state/spool")).unwrap();
    daemon.ready();
    world.write("app.log", 20_000..40_000);
    exactly_once(&world.delivered(&daemon), 40_000);
    let scrape = daemon.conserved();
    assert!(scrape.sum("buffer_fsync_duration_seconds_count", &[]) > 0.0, "by way of the disk again");
    daemon.stop().drained();
}

#[test]
fn torn_or_corrupt_state_is_cut_back_put_aside_counted_and_passed() {
    let world = World::new();
    configure(&world, "max = \"8MiB\"");
    killed_with_a_backlog(&world, 20_000);
    let segments = files(&world, ".spool");
    assert!(segments.len() >= 3, "{segments:?}");
    let damage = |path: &PathBuf, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    damage(&segments[0], &|bytes| bytes[500_000] ^= 1);
    damage(&segments[segments.len() - 1], &|bytes| bytes.extend([7; 100]));
    world.standin.faults(serves);
    let daemon = world.start();
    let scrape = until("the backlog is delivered", || {
        let scrape = daemon.conserved();
        (scrape.count("sink_delivered_events_total", &[]) > 0).then_some(scrape)
    });
    let (delivered, lost) = (
        scrape.count("sink_delivered_events_total", &[]),
        scrape.count("sink_dropped_events_total", &["reason=\"corrupt\""]),
    );
    assert_eq!(delivered + lost, 20_000);
    assert!((1..8_000).contains(&lost), "one record is lost: {lost}");
    assert_eq!(scrape.count("buffer_corrupt_total", &["reason=\"checksum\""]), 1);
    assert_eq!(scrape.count("buffer_corrupt_total", &["reason=\"torn\""]), 1);
    assert_eq!(files(&world, ".corrupt").len(), 2);
    let said = daemon.issues();
    for segment in [&segments[0], &segments[segments.len() - 1]] {
        let name = segment.display().to_string();
        assert_eq!(said.iter().filter(|line| line.contains(&format!("{name}\""))).count(), 1, "{said:#?}");
    }
    daemon.stop().drained();
}
