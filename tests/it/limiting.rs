//! What is left out where it is read is counted, and told as done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::standin::{Refusal, Settings};
use crate::world::{
    ACCESS_KEY, Daemon, FILE_SOURCE, MESSAGE_SINK, RUN, Sender, World, at_least_once, exactly_once, progress,
    until,
};
use standpipe::event::Timestamp;

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

fn now() -> u64 {
    Timestamp::now().0.cast_unsigned()
}

/// Makes a file look as if it was written to so many seconds ago.
fn age(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: (now() / SECOND).cast_signed() - seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(fs::File::open(path).unwrap(), &times).unwrap();
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Whatever `check` says of a configuration that it refuses.
fn refused(config: &str) -> String {
    let world = World::new();
    world.config(config);
    let Output { status, stderr, .. } =
        world.run(&["check", "-c", world.config_path().to_str().unwrap()], b"");
    assert_eq!(status.code(), Some(78), "{config}");
    String::from_utf8_lossy(&stderr).into_owned()
}

/// The messages that came, in order.
fn messages(world: &World) -> Vec<String> {
    let records = world.standin.records();
    let text: String = records.iter().map(|kept| String::from_utf8(kept.data.to_vec()).unwrap()).collect();
    text.lines().map(str::to_owned).collect()
}

/// A subscription payload with these events of a log group: id, time and message.
fn envelope(group: &str, events: &[(String, u64, String)]) -> Vec<u8> {
    let events: Vec<Value> = events
        .iter()
        .map(|(id, timestamp, message)| json!({ "id": id, "timestamp": timestamp, "message": message }))
        .collect();
    let payload = json!({
        "messageType": "DATA_MESSAGE",
        "owner": "333333333333",
        "logGroup": group,
        "logStream": "s",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(payload.to_string().as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn endpoint(more: &str) -> String {
    format!(
        "[sources.subs]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\naccess_keys = [\"{ACCESS_KEY}\"]\n{more}"
    )
}

fn keeping_records() -> World {
    World::with(&Settings { keep_records: true, ..Settings::default() })
}

#[test]
fn events_that_are_too_old_are_dropped_counted_and_done() {
    let world = keeping_records();
    world.config(&format!("{}{MESSAGE_SINK}", endpoint("ignore_older = \"7d\"\n")));
    let daemon = world.start();
    let too_old = ["route=\"none\"", "reason=\"too_old\""];
    assert!(daemon.scrape().text.contains("filtered_events_total{reason=\"too_old\",route=\"none\"} 0"));
    let event = |number: u64, ago: u64| (format!("{number:056}"), now() - ago, format!("event {number}"));
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("1", &[envelope("/a", &[event(1, 8 * DAY), event(2, 6 * DAY), event(3, 0)])]);
    // Nothing else is in it, and it is answered all the same.
    sender.deliver("2", &[envelope("/a", &[event(4, 30 * DAY)])]);
    assert_eq!(messages(&world), ["event 2", "event 3"]);
    assert_eq!(daemon.conserved().count("filtered_events_total", &too_old), 2);
    daemon.stop().drained();
}

#[test]
fn an_age_needs_events_that_tell_their_time() {
    let check = |config: &str, words: &str| {
        let said = refused(config);
        assert!(said.contains(words), "{words}: {said}");
    };
    let lines = endpoint("format = \"lines\"\nignore_older = \"7d\"\n");
    check(&format!("{lines}{MESSAGE_SINK}"), "sources.subs.ignore_older: needs events that tell their time");
    let whole = MESSAGE_SINK.replace("\"message\"", "\"envelope\"");
    let words = "sources.subs.ignore_older: leads to `sinks.archive`, whose `encoding` is `envelope`";
    check(&format!("{}{whole}", endpoint("ignore_older = \"7d\"\n")), words);
}

#[test]
fn a_file_that_is_too_old_is_left_alone() {
    let world = keeping_records();
    world.config(&format!("{FILE_SOURCE}ignore_older = \"1h\"\n{MESSAGE_SINK}"));
    fs::write(world.log("old.log"), "old\n").unwrap();
    age(&world.log("old.log"), 7_200);
    fs::write(world.log("new.log"), "new\n").unwrap();
    let daemon = world.start();
    progress("the other one comes", || {
        let messages = messages(&world);
        if messages.is_empty() { Err((0, daemon.log_text())) } else { Ok(()) }
    });
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("source_files_total", &["source=\"app\"", "outcome=\"ignored\""]), 1);
    assert!(daemon.log_text().contains("as long as `ignore_older` says"), "{}", daemon.log_text());
    daemon.stop().drained();
    assert_eq!(messages(&world), ["new"]);
}

const ROTATED_SOURCE: &str = "
[sources.app]
type = \"file\"
include = [\"@DIR/logs/app.log*\"]
rescan = \"100ms\"
remove_after = \"1s\"
";

/// Lines of one rotated file.
const ROTATED_LINES: u64 = 2_000;

/// Writes rotated files `app.log.1` and so on, each with lines of its own, and the file that follows them.
fn write_rotated(world: &World, files: u64) {
    for number in 1..=files {
        let name = format!("app.log.{number}");
        world.write(&name, (number - 1) * ROTATED_LINES..number * ROTATED_LINES);
        age(&world.log(&name), 3_600);
    }
    world.write("app.log", files * ROTATED_LINES..files * ROTATED_LINES + 1);
}

/// How many of the rotated files are gone. Of none that is, a line is missing at the stand-in.
#[track_caller]
fn gone(world: &World, files: u64) -> u64 {
    let is_gone = |number: &u64| !world.log(&format!("app.log.{number}")).exists();
    // What is gone now was delivered before now.
    let gone: Vec<u64> = (1..=files).filter(is_gone).collect();
    let missing: BTreeSet<u64> = world.standin.gaps(RUN, usize::MAX).into_iter().collect();
    for number in &gone {
        let lines = (number - 1) * ROTATED_LINES..number * ROTATED_LINES;
        assert_eq!(missing.range(lines).next(), None, "app.log.{number} was removed with lines undelivered");
    }
    gone.len() as u64
}

#[test]
fn a_kill_at_any_point_never_leaves_a_file_removed_that_was_not_delivered() {
    const FILES: u64 = 12;
    let world = World::new();
    world.config(&format!("[limits]\nmemory = \"16MiB\"\nshutdown = \"1s\"\n{ROTATED_SOURCE}{MESSAGE_SINK}"));
    write_rotated(&world, FILES);
    let mut killed = 0;
    // Killed when a file goes, and while others are on their way or have just been delivered.
    progress("every rotated file goes", || {
        let before = gone(&world, FILES);
        if before == FILES {
            return Ok(());
        }
        let daemon = world.start();
        let after = progress("a file goes", || {
            daemon.must_run();
            let after = gone(&world, FILES);
            if after > before { Ok(after) } else { Err((world.checkpointed(), daemon.log_text())) }
        });
        daemon.kill();
        killed += 1;
        Err((after, String::new()))
    });
    assert!(killed > 0);
    assert!(world.log("app.log").exists(), "what follows them stays");
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), FILES * ROTATED_LINES + 1);
    daemon.stop().drained();
}

#[test]
fn nothing_is_removed_while_it_cannot_be_delivered() {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    // What is delivered elsewhere shows that files are looked at.
    let aside = "
[sources.aside]
type = \"file\"
include = [\"@DIR/logs/other.log*\"]
remove_after = \"1s\"
[sinks.aside]
type = \"directory\"
path = \"@DIR/aside\"
linger = \"20ms\"
[[routes]]
from = [\"app\"]
to = [\"archive\"]
[[routes]]
from = [\"aside\"]
to = [\"aside\"]
";
    world.config(&format!("{ROTATED_SOURCE}{MESSAGE_SINK}{aside}"));
    write_rotated(&world, 2);
    let daemon = world.spawn();
    for round in 0..3 {
        let path = world.log(&format!("other.log.{round}"));
        fs::write(&path, "line\n").unwrap();
        age(&path, 3_600);
        append(&world.log("other.log"), &format!("line {round}\n"));
        until("the other one goes", || {
            daemon.must_run();
            (!path.exists()).then_some(())
        });
        assert_eq!(gone(&world, 2), 0);
    }
    world.standin.faults(|faults| faults.refusal = None);
    until("they go once they are delivered", || (gone(&world, 2) == 2).then_some(()));
    exactly_once(&world.delivered(&daemon), 2 * ROTATED_LINES + 1);
    let labels = ["source=\"app\"", "outcome=\"removed\""];
    until("they are counted", || (daemon.scrape().count("source_files_total", &labels) == 2).then_some(()));
    daemon.stop().drained();
}

#[test]
fn a_rate_of_ones_own_is_kept_and_nothing_is_called_stuck() {
    const RATE: u64 = 128 << 10;
    let world = World::new();
    let started = Instant::now();
    world.write("app.log", 0..4_000);
    let bytes = fs::metadata(world.log("app.log")).unwrap().len();
    let daemon = world.file_to_firehose("rate = \"128KiB/s\"\n").start();
    let mut unready = Vec::new();
    let report = progress("every line is delivered", || {
        daemon.must_run();
        unready.extend(daemon.get("/readyz").filter(|reply| reply.status != 200).map(|reply| reply.text()));
        let report = world.standin.report();
        let sent: u64 = daemon.scrape().count("sink_delivered_bytes_total", &[]);
        // However fast or slow anything is: no more has left than the rate lets through, and one request.
        let elapsed = started.elapsed();
        let most = RATE * (elapsed.as_secs() + 1) + (256 << 10);
        assert!(sent <= most, "{sent} bytes in {elapsed:?}");
        if report.missing == 0 { Ok(report) } else { Err((report.total.seen, daemon.log_text())) }
    });
    exactly_once(&report, 4_000);
    assert!(bytes > 2 * (256 << 10), "there is enough to wait for");
    // What a busy machine makes of other threads is not looked at.
    let blames =
        |text: &&String| ["stuck", "full: sources wait", "too slow"].iter().any(|word| text.contains(word));
    assert_eq!(unready.iter().find(blames), None, "what waits for the rate is no fault");
    assert!(daemon.conserved().sum("sink_capped_seconds_total", &["sink=\"archive\""]) > 0.0);
    daemon.stop().drained();
}

/// Requests to one sink by a route with this limit. The route behind it gives the sink nothing more.
fn limited(limit: &str) -> String {
    let routes = format!("[[routes]]\nto = [\"archive\"]\n{limit}\n[[routes]]\nto = [\"archive\"]\n");
    format!("{}{MESSAGE_SINK}{routes}", endpoint(""))
}

#[test]
fn a_sample_is_the_same_whenever_an_event_comes_and_is_counted() {
    let world = keeping_records();
    world.config(&limited("sample = 0.25"));
    let daemon = world.start();
    let sampled = ["route=\"0\"", "reason=\"sampled\""];
    assert!(daemon.scrape().text.contains("filtered_events_total{reason=\"sampled\",route=\"0\"} 0"));
    let events: Vec<_> =
        (0..400).map(|number: u64| (format!("{number:056}"), now(), format!("event {number}"))).collect();
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("1", &[envelope("/a", &events)]);
    let once = messages(&world);
    assert!((50..150).contains(&once.len()), "{}", once.len());
    // Sent again, by another request, after a restart.
    daemon.stop().drained();
    let daemon = world.start();
    Sender::to(&daemon.endpoint()).deliver("2", &[envelope("/b", &events)]);
    let both = messages(&world);
    let mut counts = BTreeMap::<&String, usize>::new();
    for message in &both {
        *counts.entry(message).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 2), "the same events come: {counts:?}");
    let left_out = 400 - once.len() as u64;
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("filtered_events_total", &sampled), left_out);
    assert_eq!(scrape.count("withheld_events_total", &sampled), left_out);
    daemon.stop().drained();
}

#[test]
fn lines_of_files_are_sampled_by_where_they_stand() {
    let world = keeping_records();
    world.config(&format!("{FILE_SOURCE}{MESSAGE_SINK}[[routes]]\nsample = 0.5\nto = [\"archive\"]\n"));
    let lines = (0..1_000).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
    fs::write(world.log("app.log"), lines).unwrap();
    let read = |daemon: &Daemon| {
        progress("all lines are read", || {
            let read = daemon.scrape().count("source_events_total", &["source=\"app\""]);
            if read == 1_000 { Ok(()) } else { Err((read, daemon.log_text())) }
        });
        daemon.conserved();
    };
    let daemon = world.start();
    read(&daemon);
    daemon.stop().drained();
    let once = messages(&world);
    assert!((300..700).contains(&once.len()), "{}", once.len());
    if fs::metadata(world.log("app.log")).unwrap().created().is_err() {
        // Where it is not told when a file came into being, it has other ids once its position is lost.
        return;
    }
    // Read again, as after a loss of the state directory.
    fs::remove_dir_all(world.path("state")).unwrap();
    let daemon = world.start();
    read(&daemon);
    daemon.stop().drained();
    let again = messages(&world).split_off(once.len());
    assert_eq!(once, again);
}

#[test]
fn a_throttle_lets_so_many_of_each_key_through_and_tells_the_first_that_is_over() {
    let world = keeping_records();
    let throttle = "throttle = { events = 3, per = \"24h\", by = \"{log_group}\" }";
    world.config(&limited(throttle));
    let daemon = world.start();
    let throttled = ["route=\"0\"", "reason=\"throttled\""];
    assert!(daemon.scrape().text.contains("filtered_events_total{reason=\"throttled\",route=\"0\"} 0"));
    let events = |group: &str| -> Vec<_> {
        (0..5)
            .map(|number: u64| (format!("{group}{number:055}"), now(), format!("{group} {number}")))
            .collect()
    };
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("1", &[envelope("/a", &events("a")), envelope("/b", &events("b"))]);
    sender.deliver("2", &[envelope("/a", &events("c"))]);
    let came: BTreeSet<String> = messages(&world).into_iter().collect();
    let expected = ["a 0", "a 1", "a 2", "b 0", "b 1", "b 2"].map(str::to_owned);
    assert_eq!(came, BTreeSet::from(expected));
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("filtered_events_total", &throttled), 9);
    assert_eq!(scrape.count("withheld_events_total", &throttled), 9);
    let told = daemon.issues().into_iter().filter(|line| line.contains("more than 3 events")).count();
    // How many more depends on how long it took: one in ten seconds.
    assert!(told >= 1, "a key that is over is told of: {:?}", daemon.issues());
    daemon.stop().drained();
}

#[test]
fn limits_that_cannot_be_are_refused_and_others_are_shown() {
    let to = |limit: &str| format!("{FILE_SOURCE}{MESSAGE_SINK}[[routes]]\n{limit}\nto = [\"archive\"]\n");
    for (config, words) in [
        (to("sample = 0"), "routes[0].sample: found `0`, expected a number above 0 and up to 1"),
        (to("sample = 1.5"), "routes[0].sample"),
        (to("throttle = { per = \"1s\" }"), "routes[0].throttle.events: missing"),
        (to("throttle = { events = 1, by = \"{loggroup}\" }"), "did you mean `{log_group}`"),
        (
            format!("{FILE_SOURCE}{MESSAGE_SINK}[[routes]]\nsample = 0.5\ndrop = true\n"),
            "routes[0].sample: limits what is given to sinks",
        ),
        (
            format!(
                "{}{}[[routes]]\nsample = 0.5\nto = [\"archive\"]\n",
                endpoint(""),
                MESSAGE_SINK.replace("\"message\"", "\"envelope\"")
            ),
            "routes[0].sample: leads to `sinks.archive`",
        ),
        (
            format!("{FILE_SOURCE}{MESSAGE_SINK}rate = \"5MiB\"\n"),
            "sinks.archive.rate: found `5MiB`, expected a size a second",
        ),
        (format!("{FILE_SOURCE}{MESSAGE_SINK}rate = \"1KiB/s\"\n"), "`16KiB/s` to `1TiB/s`"),
    ] {
        let said = refused(&config);
        assert!(said.contains(words), "{words}: {said}");
    }
    let world = World::new();
    let limits = "sample = 0.1\nthrottle = { events = 1000, per = \"1s\", by = \"{source}\" }";
    world.config(&format!(
        "{FILE_SOURCE}ignore_older = \"7d\"\nremove_after = \"1h\"\n{MESSAGE_SINK}rate = \"5MiB/s\"\n[[routes]]\n{limits}\nto = [\"archive\"]\n"
    ));
    let Output { status, stdout, .. } =
        world.run(&["check", "-c", world.config_path().to_str().unwrap()], b"");
    let shown = String::from_utf8_lossy(&stdout).into_owned();
    assert_eq!(status.code(), Some(0));
    for line in [
        "files that nothing was written to for 7d are not read",
        "rotated and compressed files are removed 1h after they were delivered",
        "at most 5MiB/s, over all destinations",
        "routes[0], a sample of 0.1, at most 1000 events of each {source} per 1s → archive",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}
