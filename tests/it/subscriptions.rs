//! Subscription payloads posted by Firehose: each acknowledged event is delivered once.

use std::thread;

use crate::standin::{Faults, Report, Settings, Stream};
use crate::world::{Daemon, Envelope, RUN, Sender, World, exactly_once, progress, scale};

const CONFIG: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"another-key\", \"an-access-key-for-tests\"]
source_arns = [\"arn:aws:firehose:*:111122223333:deliverystream/*\"]

[sinks.archive]
@FIREHOSE
stream = \"logs\"
encoding = \"ENCODING\"
linger = \"200ms\"
";

fn start(world: &World, encoding: &str) -> Daemon {
    world.config(&CONFIG.replace("ENCODING", encoding)).start()
}

const CONNECTIONS: u64 = 8;
const EVENTS: u64 = 500;
const ENVELOPES: u64 = 4;

/// Posts lines in envelopes by eight connections until each is acknowledged; returns how many lines there were.
fn post_all(world: &World, daemon: &Daemon, lines: u64) -> u64 {
    let request = EVENTS * ENVELOPES;
    let requests = lines / request / CONNECTIONS;
    let all = requests * request * CONNECTIONS;
    world.standin.expect(RUN, all);
    let address = daemon.endpoint();
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let address = &address;
            scope.spawn(move || {
                let mut sender = Sender::to(address);
                for number in 0..requests {
                    let first = (connection * requests + number) * request;
                    let envelope = |index| {
                        let start = first + index * EVENTS;
                        Envelope::of_lines(RUN, start..start + EVENTS).gzipped()
                    };
                    let payloads: Vec<_> = (0..ENVELOPES).map(envelope).collect();
                    sender.deliver(&format!("request-{connection}-{number}"), &payloads);
                }
            });
        }
    });
    all
}

fn check(encoding: &str, faults: impl FnOnce(&mut Faults)) -> Report {
    let world = World::new();
    world.standin.faults(faults);
    let daemon = start(&world, encoding);
    let lines = post_all(&world, &daemon, scale(96_000));
    let report = world.standin.report();
    exactly_once(&report, lines);
    let scrape = daemon.conserved();
    // What is not unpacked is counted by the envelope.
    let events = if encoding == "envelope" { lines / EVENTS } else { lines };
    assert_eq!(scrape.count("source_events_total", &[]), events);
    daemon.stop().drained();
    report
}

#[test]
fn every_acknowledged_event_is_delivered_once() {
    check("message", |_| ());
    check("json", |_| ());
}

#[test]
fn every_acknowledged_event_is_delivered_once_while_records_fail() {
    let report = check("message", |faults| {
        faults.record_failures = 0.2;
        faults.throttles = 0.1;
    });
    assert!(report.refused_records > 0, "some records were refused: {report:#?}");
}

#[test]
fn envelopes_pass_through_whole() {
    check("envelope", |_| ());
}

