//! A Kinesis stream, read by the real binary from the stand-in, with what goes wrong.

use std::fs;
use std::ops::Range;

use serde_json::{Value, json};
use standpipe::event::Timestamp;

use crate::standin::{Lines, Settings, shard_id, stream_arn};
use crate::world::{
    Daemon, Envelope, MESSAGE_SINK, RUN, World, at_least_once, exactly_once, progress, until,
};

/// A source `stream` that shares its shards with nobody.
fn source(more: &str) -> String {
    format!(
        "[sources.stream]\ntype = \"kinesis\"\nstream_arn = \"{}\"\nendpoint_url = \"@URL\"\nca_file = \"@DIR/ca.pem\"\n{more}\n",
        stream_arn()
    )
}

fn lines_source(more: &str) -> String {
    source(&format!("format = \"lines\"\n{more}"))
}

/// Lines of the run, as records of some lines each, to all open shards.
fn put(world: &World, numbers: Range<u64>) {
    world.standin.expect(RUN, numbers.end);
    let text = Lines::of_run(RUN).text(numbers);
    world.standin.kinesis().put_lines(&text, 7);
}

#[track_caller]
fn no_violations(world: &World) {
    let kinesis = world.standin.kinesis();
    assert_eq!((&kinesis.violations, kinesis.too_many), (&Vec::new(), 0));
}

#[test]
fn records_arrive_once_whatever_the_service_does() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(3);
    put(&world, 0..3_000);
    {
        let mut kinesis = world.standin.kinesis();
        (kinesis.throttles, kinesis.expired, kinesis.failures, kinesis.empty_pages) = (3, 2, 2, 3);
        kinesis.page = 40;
    }
    let daemon = world.start();
    world.delivered(&daemon);
    put(&world, 3_000..4_000);
    world.delivered(&daemon);
    world.standin.kinesis().expired = 3;
    put(&world, 4_000..5_000);
    daemon.reload();
    exactly_once(&world.delivered(&daemon), 5_000);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("source_shards", &["state=\"held\""]), 3);
    daemon.stop().drained();
    // Nothing comes twice from a second start, either.
    let daemon = world.start();
    put(&world, 5_000..6_000);
    exactly_once(&world.delivered(&daemon), 6_000);
    daemon.stop().drained();
    no_violations(&world);
}

#[test]
fn shards_that_are_split_and_merged_are_followed_by_their_children() {
    for hides_children in [false, true] {
        let world = World::new();
        world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
        world.standin.kinesis().open(2);
        world.standin.kinesis().hides_children = hides_children;
        put(&world, 0..500);
        // What was split before the first start is read from its beginning, too.
        let [low, high] = world.standin.kinesis().split(0);
        put(&world, 500..1_500);
        let daemon = world.start();
        world.delivered(&daemon);
        world.standin.kinesis().split(low);
        world.standin.kinesis().merge([1, high]);
        put(&world, 1_500..3_000);
        exactly_once(&world.delivered(&daemon), 3_000);
        daemon.stop().drained();
        let daemon = world.start();
        let open = world.standin.kinesis().open_shards();
        world.standin.kinesis().split(*open.last().unwrap());
        put(&world, 3_000..4_000);
        exactly_once(&world.delivered(&daemon), 4_000);
        daemon.stop().drained();
        no_violations(&world);
    }
}

#[test]
fn an_answer_that_does_not_say_how_to_go_on_ends_no_open_shard() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(2);
    world.standin.kinesis().page = 20;
    world.standin.kinesis().cut_pages = 5;
    put(&world, 0..1_000);
    let daemon = world.start();
    world.delivered(&daemon);
    world.standin.kinesis().cut_pages = 2;
    put(&world, 1_000..2_000);
    exactly_once(&world.delivered(&daemon), 2_000);
    let scrape = daemon.scrape();
    assert_eq!(scrape.count("source_shards", &["state=\"held\""]), 2);
    assert!(scrape.count("source_errors_total", &["reason=\"unavailable\""]) >= 5);
    daemon.stop().drained();
    no_violations(&world);
}

