//! What can go wrong, kind by kind: what standpipe does then, what an operator sees, and that it goes on by itself.
//!
//! What a person must fix is in `held`, and in `roles` for roles; a damaged disk buffer is in `buffer`.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use crate::standin::{Faults, ProxyFault, Refusal, Report, Settings};
use crate::world::{
    Daemon, Envelope, FILE_SOURCE, MESSAGE_SINK, RUN, Scrape, Sender, World, at_least_once, exactly_once,
    progress, until,
};

const LINES: u64 = 20_000;

/// Delivers lines through a fault to the end.
fn through(faults: fn(&mut Faults)) -> (Report, Scrape) {
    let world = World::new();
    world.standin.faults(faults);
    world.write("app.log", 0..LINES);
    let daemon = world.file_to_firehose("max_concurrency = 2\n").start();
    let report = world.delivered(&daemon);
    let scrape = daemon.conserved();
    daemon.stop().drained();
    (report, scrape)
}

fn outcomes(scrape: &Scrape, outcome: &str) -> u64 {
    scrape.count("sink_requests_total", &[&format!("outcome=\"{outcome}\"")])
}

#[test]
fn throttled_calls_are_sent_again_until_they_are_accepted() {
    let (report, scrape) = through(|faults| faults.throttles = 0.6);
    exactly_once(&report, LINES);
    assert!(outcomes(&scrape, "throttled") > 0 && scrape.count("dead_letter_events_total", &[]) == 0);
}

#[test]
fn calls_that_end_in_a_500_are_sent_again_until_they_are_accepted() {
    let (report, scrape) = through(|faults| faults.internal = 0.6);
    exactly_once(&report, LINES);
    assert!(outcomes(&scrape, "failed") > 0);
}

#[test]
fn cut_connections_are_opened_again_and_their_calls_sent_again() {
    let (report, scrape) = through(|faults| faults.cut_before = 0.6);
    exactly_once(&report, LINES);
    assert!(outcomes(&scrape, "failed") > 0);
}

#[test]
fn of_records_with_an_error_code_only_those_are_sent_again() {
    let (report, scrape) = through(|faults| faults.record_failures = 0.6);
    exactly_once(&report, LINES);
    assert!(report.refused_records > 0);
    let rejected = scrape.count("sink_rejected_records_total", &["sink=\"archive\""]);
    assert_eq!(rejected, report.refused_records);
}

#[test]
fn calls_that_time_out_are_sent_again_once_the_service_answers() {
    let world = World::new();
    world.standin.faults(|faults| faults.hang = true);
    world.write("app.log", 0..LINES);
    let daemon = world.file_to_firehose("request_timeout = \"1s\"\n").spawn();
    let words = daemon.until_readyz(503).text();
    assert!(words.contains("archive"), "/readyz names the sink: {words}");
    world.standin.faults(|faults| faults.hang = false);
    at_least_once(&world.delivered(&daemon), LINES);
    assert!(outcomes(&daemon.conserved(), "failed") > 0);
    daemon.ready();
    daemon.stop().drained();
}

/// Among good records one is refused for good: the others arrive, and that one is kept with its bytes and its reason.
fn poison(refusals: &str, faults: impl FnOnce(&mut Faults)) {
    let world = World::new();
    world.standin.faults(faults);
    world.write("app.log", 0..250);
    fs::OpenOptions::new()
        .append(true)
        .open(world.log("app.log"))
        .unwrap()
        .write_all(b"the poisoned line\n")
        .unwrap();
    world.write("app.log", 250..499);
    let daemon = world.file_to_firehose("packing = \"event\"\n").start();
    world.seen(&daemon, 499);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("dead_letter_events_total", &[&format!("reason=\"{refusals}\"")]), 1);
    assert_eq!(scrape.count("dead_letter_events_total", &[]), 1, "and no other");
    assert!(world.state_holds(b"the poisoned line"), "its bytes are kept");
    // 500 records are halved nine times on the way to one of them.
    assert!(world.standin.report().calls <= 40, "{:#?}", world.standin.report());
    assert!(daemon.log_text().contains("cannot be delivered; kept as dead letters"));
    daemon.stop().drained();
}

#[test]
fn a_request_with_an_invalid_argument_is_halved_down_to_the_record_at_fault() {
    poison("InvalidArgumentException", |faults| faults.poison = Some("poisoned".into()));
}

