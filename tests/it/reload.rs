//! SIGHUP under load: the new configuration takes over whole or not at all, and nothing is lost or doubled on the way.

use std::fs;
use std::io::{PipeWriter, Write, pipe};
use std::net::TcpListener;
use std::thread;

use crate::standin::{Faults, Key, Lines, Settings, Stream};
use crate::world::{
    Daemon, Envelope, FILE_SOURCE, MESSAGE_SINK, RUN, Scrape, Sender, World, at_least_once, exactly_once,
    scale, until,
};

const HTTP_SOURCE: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"an-access-key-for-tests\"]
";

const INPUT: &str = "
[sources.input]
type = \"stdin\"
";

/// Sends the signal, and waits until the log says that it was refused, for this reason.
fn refused(daemon: &Daemon, reason: &str) {
    daemon.signal("HUP");
    until(&format!("the log says `{reason}`"), || {
        daemon.must_run();
        let log = daemon.issues();
        let said = log.iter().any(|line| line.contains("not reloaded") && line.contains(reason));
        said.then_some(())
    });
    let scrape = daemon.scrape();
    assert!(scrape.sum("config_last_reload_successful", &[]) < 0.5, "the metric says so too");
    assert!(daemon.get("/").unwrap().text().contains("The last reload failed"), "and the status page");
}

#[test]
fn a_sink_that_is_added_gets_what_comes_and_counters_go_on() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    world.file_to_firehose(
        "[sinks.local]\ntype = \"directory\"\npath = \"@DIR/out\"\nencoding = \"message\"\n",
    );
    daemon.reload();
    world.write("app.log", 1_000..3_000);
    exactly_once(&world.delivered(&daemon), 3_000);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("sink_delivered_events_total", &["sink=\"archive\""]), 3_000);
    assert_eq!(scrape.count("sink_delivered_events_total", &["sink=\"local\""]), 2_000);
    assert!(scrape.sum("config_last_reload_successful", &[]) > 0.5);
    assert!(daemon.get("/").unwrap().text().contains("local"), "the status page shows the sink");
    daemon.ready();
    daemon.stop().drained();
}

#[test]
fn a_sink_that_is_removed_has_delivered_what_it_was_given() {
    let world = World::new();
    world.file_to_firehose("[sinks.local]\ntype = \"directory\"\npath = \"@DIR/out\"\nlinger = \"1m\"\n");
    world.write("app.log", 0..1_000);
    let daemon = world.start();
    world.delivered(&daemon);
    world.file_to_firehose("");
    daemon.reload();
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("sink_delivered_events_total", &["sink=\"local\""]), 1_000);
    assert_eq!(daemon.issues(), Vec::<String>::new());
    daemon.stop().drained();
}

#[test]
fn a_route_that_is_changed_decides_about_what_comes() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    world.file_to_firehose("[[routes]]\nfrom = [\"app\"]\ndrop = true\n");
    daemon.reload();
    world.write("app.log", 1_000..2_000);
    until("the lines are dropped", || {
        (daemon.scrape().count("filtered_events_total", &[]) == 1_000).then_some(())
    });
    assert_eq!(world.standin.report().total.seen, 1_000);
    world.file_to_firehose("");
    daemon.reload();
    world.write("app.log", 2_000..2_500);
    world.seen(&daemon, 1_500);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_configuration_that_cannot_run_is_explained_and_the_old_one_runs_on() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let world = World::new();
    let good = format!("{FILE_SOURCE}{HTTP_SOURCE}{MESSAGE_SINK}");
    let daemon = world.config(&good).start();
    let mut at = 0;
    for (bad, reason) in [
        (good.replace("linger", "lingre"), "sinks.archive.lingre"),
        (good.replace("access_keys = [", "access_keys = [\"${NOWHERE}\", "), "NOWHERE"),
        (format!("[state]\ndir = \"@DIR/other\"\n{good}"), "`state.dir` is now"),
        (format!("[server]\nlisten = \"{taken}\"\n{good}"), "cannot listen on"),
        (good.replace("127.0.0.1:0", &taken), "cannot listen on"),
    ] {
        world.config(&bad);
        refused(&daemon, reason);
        world.write("app.log", at..at + 100);
        at += 100;
        exactly_once(&world.delivered(&daemon), at);
        daemon.ready();
    }
    fs::remove_file(world.config_path()).unwrap();
    refused(&daemon, "standpipe.toml");
    assert_eq!(daemon.starts(), 1, "nothing was started anew");
    world.config(&good);
    daemon.reload();
    assert!(daemon.scrape().sum("config_last_reload_successful", &[]) > 0.5);
    assert!(!daemon.get("/").unwrap().text().contains("The last reload failed"));
    daemon.stop().drained();
}