#[test]
fn a_wrong_key_or_sender_is_turned_away() {
    let world = World::new();
    let daemon = start(&world, "message");
    let payloads = [Envelope::of_lines(RUN, 0..10).gzipped()];
    let mut sender = Sender::to(&daemon.endpoint());
    for key in [Some("wrong".to_owned()), Some(String::new()), None] {
        sender.access_key = key;
        let status = sender.post("refused", &payloads).unwrap().status;
        assert!(status == 401 || status == 403, "{status}");
    }
    let mut sender = Sender::to(&daemon.endpoint());
    sender.source_arn = "arn:aws:firehose:us-east-1:999999999999:deliverystream/subscriptions".into();
    let status = sender.post("refused", &payloads).unwrap().status;
    assert!(status == 401 || status == 403, "{status}");

    sender = Sender::to(&daemon.endpoint());
    sender.access_key = Some("another-key".into());
    world.standin.expect(RUN, 10);
    sender.deliver("admitted", &payloads);
    exactly_once(&world.delivered(&daemon), 10);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_control_message_is_acknowledged_and_not_shipped() {
    let world = World::new();
    let daemon = start(&world, "message");
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("control", &[Envelope::control_message()]);
    world.standin.expect(RUN, 10);
    sender.deliver("data", &[Envelope::control_message(), Envelope::of_lines(RUN, 0..10).gzipped()]);
    exactly_once(&world.delivered(&daemon), 10);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_bad_character_of_an_envelope_is_counted() {
    let world = World::new();
    let daemon = start(&world, "json");
    let envelope = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":[],
        "logEvents":[{"id":"1","timestamp":1,"message":"bad \ud83d"},{"id":"2","timestamp":1,"message":"good"}]}"#;
    Sender::to(&daemon.endpoint()).deliver("bad", &[envelope.as_bytes().to_vec()]);
    assert_eq!(daemon.scrape().count("repaired_events_total", &["source=\"subscriptions\""]), 1);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn an_event_of_centralized_logs_goes_by_the_account_and_region_it_came_from() {
    let world = World::new();
    world.config(
        "[sources.subscriptions]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\n\
         [sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nstream = \"{owner}\"\nlinger = \"50ms\"\n\
         [sinks.ireland]\ntype = \"directory\"\npath = \"@DIR/ireland\"\nstream = \"all\"\nlinger = \"50ms\"\nencoding = \"message\"\n\
         [[routes]]\nwhen = { region = [\"eu-west-1\"] }\nto = [\"out\", \"ireland\"]\n[[routes]]\nto = [\"out\"]\n",
    );
    let daemon = world.start();
    let event = |id: u32, text: &str, fields: serde_json::Value| {
        let mut event =
            serde_json::json!({ "id": id.to_string(), "timestamp": 1_700_000_000_000_u64, "message": text });
        if !fields.is_null() {
            event["extractedFields"] = fields;
        }
        event
    };
    let from =
        |account: &str, region: &str| serde_json::json!({ "@aws.account": account, "@aws.region": region });
    let envelope = serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "999999999999", "logGroup": "/aws/x", "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [
            event(1, "from 2", from("222222222222", "eu-west-1")),
            event(2, "from 3", from("333333333333", "us-east-1")),
            event(3, "central", serde_json::Value::Null),
            event(4, "from 2 again", from("222222222222", "eu-west-1")),
        ],
    });
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("centralized", &[envelope.to_string().into_bytes()]);
    daemon.conserved();
    daemon.stop().drained();
    let lines = |folder: &str, account: &str| {
        let mut found = Vec::new();
        let mut folders = vec![world.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if entry.file_name().to_str().unwrap().starts_with(account) {
                    found.extend(std::fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned));
                }
            }
        }
        found.sort();
        found
    };
    assert_eq!(lines("ireland", "all"), ["from 2", "from 2 again"]);
    assert_eq!((lines("out", "222222222222").len(), lines("out", "333333333333").len()), (2, 1));
    let [central] = &*lines("out", "999999999999") else { panic!("one event is the central account's") };
    assert!(central.contains("\"owner\":\"999999999999\"") && !central.contains("\"region\""), "{central}");
    let first = &lines("out", "222222222222")[0];
    assert!(
        first.contains("\"owner\":\"222222222222\"") && first.contains("\"region\":\"eu-west-1\""),
        "{first}"
    );
}

#[test]
fn a_request_that_comes_again_is_shipped_once() {
    let world = World::new();
    let daemon = start(&world, "message");
    world.standin.expect(RUN, 100);
    world.standin.faults(|faults| faults.hang = true);
    let payloads = [Envelope::of_lines(RUN, 0..100).gzipped()];
    let address = daemon.endpoint();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| Sender::to(&address).deliver("the-same", &payloads));
        }
        world.standin.faults(|faults| faults.hang = false);
    });
    Sender::to(&address).deliver("the-same", &payloads);
    exactly_once(&world.delivered(&daemon), 100);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn what_one_of_two_sinks_has_no_room_for_is_not_doubled_at_the_other() {
    const REQUEST: u64 = 1_000;
    let streams = ["logs", "copy"].map(|name| Stream::new("111111111111", name)).to_vec();
    let world = World::with(&Settings { streams, ..Settings::default() });
    world
        .config(&format!("{}{SECOND}", CONFIG.replace("ENCODING\"", "message\"").replace(LISTEN, IMPATIENT)));
    world.standin.stream_faults("copy", |faults| faults.hang = true);
    let daemon = world.start();
    let mut sender = Sender::to(&daemon.endpoint());
    let payload = |number: u64| [Envelope::of_lines(RUN, number * REQUEST..(number + 1) * REQUEST).gzipped()];
    let mut requests = 0;
    progress("a request is given up", || {
        // Not delivered to both in time, or given up.
        assert_eq!(sender.post(&requests.to_string(), &payload(requests)).unwrap().status, 503);
        requests += 1;
        let given_up = daemon.scrape().count("source_errors_total", &["reason=\"given_up\""]);
        if given_up > 0 { Ok(()) } else { Err((requests, daemon.log_text())) }
    });
    world.standin.stream_faults("copy", |faults| faults.hang = false);
    for number in 0..requests {
        sender.deliver(&number.to_string(), &payload(number));
    }
    let report = world.standin.report();
    for stream in ["logs", "copy"] {
        let stream = report.stream(stream);
        assert_eq!((stream.seen, stream.duplicates), (requests * REQUEST, 0), "{report:#?}");
    }
    daemon.conserved();
    daemon.stop().drained();
}

