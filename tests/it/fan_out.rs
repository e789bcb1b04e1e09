//! A Kinesis stream by enhanced fan-out: the real binary subscribes to the stand-in's shards, with what goes wrong.

use std::ops::Range;

use crate::fleet::configure;
use crate::standin::{Faults, HttpOffer, Lines, Settings, stream_arn};
use crate::world::{Daemon, MESSAGE_SINK, RUN, World, at_least_once, exactly_once, until};

const CONSUMER: &str = "standpipe";

/// A source `stream` that subscribes, and shares its shards with nobody.
fn configured(settings: &Settings, more: &str) -> World {
    let world = World::with(settings);
    world.config(&format!(
        "{more}[sources.stream]\ntype = \"kinesis\"\nstream_arn = \"{}\"\nendpoint_url = \"@URL\"\nca_file = \"@DIR/ca.pem\"\n\
         format = \"lines\"\nfan_out = \"{CONSUMER}\"\n{MESSAGE_SINK}",
        stream_arn()
    ));
    world
}

/// Lines of the run, as records of some lines each, to all open shards.
fn put(world: &World, numbers: Range<u64>) {
    world.standin.expect(RUN, numbers.end);
    let text = Lines::of_run(RUN).text(numbers);
    world.standin.kinesis().put_lines(&text, 7);
}

fn subscribed(world: &World) -> u64 {
    world.standin.kinesis().fan_out.subscribed
}

/// Nothing was read before its turn, and nobody subscribed sooner than they may.
#[track_caller]
fn no_violations(world: &World) {
    let kinesis = world.standin.kinesis();
    assert_eq!((&kinesis.violations, kinesis.too_many, kinesis.fan_out.too_soon), (&Vec::new(), 0, 0));
}

/// What it says on /readyz, once it names this.
fn held_with(daemon: &Daemon, part: &str) -> String {
    until(&format!("it is said: {part}"), || {
        daemon.must_run();
        let said = daemon.get("/readyz").map(|reply| reply.text());
        said.filter(|text| text.contains(part))
    })
}

#[test]
fn records_arrive_once_wherever_subscriptions_are_cut() {
    for http in [HttpOffer::One, HttpOffer::Two] {
        let world = configured(&Settings { http, ..Settings::default() }, "");
        world.standin.kinesis().open(3);
        {
            let fan_out = &mut world.standin.kinesis().fan_out;
            // Each shard's first subscription ends with one of these.
            (fan_out.cuts, fan_out.torn, fan_out.creating) = (1, 1, 2);
            fan_out.exceptions = ["InternalFailureException"].into();
        }
        put(&world, 0..3_000);
        let daemon = world.start();
        exactly_once(&world.delivered(&daemon), 3_000);
        assert_eq!(subscribed(&world), 6, "each shard twice");
        // In the middle of what comes, too.
        world.standin.kinesis().fan_out.cuts = 2;
        put(&world, 3_000..6_000);
        exactly_once(&world.delivered(&daemon), 6_000);
        let scrape = daemon.conserved();
        assert_eq!(scrape.count("source_shards", &["state=\"held\""]), 3);
        assert!(scrape.count("source_errors_total", &["reason=\"unavailable\""]) >= 5);
        daemon.stop().drained();
        no_violations(&world);
        let over_http2 = world.standin.kinesis().fan_out.over_http2;
        assert_eq!(over_http2, if http == HttpOffer::Two { subscribed(&world) } else { 0 });
    }
}

#[test]
fn a_subscription_that_has_had_its_time_is_followed_by_another() {
    let world = configured(&Settings::default(), "");
    world.standin.kinesis().open(2);
    put(&world, 0..500);
    // The first ones end while there is nothing to read, and later ones with the records half sent.
    world.standin.kinesis().fan_out.lasts = std::time::Duration::from_millis(300);
    world.standin.kinesis().fan_out.event = 1;
    let daemon = world.start();
    world.delivered(&daemon);
    until("both shards are subscribed to again", || (subscribed(&world) >= 4).then_some(()));
    put(&world, 500..1_500);
    exactly_once(&world.delivered(&daemon), 1_500);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("source_errors_total", &[]), 0, "it is no error");
    daemon.stop().drained();
    no_violations(&world);
}