/// Reloads again and again while files grow and requests come; returns the last scrape.
fn check_under_load(buffer: &str) -> Scrape {
    let share = scale(40_000) / 8;
    let world = World::new();
    let limits = "[limits]\nmemory = \"16MiB\"\nshutdown = \"100s\"\n";
    world.config(&format!("{limits}{FILE_SOURCE}{HTTP_SOURCE}{MESSAGE_SINK}buffer = {buffer}\n"));
    world.standin.faults(|faults| faults.delay_ms = 20);
    let daemon = world.start();
    let address = daemon.endpoint();
    let requests = share / 100 * 8;
    world.standin.expect(RUN + 1, requests * 100);
    thread::scope(|scope| {
        for sender in 0..4 {
            let address = &address;
            scope.spawn(move || {
                let mut connection = Sender::to(address);
                for number in (0..requests).filter(|number| number % 4 == sender) {
                    let lines = Envelope::of_lines(RUN + 1, number * 100..(number + 1) * 100);
                    connection.deliver(&format!("request-{number}"), &[lines.gzipped()]);
                }
            });
        }
        for round in 0..8 {
            world.write("app.log", round * share..(round + 1) * share);
            daemon.reload();
            daemon.scrape();
        }
    });
    let lines = share * 8 + requests * 100;
    exactly_once(&world.delivered(&daemon), lines);
    let scrape = daemon.conserved();
    assert_eq!(daemon.endpoint(), address, "the endpoint is where it was");
    daemon.stop().drained();
    scrape
}

#[test]
fn reloads_under_load_lose_and_double_nothing_with_a_memory_buffer() {
    let scrape = check_under_load("{ type = \"memory\" }");
    assert_eq!(scrape.count("sink_returned_events_total", &[]), 0, "all was delivered before");
}

#[test]
fn reloads_under_load_lose_and_double_nothing_with_a_disk_buffer() {
    check_under_load("{ type = \"disk\", max = \"1GiB\" }");
}

/// The sink is noticed to be dead soon.
const IMPATIENT: &str = "request_timeout = \"1s\"\n";

fn hangs(faults: &mut Faults) {
    faults.hang = true;
}

/// Reloads while nothing can be delivered, and then everything.
fn check_dead_sink(buffer: &str) {
    let lines = scale(40_000);
    let world = World::new();
    let limits = "[limits]\nmemory = \"16MiB\"\nshutdown = \"1s\"\n";
    world.config(&format!("{limits}{FILE_SOURCE}{MESSAGE_SINK}{IMPATIENT}buffer = {buffer}\n"));
    world.standin.faults(hangs);
    world.write("app.log", 0..lines);
    let daemon = world.spawn();
    daemon.until_readyz(503);
    for _ in 0..2 {
        daemon.reload();
        daemon.scrape();
    }
    world.standin.faults(|faults| faults.hang = false);
    at_least_once(&world.delivered(&daemon), lines);
    let scrape = daemon.conserved();
    assert!(scrape.count("sink_returned_events_total", &[]) > 0, "what was undelivered was taken up anew");
    assert!(scrape.sum("sink_held", &[]).abs() < 0.5, "no gauge of what is gone stays");
    daemon.ready();
    assert!(!daemon.log_text().contains("did not close in time"), "{}", daemon.log_text());
    daemon.stop().drained();
}

