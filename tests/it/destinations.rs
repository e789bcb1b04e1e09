//! One stream for each owner: a dead one does not stop the others.

use std::thread;

use crate::standin::{Settings, Standin};
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