#[test]
fn a_start_or_a_reload_soon_after_another_waits_for_the_subscriptions() {
    let world = configured(&Settings::default(), "");
    world.standin.kinesis().open(2);
    put(&world, 0..500);
    let daemon = world.start();
    world.delivered(&daemon);
    daemon.reload();
    put(&world, 500..1_000);
    exactly_once(&world.delivered(&daemon), 1_000);
    daemon.stop().drained();
    // The consumer is left as it is.
    assert!(!world.standin.kinesis().fan_out.is_unknown(CONSUMER));
    put(&world, 1_000..1_500);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 1_500);
    assert_eq!(daemon.issues(), Vec::<String>::new());
    daemon.kill();
    put(&world, 1_500..2_000);
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), 2_000);
    daemon.stop().drained();
}

#[test]
fn shards_that_are_split_and_merged_are_followed_by_their_children() {
    for hides_children in [false, true] {
        let world = configured(&Settings::default(), "");
        world.standin.kinesis().open(2);
        world.standin.kinesis().hides_children = hides_children;
        put(&world, 0..500);
        let [_, high] = world.standin.kinesis().split(0);
        put(&world, 500..1_500);
        let daemon = world.start();
        world.delivered(&daemon);
        world.standin.kinesis().merge([1, high]);
        put(&world, 1_500..3_000);
        exactly_once(&world.delivered(&daemon), 3_000);
        daemon.stop().drained();
        no_violations(&world);
    }
}