#[test]
fn a_reload_with_a_dead_sink_ends_at_the_deadline_and_loses_nothing_of_a_memory_buffer() {
    check_dead_sink("{ type = \"memory\" }");
}

#[test]
fn a_reload_with_a_dead_sink_ends_at_the_deadline_and_loses_nothing_of_a_disk_buffer() {
    check_dead_sink("{ type = \"disk\", max = \"1GiB\" }");
}

/// A daemon whose sink refuses everything, with these lines in its disk buffer, and `shutdown` a time that no test waits for.
fn backlog(world: &World, lines: u64) -> Daemon {
    let limits = "[limits]\nmemory = \"16MiB\"\nshutdown = \"1000s\"\n";
    world.config(&format!(
        "{limits}{FILE_SOURCE}{MESSAGE_SINK}buffer = {{ type = \"disk\", max = \"1GiB\" }}\n"
    ));
    world.write("app.log", 0..lines / 2);
    let daemon = world.start();
    world.delivered(&daemon);
    world.standin.faults(|faults| faults.throttles = 1.0);
    world.write("app.log", lines / 2..lines);
    let file = world.log("app.log");
    until("what the sink refuses is on disk", || {
        daemon.must_run();
        let scrape = daemon.scrape();
        // That nothing is behind says little before the file was looked at again.
        let is_read = scrape.count("source_events_total", &[]) == lines && file.exists();
        let is_stored = scrape.sum("file_behind_bytes", &[]) < 0.5 && scrape.sum("buffer_bytes", &[]) > 0.5;
        (is_read && is_stored).then_some(())
    });
    daemon
}

#[test]
fn a_reload_leaves_a_disk_buffer_to_the_next_configuration_and_does_not_wait() {
    let lines = scale(40_000);
    let world = World::new();
    let daemon = backlog(&world, lines);
    // A reload that waited for the sink would outlast every wait here.
    for _ in 0..3 {
        daemon.reload();
        daemon.scrape();
    }
    assert!(daemon.log_text().contains("left in disk buffers"), "{}", daemon.log_text());
    world.standin.faults(|faults| faults.throttles = 0.0);
    exactly_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.ready();
    daemon.stop().drained();
}

#[test]
fn a_reload_that_changes_the_stream_sends_what_is_on_disk_there_at_once() {
    let streams = ["logs", "fixed"].map(|name| Stream::new(&Key::default().account, name)).to_vec();
    let world = World::with(&Settings { streams, ..Settings::default() });
    let daemon = backlog(&world, 20_000);
    let text = fs::read_to_string(world.config_path()).unwrap();
    fs::write(world.config_path(), text.replace("stream = \"logs\"", "stream = \"fixed\"")).unwrap();
    world.standin.stream_faults("fixed", |faults| *faults = Faults::default());
    daemon.reload();
    let report = world.delivered(&daemon);
    exactly_once(&report, 20_000);
    assert_eq!(report.stream("fixed").seen, 10_000);
    daemon.stop().drained();
}

#[test]
fn a_reload_that_removes_a_sink_delivers_what_it_has_on_disk_first() {
    let world = World::new();
    let daemon = backlog(&world, 20_000);
    world.config(&format!(
        "[limits]\nmemory = \"16MiB\"\nshutdown = \"1000s\"\n{FILE_SOURCE}[sinks.local]\ntype = \"directory\"\npath = \"@DIR/out\"\n"
    ));
    daemon.signal("HUP");
    until("the old configuration is drained", || daemon.log_text().contains("draining").then_some(()));
    world.standin.faults(|faults| faults.throttles = 0.0);
    exactly_once(&world.delivered(&daemon), 20_000);
    until("the new configuration runs", || (daemon.starts() == 2).then_some(()));
    assert!(!daemon.log_text().contains("a disk buffer is kept"), "{}", daemon.log_text());
    daemon.stop().drained();
}

