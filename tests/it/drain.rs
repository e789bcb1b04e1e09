//! SIGTERM under load: drained, or stopped at the deadline; nothing is lost either way.

use crate::standin::Faults;
use crate::world::{Daemon, FILE_SOURCE, MESSAGE_SINK, World, at_least_once, exactly_once, scale};

fn started(world: &World, shutdown: &str, lines: u64, faults: fn(&mut Faults)) -> Daemon {
    let limits = format!("[limits]\nmemory = \"16MiB\"\nshutdown = \"{shutdown}\"\n");
    world.config(&format!("{limits}{FILE_SOURCE}{MESSAGE_SINK}"));
    world.standin.faults(faults);
    world.write("app.log", 0..lines);
    world.start()
}

#[test]
fn a_stop_under_load_drains_and_the_next_start_goes_on_from_there() {
    let lines = scale(150_000);
    let world = World::new();
    let daemon = started(&world, "60s", lines, |faults| faults.delay_ms = 50);
    world.seen(&daemon, 1);
    daemon.stop().drained();
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_stop_while_the_sink_hangs_ends_at_the_deadline_and_loses_nothing() {
    let lines = scale(100_000);
    let world = World::new();
    let daemon = started(&world, "2s", lines, |faults| faults.hang = true);
    daemon.until_readyz(503);
    daemon.stop().undelivered();
    world.standin.faults(|faults| faults.hang = false);
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn an_interrupt_drains_as_well() {
    let world = World::new();
    let daemon = started(&world, "60s", 1_000, |_| ());
    world.delivered(&daemon);
    daemon.signal("INT");
    daemon.wait().drained();
}