#[test]
fn a_run_with_once_reads_what_is_there_and_ends() {
    let world = configured(&Settings::default(), "");
    world.standin.kinesis().open(2);
    let config = world.config_path();
    put(&world, 0..500);
    world.standin.kinesis().split(0);
    put(&world, 500..1_000);
    let output = world.run(&["run", "--once", "-c", config.to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    exactly_once(&world.standin.report(), 1_000);
    no_violations(&world);
}

#[test]
fn what_nobody_delivers_is_not_read() {
    let lines = 160_000;
    let text = Lines::of_run(RUN).text(0..lines);
    assert!(text.len() > 38 << 20, "{}", text.len());
    // In clear text and over HTTP/1.1, the system's own buffers hold some megabytes more.
    for (http, most) in [(HttpOffer::One, 32 << 20), (HttpOffer::Two, 16 << 20)] {
        let settings = Settings { http, ..Settings::default() };
        let world = configured(&settings, "[limits]\nmemory = \"8MiB\"\n\n");
        world.standin.kinesis().open(1);
        world.standin.faults(|faults| faults.hang = true);
        world.standin.expect(RUN, lines);
        world.standin.kinesis().put_lines(&text, 500);
        world.standin.kinesis().fan_out.event = 2;
        let daemon = world.spawn();
        // Nothing moves any more, since there is no more memory.
        daemon.until_readyz(503);
        until("all that there is memory for is read", || {
            let scrape = daemon.scrape();
            let is_spent = scrape.sum("backpressure_seconds_total", &[]) > 0.0;
            (is_spent || scrape.count("memory_bytes", &[]) > 1 << 20).then_some(())
        });
        let sent = world.standin.kinesis().fan_out.sent;
        assert!(sent < most, "{sent} bytes were sent to who has memory for 8 MiB");
        world.standin.faults(|faults| *faults = Faults::default());
        exactly_once(&world.delivered(&daemon), lines);
        daemon.stop().drained();
        no_violations(&world);
    }
}

#[test]
fn a_consumer_that_somebody_removes_is_registered_again() {
    let world = configured(&Settings::default(), "");
    world.standin.kinesis().open(2);
    put(&world, 0..500);
    let daemon = world.start();
    world.delivered(&daemon);
    world.standin.kinesis().fan_out.deregister(CONSUMER);
    put(&world, 500..1_000);
    exactly_once(&world.delivered(&daemon), 1_000);
    daemon.stop().drained();
}

#[test]
fn who_takes_a_consumers_subscriptions_again_and_again_is_told_of() {
    let world = configured(&Settings::default(), "");
    world.standin.kinesis().open(1);
    put(&world, 0..500);
    let daemon = world.start();
    world.delivered(&daemon);
    let said = until("it is told", || {
        daemon.must_run();
        // Whenever it has subscribed, another does.
        if subscribed(&world) % 2 == 1 {
            world.standin.kinesis().fan_out.take(CONSUMER, 0);
        }
        let said = daemon.get("/readyz").map(|reply| reply.text());
        said.filter(|text| text.contains("ResourceInUseException"))
    });
    assert!(said.contains("`fan_out` of its own"), "{said}");
    // It goes on nevertheless.
    put(&world, 500..1_000);
    exactly_once(&world.delivered(&daemon), 1_000);
    assert!(daemon.conserved().count("source_errors_total", &["reason=\"subscription_taken\""]) >= 3);
    daemon.stop().drained();
}

#[test]
fn a_missing_permission_holds_the_source_and_is_named_with_the_consumer() {
    for (operation, resource) in [
        ("DescribeStreamConsumer", "/consumer/standpipe:*"),
        ("RegisterStreamConsumer", ""),
        ("SubscribeToShard", "/consumer/standpipe:1764499200"),
    ] {
        let world = configured(&Settings::default(), "");
        world.standin.kinesis().open(1);
        {
            let mut kinesis = world.standin.kinesis();
            (kinesis.refused, kinesis.refused_operation) = (Some("AccessDeniedException"), Some(operation));
        }
        put(&world, 0..100);
        let daemon = world.spawn();
        let said = held_with(&daemon, "AccessDeniedException");
        assert!(said.contains(&format!("`kinesis:{operation}` on `{}{resource}`", stream_arn())), "{said}");
        let (_, report) = crate::doctor::examine(&world, &[]);
        // Registering is all that it does not try.
        let is_seen = report.to_string().contains(&format!("`kinesis:{operation}`"));
        assert_eq!(is_seen, operation != "RegisterStreamConsumer", "{report:#}");
        world.standin.kinesis().refused = None;
        let delivered = world.delivered(&daemon);
        assert_eq!((delivered.total.seen, delivered.total.duplicates), (100, 0));
        daemon.ready();
        daemon.stop().drained();
    }
}

#[test]
fn doctor_and_check_know_the_consumer_and_disturb_nothing() {
    let world = configured(&Settings::default(), "");
    world.standin.kinesis().open(1);
    let (_, report) = crate::doctor::examine(&world, &[]);
    assert!(report.to_string().contains("has no consumer `standpipe`: standpipe registers it"), "{report:#}");
    assert!(world.standin.kinesis().fan_out.is_unknown(CONSUMER), "nothing is registered");
    put(&world, 0..100);
    let daemon = world.start();
    world.delivered(&daemon);
    let before = subscribed(&world);
    let (_, report) = crate::doctor::examine(&world, &[]);
    let seen = report.to_string();
    assert!(
        seen.contains("consumer `standpipe` is ACTIVE") && seen.contains("can be subscribed to"),
        "{report:#}"
    );
    assert_eq!(subscribed(&world), before);
    let config = world.config_path();
    let output = world.run(&["check", "-c", config.to_str().unwrap()], b"");
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("subscribed to by the consumer standpipe"), "{tree}");
    daemon.stop().drained();
}

#[test]
fn workers_of_a_fleet_share_a_consumer() {
    let world = World::new();
    world.standin.kinesis().open(4);
    put(&world, 0..1_000);
    let start = |worker: &str| {
        configure(&world, worker, "@URL", &format!("fan_out = \"{CONSUMER}\""));
        world.start()
    };
    let first = start("a");
    world.delivered(&first);
    let second = start("b");
    until("each has two of four", || {
        let held = |daemon: &Daemon| daemon.scrape().count("source_shards", &["state=\"held\""]);
        (held(&first) == 2 && held(&second) == 2).then_some(())
    });
    put(&world, 1_000..2_000);
    world.delivered(&second);
    first.kill();
    put(&world, 2_000..3_000);
    world.standin.kinesis().split(0);
    put(&world, 3_000..4_000);
    at_least_once(&world.delivered(&second), 4_000);
    second.stop().drained();
    assert_eq!(world.standin.kinesis().violations, Vec::<String>::new());
}
