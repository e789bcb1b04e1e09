//! A sink that hangs: memory stays within its budget, sources wait, and it all flows again afterwards.

use crate::world::{FILE_SOURCE, MESSAGE_SINK, World, exactly_once, progress, scale};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_destination_that_accepts_nothing_is_named_in_readyz_until_it_does() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    world.standin.faults(|faults| faults.hang = true);
    world.write("app.log", 0..10);
    let reason = daemon.until_readyz(503).text();
    assert!(reason.contains("delivery to archive (logs): stuck: nothing was accepted for"), "{reason}");
    world.standin.faults(|faults| faults.hang = false);
    exactly_once(&world.delivered(&daemon), 10);
    daemon.until_readyz(200);
    daemon.stop().drained();
}

#[test]
fn a_stalled_sink_stops_the_sources_and_not_the_process() {
    let lines = scale(200_000);
    let world = World::new();
    world.config(&format!("[limits]\nmemory = \"16MiB\"\n{FILE_SOURCE}{MESSAGE_SINK}"));
    let daemon = world.start();
    let idle = daemon.memory("VmRSS");
    world.standin.faults(|faults| faults.hang = true);
    world.write("app.log", 0..lines);

    let reason = daemon.until_readyz(503).text();
    assert!(!reason.trim().is_empty(), "/readyz says why");
    progress("the source waits", || {
        let scrape = daemon.scrape();
        let (used, limit) = (scrape.count("memory_bytes", &[]), scrape.count("memory_limit_bytes", &[]));
        assert!(used <= limit, "{used} bytes of payload in memory, and {limit} allowed");
        let waits = scrape.sum("backpressure_seconds_total", &[]) > 0.0;
        let behind = scrape.count("file_behind_bytes", &[]) > 0;
        if waits && behind { Ok(()) } else { Err((0, format!("{}\n{}", scrape.text, daemon.log_text()))) }
    });
    let peak = daemon.memory("VmHWM");
    assert!(peak <= idle + (16 + 32) * MIB, "{} MiB resident, {} when idle", peak / MIB, idle / MIB);
    let report = world.standin.report();
    assert_eq!(report.total.seen, 0, "nothing was accepted: {report:#?}");

    world.standin.faults(|faults| faults.hang = false);
    exactly_once(&world.delivered(&daemon), lines);
    daemon.ready();
    daemon.conserved();
    let peak = daemon.memory("VmHWM");
    assert!(peak <= idle + (16 + 32) * MIB, "{} MiB resident, {} when idle", peak / MIB, idle / MIB);
    daemon.stop().drained();
}