#[test]
fn a_stop_during_a_reload_drains_what_is_on_disk_as_well() {
    let world = World::new();
    let daemon = backlog(&world, 20_000);
    daemon.signal("HUP");
    until("the old configuration is drained", || daemon.log_text().contains("draining").then_some(()));
    daemon.signal("TERM");
    world.standin.faults(|faults| faults.throttles = 0.0);
    daemon.wait().drained();
    exactly_once(&world.standin.report(), 20_000);
}

fn feed(input: &mut PipeWriter, bytes: &[u8]) {
    input.write_all(bytes).unwrap();
}

#[test]
fn standard_input_goes_on_in_the_middle_of_a_line() {
    let world = World::new();
    let (reader, mut input) = pipe().unwrap();
    world.config(&format!("{INPUT}{MESSAGE_SINK}"));
    world.standin.expect(RUN, 200);
    let daemon = world.spawn_reading(reader);
    let text = Lines::of_run(RUN).text(0..200);
    let mut lines = 0;
    for (part, piece) in text.chunks(text.len() / 5 + 1).enumerate() {
        if part > 0 {
            daemon.reload();
        }
        feed(&mut input, piece);
        lines += memchr::memchr_iter(b'\n', piece).count() as u64;
        world.seen(&daemon, lines);
    }
    exactly_once(&world.delivered(&daemon), 200);
    drop(input);
    daemon.wait().drained();
}

#[test]
fn standard_input_loses_nothing_in_a_reload_with_a_dead_sink() {
    let world = World::new();
    let (reader, mut input) = pipe().unwrap();
    world.config(&format!(
        "[limits]\nmemory = \"16MiB\"\nshutdown = \"1s\"\n{INPUT}{MESSAGE_SINK}{IMPATIENT}"
    ));
    world.standin.faults(hangs);
    world.standin.expect(RUN, 1_000);
    let daemon = world.spawn_reading(reader);
    feed(&mut input, &Lines::of_run(RUN).text(0..1_000));
    daemon.until_readyz(503);
    for _ in 0..2 {
        daemon.reload();
        daemon.until_readyz(503);
    }
    world.standin.faults(|faults| faults.hang = false);
    at_least_once(&world.delivered(&daemon), 1_000);
    daemon.conserved();
    drop(input);
    daemon.wait().drained();
}

#[test]
fn signals_in_a_row_are_all_heeded_and_the_last_configuration_runs() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    for _ in 0..10 {
        daemon.signal("HUP");
    }
    world.file_to_firehose("[sinks.local]\ntype = \"directory\"\npath = \"@DIR/out\"\n");
    daemon.signal("HUP");
    until("the last configuration runs", || {
        daemon.must_run();
        daemon.get("/").is_some_and(|page| page.text().contains("local")).then_some(())
    });
    world.write("app.log", 1_000..2_000);
    exactly_once(&world.delivered(&daemon), 2_000);
    daemon.conserved();
    daemon.stop().drained();
}

/// A daemon that reloads, and whose sink answers nothing.
fn reloading(world: &World) -> Daemon {
    world.config(&format!(
        "[limits]\nmemory = \"16MiB\"\nshutdown = \"100s\"\n{FILE_SOURCE}{MESSAGE_SINK}{IMPATIENT}"
    ));
    world.standin.faults(hangs);
    world.write("app.log", 0..1_000);
    let daemon = world.spawn();
    daemon.until_readyz(503);
    daemon.signal("HUP");
    until("the old configuration is drained", || daemon.log_text().contains("draining").then_some(()));
    daemon.signal("TERM");
    daemon
}

#[test]
fn a_stop_during_a_reload_drains_and_ends() {
    let world = World::new();
    let daemon = reloading(&world);
    world.standin.faults(|faults| faults.hang = false);
    daemon.wait().drained();
    nothing_is_lost(&world);
}

#[test]
fn a_second_stop_during_a_reload_ends_at_once_and_loses_nothing() {
    let world = World::new();
    let daemon = reloading(&world);
    daemon.signal("INT");
    daemon.wait().undelivered();
    world.standin.faults(|faults| faults.hang = false);
    nothing_is_lost(&world);
}

fn nothing_is_lost(world: &World) {
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), 1_000);
    daemon.stop().drained();
}