#[test]
fn a_shard_that_waits_keeps_no_memory_from_others() {
    let world = World::new();
    // Of which a page that is not known yet takes all that pages may.
    world.config(&format!("[limits]\nmemory = \"8MiB\"\n\n{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(2);
    world.standin.kinesis().page = 1;
    world.standin.kinesis().refused_shard = Some(0);
    world.standin.expect(RUN, 40);
    for number in 0..40 {
        world.standin.kinesis().put(1, "k", &Lines::of_run(RUN).text(number..number + 1));
    }
    let daemon = world.spawn();
    until("the other shard is read", || (world.standin.report().missing == 0).then_some(()));
    exactly_once(&world.standin.report(), 40);
    daemon.stop().drained();
}

#[test]
fn kills_lose_nothing() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(2);
    world.standin.kinesis().page = 30;
    for round in 0..4 {
        put(&world, round * 2_000..(round + 1) * 2_000);
        if round == 2 {
            world.standin.kinesis().split(0);
        }
        let daemon = world.start();
        world.seen(&daemon, round * 2_000 + 700);
        daemon.kill();
    }
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), 8_000);
    daemon.stop().drained();
    no_violations(&world);
}

#[test]
fn a_run_with_once_reads_what_is_there_and_ends() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(2);
    let config = world.config_path();
    for round in 0..2 {
        put(&world, round * 1_000..round * 1_000 + 500);
        let open = world.standin.kinesis().open_shards();
        world.standin.kinesis().split(open[0]);
        put(&world, round * 1_000 + 500..(round + 1) * 1_000);
        let output = world.run(&["run", "--once", "-c", config.to_str().unwrap()], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        exactly_once(&world.standin.report(), (round + 1) * 1_000);
    }
    no_violations(&world);
}

#[test]
fn a_run_with_once_that_may_not_list_the_shards_at_first_has_not_read_them_all() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(2);
    put(&world, 0..1_000);
    world.standin.kinesis().list_throttles = 2;
    let output = world.run(&["run", "--once", "-c", world.config_path().to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    exactly_once(&world.standin.report(), 1_000);
    assert_eq!(world.standin.kinesis().list_throttles, 0, "they were throttled");
}

#[test]
fn envelopes_arrive_and_what_cannot_be_decoded_is_named_in_the_dead_letters() {
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    world.config(&format!(
        "{}{MESSAGE_SINK}[sinks.named]\n@FIREHOSE\nstream = \"logs-{{shard}}\"\nlinger = \"100ms\"\n\
         [[routes]]\nwhen = {{ log_group = [\"named\"] }}\nto = [\"named\"]\n[[routes]]\nto = [\"archive\"]\n",
        source("")
    ));
    world.standin.kinesis().open(1);
    world.standin.expect(RUN, 600);
    let poison = {
        let mut kinesis = world.standin.kinesis();
        for number in 0..3 {
            kinesis.put(0, "a", &Envelope::of_lines(RUN, number * 200..(number + 1) * 200).gzipped());
            kinesis.put(0, "a", &Envelope::control_message());
        }
        kinesis.put(0, "k", b"no envelope")
    };
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 600);
    let letter = until("the poison is a dead letter", || {
        let folder = world.path("state/dead-letters/_stream");
        let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let text: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
        text.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap())
    });
    let told = letter.to_string();
    for part in [&shard_id(0), &poison, &stream_arn(), "\"k\"", "format"] {
        assert!(told.contains(part), "it names `{part}`: {told}");
    }
    daemon.stop().drained();
    // It is settled: a second start does not meet it again.
    let daemon = world.start();
    until("it is caught up", || {
        (daemon.scrape().count("source_shards", &["state=\"held\""]) == 1).then_some(())
    });
    assert_eq!(daemon.conserved().count("undecodable_total", &["source=\"stream\""]), 0);
    daemon.stop().drained();
}

#[test]
fn a_stream_that_may_not_be_read_holds_the_source_and_names_the_permission() {
    for (code, part) in [
        ("AccessDeniedException", "kinesis:ListShards"),
        ("KMSAccessDeniedException", "kms:Decrypt"),
        ("ResourceNotFoundException", "stream_arn"),
    ] {
        let world = World::new();
        world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
        world.standin.kinesis().open(1);
        world.standin.kinesis().refused = Some(code);
        put(&world, 0..100);
        let daemon = world.spawn();
        until("it is said", || {
            daemon.must_run();
            let said = daemon.get("/readyz").map(|reply| reply.text());
            said.filter(|text| text.contains(part) && text.contains(&stream_arn()))
        });
        let (_, report) = crate::doctor::examine(&world, &[]);
        assert_eq!(report["first_failure"]["check"], "stream", "{report:#}");
        world.standin.kinesis().refused = None;
        // The doctor has tried to put nothing, which no put may.
        let delivered = world.delivered(&daemon);
        assert_eq!((delivered.total.seen, delivered.total.duplicates), (100, 0));
        daemon.ready();
        let (_, report) = crate::doctor::examine(&world, &[]);
        assert!(report.to_string().contains("can be read"), "{report:#}");
        daemon.stop().drained();
    }
}

