//! Messages of the Fluent Forward protocol, over real sockets to the real binary.

mod containers;
mod hostile;
mod senders;

use std::thread;
use std::time::Duration;

use crate::standin::{Lines, Refusal};
use crate::world::{
    Daemon, Forwarder, MESSAGE_SINK, Mode, RUN, WEB, World, at_least_once, docker, exactly_once,
    forward_message, progress, until,
};

const SOURCE: &str = "[sources.containers]\ntype = \"fluent_forward\"\nlisten = \"127.0.0.1:0\"\n";

fn start(world: &World, more: &str) -> Daemon {
    world.config(&format!("{SOURCE}{more}\n{MESSAGE_SINK}")).start()
}

fn address(daemon: &Daemon) -> String {
    daemon.listening("forward endpoint listening")
}

/// One without its newline.
fn line(number: u64) -> Vec<u8> {
    Lines::of_run(RUN).line(number)
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<u8> {
    Lines::of_run(RUN).text(numbers)
}

/// Longer than any answer that is not to come would take.
const SHORT: Duration = Duration::from_millis(300);

const MODES: [Mode; 4] = [Mode::Forward, Mode::Packed, Mode::Gzip, Mode::Zstd];

#[test]
fn lines_of_every_mode_are_delivered_once_over_either_socket() {
    for listen in ["127.0.0.1:0", "unix:@DIR/fluent.sock"] {
        let world = World::new();
        let daemon =
            world.config(&format!("{}{MESSAGE_SINK}", SOURCE.replace("127.0.0.1:0", listen))).start();
        let address = address(&daemon);
        world.standin.expect(RUN, 9_000);
        thread::scope(|scope| {
            for (at, mode) in (0..).zip(MODES) {
                let mut sender = Forwarder::to(&address);
                scope.spawn(move || {
                    for part in 0..4 {
                        let first = (at * 4 + part) * 500;
                        let chunk = format!("chunk-{first}");
                        let message = forward_message(mode, "app", &lines(first..first + 500), Some(&chunk));
                        sender.deliver(&message, &chunk).unwrap();
                    }
                });
            }
            let mut sender = Forwarder::to(&address);
            scope.spawn(move || {
                for number in 8_000..9_000 {
                    sender.send(&docker("0123456789ab", &line(number), &WEB, None));
                }
            });
        });
        exactly_once(&world.delivered(&daemon), 9_000);
        let scrape = daemon.conserved();
        assert_eq!(scrape.count("source_events_total", &["source=\"containers\""]), 9_000);
        daemon.stop().drained();
        assert!(!world.path("fluent.sock").exists(), "the socket's file goes with the process");
    }
}

#[test]
fn a_chunk_is_answered_when_it_is_delivered_and_not_before() {
    let world = World::new();
    let daemon = start(&world, "");
    world.standin.expect(RUN, 200);
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    let mut sender = Forwarder::to(&address(&daemon));
    sender.send(&forward_message(Mode::Forward, "app", &lines(0..100), Some("one")));
    until("the sink is held", || {
        (daemon.scrape().count("sink_held", &["reason=\"access_denied\""]) == 1).then_some(())
    });
    sender.answer(SHORT).unwrap_err();
    world.standin.faults(|faults| faults.refusal = None);
    sender.deliver(&forward_message(Mode::Packed, "app", &lines(100..200), Some("two")), "one").unwrap();
    assert_eq!(sender.answer(Duration::from_mins(2)).unwrap().as_deref(), Some("two"));
    assert_eq!(world.standin.report().missing, 0, "what is answered is delivered");
    exactly_once(&world.delivered(&daemon), 200);
    daemon.stop().drained();
}

#[test]
fn a_chunk_that_is_sent_again_is_answered_and_not_doubled() {
    let world = World::new();
    let daemon = start(&world, "");
    world.standin.expect(RUN, 200);
    let address = address(&daemon);
    let message = forward_message(Mode::Gzip, "app", &lines(0..100), Some("one"));
    // Its answer is not read.
    world.standin.faults(|faults| faults.hang = true);
    let mut cut = Forwarder::to(&address);
    cut.send(&message);
    until("it is under way", || (daemon.scrape().count("source_events_total", &[]) == 100).then_some(()));
    drop(cut);
    let mut again = Forwarder::to(&address);
    again.send(&message);
    again.answer(SHORT).unwrap_err();
    world.standin.faults(|faults| faults.hang = false);
    assert_eq!(again.answer(Duration::from_mins(2)).unwrap().as_deref(), Some("one"));
    again.deliver(&message, "one").unwrap();
    // An id that is used again for something else is no repetition.
    again.deliver(&forward_message(Mode::Gzip, "app", &lines(100..200), Some("one")), "one").unwrap();
    exactly_once(&world.delivered(&daemon), 200);
    daemon.stop().drained();
}

/// Sends chunks of lines, each again until it is answered, by a sender that connects again whenever it must.
fn send_until_answered(path: &str, chunks: std::ops::Range<u64>) {
    let mut sender: Option<Forwarder> = None;
    for chunk in chunks {
        let id = chunk.to_string();
        let message = forward_message(Mode::Packed, "app", &lines(chunk * 100..(chunk + 1) * 100), Some(&id));
        progress("a chunk is answered", || {
            let again = |sender: &mut Option<Forwarder>| {
                *sender = None;
                Err((0, format!("chunk {id}")))
            };
            if sender.is_none() {
                sender = Forwarder::try_to(path).ok();
            }
            let Some(connected) = &mut sender else { return again(&mut sender) };
            if connected.try_send(&message).is_err() {
                return again(&mut sender);
            }
            match connected.answer(Duration::from_secs(20)) {
                Ok(Some(answer)) => {
                    assert_eq!(answer, id);
                    Ok(())
                }
                Ok(None) | Err(_) => again(&mut sender),
            }
        });
    }
}

#[test]
fn kills_lose_nothing_of_what_was_not_answered() {
    const CHUNKS: u64 = 60;
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", SOURCE.replace("127.0.0.1:0", "unix:@DIR/fluent.sock")));
    world.standin.faults(|faults| faults.delay_ms = 20);
    world.standin.expect(RUN, CHUNKS * 2 * 100);
    let path = format!("unix:{}", world.path("fluent.sock").display());
    thread::scope(|scope| {
        let senders: Vec<_> = [0..CHUNKS, CHUNKS..CHUNKS * 2]
            .into_iter()
            .map(|chunks| {
                let path = &path;
                scope.spawn(move || send_until_answered(path, chunks))
            })
            .collect();
        let mut daemon = world.start();
        for round in 1..6 {
            world.seen(&daemon, round * 1_500);
            daemon.kill();
            daemon = world.start();
        }
        for sender in senders {
            sender.join().unwrap();
        }
        at_least_once(&world.delivered(&daemon), CHUNKS * 2 * 100);
        daemon.stop().drained();
    });
}

#[test]
fn a_stop_and_a_reload_answer_what_is_under_way_and_double_nothing() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", SOURCE.replace("127.0.0.1:0", "unix:@DIR/fluent.sock")));
    world.standin.expect(RUN, 12_000);
    let path = format!("unix:{}", world.path("fluent.sock").display());
    thread::scope(|scope| {
        let mut daemon = world.start();
        let sender = scope.spawn(|| send_until_answered(&path, 0..120));
        for round in 1..4 {
            world.seen(&daemon, round * 2_000);
            daemon.reload();
        }
        world.seen(&daemon, 8_000);
        daemon.stop().drained();
        daemon = world.start();
        sender.join().unwrap();
        exactly_once(&world.delivered(&daemon), 12_000);
        daemon.stop().drained();
    });
}