const LISTEN: &str = "listen = \"127.0.0.1:0\"";
const IMPATIENT: &str = "listen = \"127.0.0.1:0\"\ntimeout = \"1s\"";
const SECOND: &str = "
[sinks.second]
@FIREHOSE
stream = \"copy\"
encoding = \"json\"
linger = \"200ms\"

[limits]
memory = \"8MiB\"
";

#[test]
fn what_cannot_be_decoded_is_kept_and_acknowledged() {
    let world = World::new();
    let daemon = start(&world, "message");
    world.standin.expect(RUN, 10);
    let garbage = b"\x1f\x8b this is no gzip".to_vec();
    Sender::to(&daemon.endpoint()).deliver("mixed", &[garbage, Envelope::of_lines(RUN, 0..10).gzipped()]);
    exactly_once(&world.delivered(&daemon), 10);
    let scrape = daemon.scrape();
    assert_eq!(scrape.count("undecodable_total", &["source=\"subscriptions\""]), 1);
    daemon.stop().drained();
}

#[test]
fn a_dead_letter_says_where_its_json_is_broken() {
    let world = World::new();
    let daemon = start(&world, "message");
    let broken =
        b"{\"messageType\":\"DATA_MESSAGE\",\n\"owner\":\"1\",\"logEvents\":[{\"message\": oops}]}".to_vec();
    Sender::to(&daemon.endpoint()).deliver("broken", &[broken]);
    let config = world.config_path();
    let show = ["state", "show", "dead-letters", "_subscriptions", "--json", "-c", config.to_str().unwrap()];
    let letter: serde_json::Value = serde_json::from_slice(&world.run(&show, b"").stdout).unwrap();
    assert_eq!(
        (&letter["reason"], &letter["error"]),
        (&"json".into(), &"its JSON is broken at line 2, column 38".into()),
        "{letter:#}"
    );
    daemon.stop().drained();
}

#[test]
fn a_dead_letter_says_which_request_brought_it_and_what_to_set() {
    let world = World::new();
    let daemon = start(&world, "message");
    Sender::to(&daemon.endpoint()).deliver("of-lines", &[b"2026-11-29 a line, and no envelope\n".to_vec()]);
    let config = world.config_path();
    let shown = |more: &[&str]| {
        let show = ["state", "show", "dead-letters", "_subscriptions", "-c", config.to_str().unwrap()];
        String::from_utf8(world.run(&[&show, more].concat(), b"").stdout).unwrap()
    };
    let letter: serde_json::Value = serde_json::from_str(&shown(&["--json"])).unwrap();
    assert_eq!(letter["request"]["request_id"], "of-lines");
    assert_eq!(
        letter["request"]["source_arn"],
        "arn:aws:firehose:us-east-1:111122223333:deliverystream/subscriptions"
    );
    assert!(letter["attributes"].is_null(), "what routes and records show is as it was");
    let words = shown(&[]);
    assert!(words.contains("format = \"lines\"") && words.contains("request of-lines"), "{words}");
    assert!(daemon.log_text().contains("format = \\\"lines\\\""), "{}", daemon.log_text());
    daemon.stop().drained();
}

#[test]
fn an_owner_too_many_is_asked_to_come_again_while_the_others_are_undelivered() {
    let world = World::with(&Settings {
        streams: ["s-1", "s-2", "s-3"].map(|name| Stream::new("111111111111", name)).to_vec(),
        ..Settings::default()
    });
    let config = CONFIG.replace("ENCODING", "message").replace(LISTEN, IMPATIENT);
    let config =
        config.replace("stream = \"logs\"", "stream = \"s-{owner}\"\nmax_destinations = 2\nidle = \"100ms\"");
    world.config(&config);
    world.standin.faults(|faults| faults.hang = true);
    let daemon = world.start();
    let mut sender = Sender::to(&daemon.endpoint());
    let payload = |owner: u64| {
        [Envelope::of_lines(RUN, owner * 10..owner * 10 + 10).owned_by(&owner.to_string()).gzipped()]
    };
    for owner in 1..=3 {
        assert_eq!(
            sender.post(&owner.to_string(), &payload(owner)).unwrap().status,
            503,
            "{}",
            daemon.log_text()
        );
    }
    world.standin.faults(|faults| faults.hang = false);
    for owner in 1..=3 {
        sender.deliver(&owner.to_string(), &payload(owner));
    }
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("dead_letter_events_total", &[]), 0);
    assert_eq!(world.standin.report().stream("s-3").seen, 10);
    daemon.stop().drained();
}