#[test]
fn a_stream_from_its_end_loses_nothing_that_comes_after_the_first_start() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("start = \"end\"")));
    world.standin.kinesis().open(2);
    world.standin.kinesis().put_lines(b"before\n", 1);
    let daemon = world.start();
    // Nothing was read yet that a position could tell.
    let files = ["checkpoints.json", "checkpoints.journal-0", "checkpoints.journal-1"];
    until("it is written down when it began", || {
        let read = |name| fs::read(world.path("state").join(name)).unwrap_or_default();
        let text = files.map(read).concat();
        (String::from_utf8_lossy(&text).matches("\"LATEST\"").count() >= 2).then_some(())
    });
    daemon.kill();
    put(&world, 0..300);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 300);
    daemon.stop().drained();
}

#[test]
fn a_stream_from_a_time_brings_nothing_from_before_it_over_a_split() {
    let world = World::new();
    world.standin.kinesis().open(1);
    world.standin.kinesis().put(0, "a", b"of the shard that was split\n");
    let [low, high] = world.standin.kinesis().split(0);
    for shard in [low, high] {
        world.standin.kinesis().put(shard, "a", b"of what came of it\n");
    }
    let split = Timestamp::now();
    // Times are told in milliseconds.
    let start = until("the time is a later one", || Some(Timestamp::now()).filter(|now| *now > split));
    let start = start.to_rfc3339();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source(&format!("start = \"{start}\""))));
    put(&world, 0..300);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 300);
    assert_eq!(daemon.conserved().count("source_events_total", &["source=\"stream\""]), 300);
    // What is split after the time is followed as always.
    world.standin.kinesis().split(low);
    put(&world, 300..600);
    exactly_once(&world.delivered(&daemon), 600);
    daemon.stop().drained();
    // The shard that was split before that time was not read, and all others in their order.
    let violations = world.standin.kinesis().violations.clone();
    assert!(violations.iter().all(|violation| violation.ends_with("before [0]")), "{violations:?}");
}

#[test]
fn a_position_that_the_stream_has_no_more_is_followed_by_what_came_of_its_shard() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", lines_source("")));
    world.standin.kinesis().open(1);
    put(&world, 0..100);
    let daemon = world.start();
    world.delivered(&daemon);
    daemon.stop().drained();
    world.standin.kinesis().split(0);
    world.standin.kinesis().trim(0);
    put(&world, 100..300);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 300);
    daemon.stop().drained();
}

/// Each record that arrived, as JSON.
fn objects(world: &World, daemon: &Daemon, wanted: usize) -> Vec<Value> {
    progress("every event arrives", || {
        daemon.must_run();
        let records = world.standin.records();
        let text: String =
            records.iter().map(|kept| String::from_utf8_lossy(&kept.data).into_owned()).collect();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if events.len() == wanted { Ok(events) } else { Err((events.len() as u64, text)) }
    })
}

#[test]
fn events_know_their_shard_and_partition_key() {
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    let sink = "[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nlinger = \"100ms\"\n";
    world.config(&format!("{}{sink}", lines_source("")));
    world.standin.kinesis().open(2);
    world.standin.kinesis().put(0, "a \"key\"", b"one");
    world.standin.kinesis().put(1, "b", b"two\nthree");
    let daemon = world.start();
    let mut events = objects(&world, &daemon, 3);
    events.sort_by_key(|event| event["message"].to_string());
    let shown: Vec<Value> = events
        .iter()
        .map(|event| {
            json!([
                event["message"],
                event["shard"],
                event["partition_key"],
                event["host"],
                event["sequence_number"]
            ])
        })
        .collect();
    let expected = [("one", 0, "a \"key\""), ("three", 1, "b"), ("two", 1, "b")]
        .map(|(message, shard, key)| json!([message, shard_id(shard), key, null, null]));
    assert_eq!(shown, expected);
    daemon.stop().drained();
}
