//! One stream for each owner: a dead one does not stop the others.

use std::fs;
use std::thread;

use crate::standin::{Refusal, Settings, Standin};
use crate::world::{Envelope, Sender, World, progress};

const CONFIG: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"an-access-key-for-tests\"]

[sinks.archive]
@FIREHOSE
stream = \"logs-{owner}\"
encoding = \"message\"
linger = \"100ms\"
";

const DEAD: &str = "222222222222";
const OWNERS: [&str; 3] = ["111111111111", DEAD, "333333333333"];
const LINES: u64 = 20_000;
const REQUEST: u64 = 500;

#[test]
fn a_dead_destination_does_not_stop_the_others() {
    let world = World::with(&Settings { any_stream: true, ..Settings::default() });
    world.standin.stream_faults("logs-222222222222", |faults| faults.hang = true);
    let daemon = world.config(CONFIG).start();
    let address = daemon.endpoint();
    for run in 0..3 {
        world.standin.expect(run, LINES);
    }
    thread::scope(|scope| {
        for (run, owner) in (0_u32..).zip(OWNERS) {
            let address = &address;
            scope.spawn(move || {
                let mut sender = Sender::to(address);
                for start in (0..LINES).step_by(500) {
                    let envelope = Envelope::of_lines(run, start..start + REQUEST).owned_by(owner);
                    sender.deliver(&format!("{owner}-{start}"), &[envelope.gzipped()]);
                }
            });
        }
        for owner in OWNERS.into_iter().filter(|owner| *owner != DEAD) {
            arrived(&world.standin, owner);
        }
        assert_eq!(world.standin.report().stream("logs-222222222222").seen, 0);
        world.standin.stream_faults("logs-222222222222", |faults| faults.hang = false);
    });
    arrived(&world.standin, DEAD);
    let report = world.delivered(&daemon);
    // The dead one's requests were given up and sent again meanwhile; the others' were not.
    for owner in OWNERS.into_iter().filter(|owner| *owner != DEAD) {
        assert_eq!(report.stream(&format!("logs-{owner}")).duplicates, 0, "{report:#?}");
    }
    assert_eq!((report.total.damaged, report.total.other, report.limit_violations), (0, 0, 0), "{report:#?}");
    daemon.conserved();
    daemon.stop().drained();
}

fn arrived(standin: &Standin, owner: &str) {
    let stream = format!("logs-{owner}");
    progress(&format!("`{stream}` has every line"), || {
        let report = standin.report();
        let seen = report.stream(&stream).seen;
        if seen == LINES { Ok(()) } else { Err((seen, format!("{report:#?}"))) }
    });
}

/// What the files of `dead/` hold, and who reads them.
struct Waiting {
    files: usize,
    bytes: usize,
    /// A source of their own; otherwise, the one that reads the files of `live/` as well.
    is_apart: bool,
    memory: &'static str,
}

const SINK: &str = "\n@FIREHOSE\nencoding = \"message\"\nlinger = \"100ms\"\n";

/// Logs are written to `live/` while the destination of those in `dead/` is held: they arrive.
fn check_beside_held(waiting: &Waiting) {
    let Waiting { files, bytes, is_apart, memory } = *waiting;
    let case = format!("{files} files of {bytes} bytes wait, apart: {is_apart}, memory: {memory}");
    let world = World::with(&Settings { any_stream: true, ..Settings::default() });
    world.standin.stream_faults("dead", |faults| faults.refusal = Some(Refusal::AccessDenied));
    let source =
        |name: &str, include: &str| format!("[sources.{name}]\ntype = \"file\"\ninclude = [{include}]\n");
    let sources = if is_apart {
        source("one", "\"@DIR/logs/dead-*\"") + &source("two", "\"@DIR/logs/live-*\"")
    } else {
        source("one", "\"@DIR/logs/dead-*\", \"@DIR/logs/live-*\"")
    };
    let route = |name: &str| format!("[[routes]]\nwhen = {{ file = [\"*/{name}-*\"] }}\nto = [\"{name}\"]\n");
    let sink = |name: &str| format!("[sinks.{name}]{SINK}stream = \"{name}\"\n");
    let limits = format!("[limits]\nmemory = \"{memory}\"\n");
    let (sinks, routes) = (sink("dead") + &sink("live"), route("dead") + &route("live"));
    world.config(&[limits, sources, sinks, routes].concat());
    let line = "nobody takes this line, which waits and waits and waits and waits and waits and waits\n";
    for file in 0..files {
        fs::write(world.log(&format!("dead-{file}.log")), line.repeat(bytes / line.len())).unwrap();
    }
    let daemon = world.spawn();
    progress("the destination is held", || {
        let held = daemon.scrape().sum("sink_held", &["sink=\"dead\""]) > 0.5;
        if held { Ok(()) } else { Err((0, case.clone())) }
    });
    for start in (0..LINES).step_by(1_000) {
        world.write("live-1.log", start..start + 1_000);
    }
    let report = world.delivered(&daemon);
    assert_eq!((report.stream("live").seen, report.total.duplicates), (LINES, 0), "{case}: {report:#?}");
    assert_eq!(report.stream("dead").seen, 0, "{case}");
    daemon.kill();
}

#[test]
fn what_waits_for_a_held_destination_leaves_memory_to_others() {
    for memory in ["8MiB", "16MiB", "64MiB"] {
        for is_apart in [false, true] {
            check_beside_held(&Waiting { files: 1, bytes: 80 << 20, is_apart, memory });
            check_beside_held(&Waiting { files: 60, bytes: 1 << 20, is_apart, memory });
        }
    }
}
