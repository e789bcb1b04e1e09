//! The service manager is told when standpipe is ready, reloads and stops, how it is, and that it lives.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::standin::Faults;
use crate::world::{Daemon, FILE_SOURCE, MESSAGE_SINK, World};

/// The manager's end of the socket, and everything it was told.
struct Manager {
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    fn of(world: &World) -> Self {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        world.env("NOTIFY_SOCKET", path.to_str().unwrap());
        Self { socket, told: Vec::new() }
    }

    /// Listens until it is told this, and returns what it was told meanwhile.
    fn hears(&mut self, expected: &str) -> Vec<String> {
        let before = self.told.len();
        while !self.told[before..].iter().any(|line| line.starts_with(expected)) {
            let mut text = [0; 4096];
            let len = self.socket.recv(&mut text).unwrap();
            self.told.extend(String::from_utf8(text[..len].to_vec()).unwrap().lines().map(str::to_owned));
        }
        self.told[before..].to_vec()
    }
}

const MIB_16: &str = "[limits]\nmemory = \"16MiB\"\nshutdown = \"100s\"\n";

fn hangs(faults: &mut Faults) {
    faults.hang = true;
}

#[test]
fn it_is_told_of_the_start_of_the_stop_and_how_it_is() {
    let world = World::new();
    let mut manager = Manager::of(&world);
    let daemon = world.file_to_firehose("").start();
    manager.hears("READY=1");
    manager.hears("STATUS=delivering: sources 1, sinks 1");
    daemon.stop().drained();
    manager.hears("STOPPING=1");
    assert!(!manager.told.iter().any(|line| line.starts_with("WATCHDOG")), "nobody asked for it");
}

#[test]
fn it_is_told_of_a_reload_whether_it_succeeds_or_not() {
    let world = World::new();
    let mut manager = Manager::of(&world);
    let daemon = world.file_to_firehose("").start();
    manager.hears("READY=1");
    for more in ["", "lingre = \"1s\"\n"] {
        world.file_to_firehose(more);
        daemon.signal("HUP");
        let told = manager.hears("READY=1").join("\n");
        assert!(told.contains("RELOADING=1\nMONOTONIC_USEC="), "{told}");
    }
    daemon.stop().drained();
}

fn watched_with_a_dead_sink(world: &World) -> Daemon {
    world.env("WATCHDOG_USEC", "1000000");
    world.standin.faults(hangs);
    world.write("app.log", 0..1_000);
    world.config(&format!("{MIB_16}{FILE_SOURCE}{MESSAGE_SINK}request_timeout = \"1s\"\n")).spawn()
}

#[test]
fn a_dead_sink_is_a_complaint_and_no_standstill() {
    let world = World::new();
    let mut manager = Manager::of(&world);
    let daemon = watched_with_a_dead_sink(&world);
    manager.hears("STATUS=needs attention: archive (logs)");
    for _ in 0..5 {
        manager.hears("WATCHDOG=1");
    }
    daemon.kill();
}

#[test]
fn more_time_is_asked_for_while_draining() {
    let world = World::new();
    let mut manager = Manager::of(&world);
    let daemon = watched_with_a_dead_sink(&world);
    manager.hears("STATUS=needs attention");
    daemon.signal("TERM");
    manager.hears("STOPPING=1");
    manager.hears("STATUS=stopping: 1000 events left to drain");
    for _ in 0..3 {
        manager.hears("EXTEND_TIMEOUT_USEC=");
        manager.hears("WATCHDOG=1");
    }
    world.standin.faults(|faults| faults.hang = false);
    daemon.wait().drained();
}