#[test]
fn a_request_that_is_answered_413_is_halved_and_its_records_kept() {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(Refusal::TooLarge));
    world.write("app.log", 0..8);
    let daemon = world.file_to_firehose("packing = \"event\"\n").start();
    until("every record is a dead letter", || {
        (daemon.scrape().count("dead_letter_events_total", &[]) == 8).then_some(())
    });
    let reason = daemon.scrape().count("dead_letter_events_total", &["RequestEntityTooLargeException"]);
    assert_eq!(reason, 8);
    world.standin.faults(|faults| faults.refusal = None);
    world.write("app.log", 8..100);
    world.seen(&daemon, 92);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_proxy_that_takes_small_requests_only_gets_small_ones_and_is_named() {
    let world = World::new();
    world.standin.faults(|faults| faults.proxy = Some(ProxyFault { status: 413, over: 100_000 }));
    world.write("app.log", 0..LINES);
    let daemon = world.file_to_firehose("").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, LINES);
    let scrape = daemon.conserved();
    assert!(outcomes(&scrape, "rejected") > 0 && scrape.count("dead_letter_events_total", &[]) == 0);
    let log = daemon.log_text();
    assert!(
        log.contains("HTTP 413 text/html from server `nginx/1.27.0`, which is no answer of AWS"),
        "{log}"
    );
    daemon.stop().drained();
}

#[test]
fn a_proxy_that_refuses_everything_is_named_and_waited_for() {
    for (status, outcome) in
        [(403, "held"), (407, "held"), (502, "failed"), (301, "failed"), (429, "throttled")]
    {
        let world = World::new();
        world.standin.faults(|faults| faults.proxy = Some(ProxyFault { status, over: 0 }));
        world.write("app.log", 0..1_000);
        let daemon = world.file_to_firehose("").spawn();
        let words = until("/readyz names the proxy", || {
            let text = daemon.get("/readyz")?.text();
            text.contains(&format!("HTTP {status} text/html from server `nginx/1.27.0`")).then_some(text)
        });
        assert!(words.contains("archive"), "{words}");
        assert!(outcomes(&daemon.scrape(), outcome) > 0, "{status}");
        world.standin.faults(|faults| faults.proxy = None);
        exactly_once(&world.delivered(&daemon), 1_000);
        daemon.stop().drained();
    }
}

const HTTP: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"an-access-key-for-tests\"]
";

#[test]
fn an_undecodable_payload_is_kept_and_its_request_answered_200() {
    let world = World::new();
    let daemon = world.config(&format!("{HTTP}{MESSAGE_SINK}")).start();
    world.standin.expect(RUN, 100);
    let mut sender = Sender::to(&daemon.endpoint());
    let good = Envelope::of_lines(RUN, 0..100).gzipped();
    let reply = sender.post("request", &[b"no payload of CloudWatch Logs".to_vec(), good]).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    exactly_once(&world.delivered(&daemon), 100);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("undecodable_total", &["source=\"subscriptions\""]), 1);
    assert!(world.path("state/dead-letters/_subscriptions").is_dir(), "it is kept");
    daemon.stop().drained();
}

#[test]
fn an_envelope_with_a_huge_name_is_kept_and_stops_nothing() {
    let world = World::new();
    let json_sink = MESSAGE_SINK.replace("\"message\"", "\"json\"");
    let daemon = world.config(&format!("{HTTP}{json_sink}")).start();
    world.standin.expect(RUN, 100);
    let mut sender = Sender::to(&daemon.endpoint());
    let mut huge = Envelope::of_lines(RUN, 0..10);
    huge.log_group = "g".repeat(4_500_000);
    let good = Envelope::of_lines(RUN, 0..100).gzipped();
    let reply = sender.post("request", &[huge.gzipped(), good]).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    exactly_once(&world.delivered(&daemon), 100);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("undecodable_total", &["reason=\"name_too_long\""]), 1);
    daemon.stop().drained();
}

#[test]
fn requests_are_answered_503_while_dead_letters_are_full_and_200_when_there_is_room() {
    let world = World::new();
    let state = "[state]\ndir = \"@DIR/state\"\nmax_dead_letters = \"1MiB\"\n";
    let daemon = world.config(&format!("{state}{HTTP}timeout = \"1s\"\n{MESSAGE_SINK}")).start();
    let mut sender = Sender::to(&daemon.endpoint());
    let payload = |number: u32| format!("no payload {number} {}", "x".repeat(300_000)).into_bytes();
    let mut posts = 0;
    let refused = until("the dead letters are full", || {
        posts += 1;
        sender.post(&format!("request-{posts}"), &[payload(posts)]).ok().filter(|reply| reply.status != 200)
    });
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(daemon.until_readyz(503).text().contains("max_dead_letters"));
    daemon.scrape();
    let letters = world.path("state/dead-letters/_subscriptions");
    for entry in fs::read_dir(letters).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    until("a request is taken again", || {
        posts += 1;
        let reply = sender.post(&format!("request-{posts}"), &[payload(posts)]);
        reply.is_ok_and(|reply| reply.status == 200).then_some(())
    });
    daemon.ready();
    daemon.stop().drained();
}