#[test]
fn lines_that_have_arrived_at_a_stop_are_taken() {
    let world = World::new();
    let daemon = start(&world, "");
    world.standin.expect(RUN, 1_000);
    let mut sender = Forwarder::to(&address(&daemon));
    let all: Vec<u8> = (0..1_000).flat_map(|number| docker("tag", &line(number), &WEB, None)).collect();
    sender.send(&all);
    daemon.stop().drained();
    exactly_once(&world.standin.report(), 1_000);
}

#[test]
fn a_destination_that_holds_its_share_lets_the_sender_wait_and_loses_nothing() {
    const LINES: u64 = 100_000;
    let world = World::new();
    let daemon = start(&world, "[limits]\nmemory = \"8MiB\"");
    world.standin.faults(|faults| faults.hang = true);
    world.standin.expect(RUN, LINES);
    let address = address(&daemon);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sender = Forwarder::to(&address);
            for first in (0..LINES).step_by(1_000) {
                sender.send(&forward_message(Mode::Forward, "app", &lines(first..first + 1_000), None));
            }
        });
        until("the source waits", || {
            (daemon.scrape().sum("source_lag_seconds", &["source=\"containers\""]) > 1.0).then_some(())
        });
        world.standin.faults(|faults| faults.hang = false);
        at_least_once(&world.delivered(&daemon), LINES);
    });
    daemon.stop().drained();
}