/// A line of twice what a record holds, between two others; what became of it.
fn oversize(too_long: &str) -> (World, Daemon) {
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    let long = "x".repeat(2_000_000);
    fs::write(world.log("app.log"), format!("before\n{long}\nafter\n")).unwrap();
    let source = format!("{FILE_SOURCE}too_long = \"{too_long}\"\n");
    let daemon = world.config(&format!("{source}{MESSAGE_SINK}too_long = \"{too_long}\"\n")).start();
    let size = fs::metadata(world.log("app.log")).unwrap().len();
    // Requests that are answered late may be overtaken.
    progress("all of the file is acknowledged", || {
        daemon.must_run();
        let reached = world.checkpointed();
        if reached == size { Ok(()) } else { Err((reached, daemon.log_text())) }
    });
    let got = shipped(&world);
    assert!(got.contains("before\n") && got.contains("after\n"));
    (world, daemon)
}

fn shipped(world: &World) -> String {
    world.standin.records().iter().map(|kept| String::from_utf8_lossy(&kept.data).into_owned()).collect()
}

#[test]
fn an_event_too_large_for_a_record_is_split_and_each_part_is_marked() {
    let (world, daemon) = oversize("split");
    let got = shipped(&world);
    assert_eq!(got.matches("part, at byte ").count(), got.matches('…').count());
    assert_eq!(got.matches("[last part, at byte ").count(), 1);
    assert_eq!(got.matches('x').count(), 2_000_000);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn an_event_too_large_for_a_record_is_truncated_and_says_so() {
    let (world, daemon) = oversize("truncate");
    let got = shipped(&world);
    assert!(got.contains("…[truncated ") && got.matches('x').count() < 1_024_000, "{}", got.len());
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn an_event_too_large_for_a_record_becomes_a_dead_letter() {
    let (world, daemon) = oversize("dead_letter");
    assert!(world.state_holds(b"\"reason\":\"too_long\""));
    assert!(daemon.conserved().count("undecodable_total", &["reason=\"too_long\""]) > 0);
    daemon.stop().drained();
}

#[test]
fn a_state_folder_that_cannot_be_written_is_said_and_gone_on_without() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let state = world.path("state");
    // A folder in the place of the file that is written first: no right of the user who runs this gets past it.
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(state.join("checkpoints.json.new")).unwrap();
    world.write("app.log", 0..1_000);
    exactly_once(&world.delivered(&daemon), 1_000);
    let words = daemon.until_readyz(503).text();
    assert!(words.contains("checkpoints: cannot be saved"), "{words}");
    daemon.stop().undelivered();
    let daemon = world.spawn();
    daemon.until_readyz(503);
    fs::remove_dir(state.join("checkpoints.json.new")).unwrap();
    daemon.ready();
    daemon.stop().drained();
    let daemon = world.start();
    world.write("app.log", 1_000..2_000);
    let report = world.delivered(&daemon);
    at_least_once(&report, 2_000);
    assert_eq!(report.total.duplicates, 1_000, "what could not be written down, and no more: {report:#?}");
    daemon.stop().drained();
}

#[test]
fn torn_checkpoints_are_kept_aside_and_what_is_whole_is_used() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    world.write_run(RUN + 1, "other.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    exactly_once(&world.delivered(&daemon), 2_000);
    daemon.stop().drained();
    let path = world.path("state/checkpoints.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    let daemon = world.start();
    assert!(world.path("state/checkpoints.json.corrupt").exists());
    assert!(daemon.log_text().contains("checkpoints are damaged"));
    world.write("app.log", 1_000..2_000);
    world.write_run(RUN + 1, "other.log", 1_000..2_000);
    let report = world.delivered(&daemon);
    at_least_once(&report, 4_000);
    assert!(report.total.duplicates <= 1_000, "one file alone is read again: {report:#?}");
    daemon.stop().drained();
}
