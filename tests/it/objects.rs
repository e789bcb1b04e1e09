//! Objects of a bucket in one account, announced by a queue in another, read through roles: on moto, by the real binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::moto::Moto;
use crate::standin::Settings;
use crate::world::{Daemon, World, progress, until};

const READER: &str = "arn:aws:iam::111111111111:role/trail-reader";
const QUEUE_READER: &str = "arn:aws:iam::222222222222:role/queue-reader";

/// A moto with a bucket and a queue, and a stand-in for the stream.
struct ObjectWorld {
    moto: Moto,
    world: World,
    queue_url: String,
}

impl ObjectWorld {
    fn new() -> Option<Self> {
        let moto = Moto::start()?;
        let world = World::with(&Settings { keep_records: true, ..Settings::default() });
        let made: Value = serde_json::from_slice(&moto.play("objects.py", "bucket", &[])).unwrap();
        Some(Self { queue_url: made["QueueUrl"].as_str().unwrap().to_owned(), moto, world })
    }

    /// Reads the queue through one role, and the bucket through another.
    fn config(&self, keys: &str) {
        let sts = format!("sts_endpoint_url = \"{}\"", self.moto.url());
        let role = |arn: &str| {
            format!(
                "{{ arn = \"{arn}\", external_id = \"example\", session_name = \"standpipe-test\", duration = \"15m\", {sts} }}"
            )
        };
        self.world.config(&format!(
            "[sources.trail]\ntype = \"s3\"\nregion = \"us-east-1\"\nqueue_url = \"{}\"\nendpoint_url = \"{}\"\nassume_role = {}\n\
             queue = {{ region = \"us-east-1\", assume_role = {} }}\n{keys}\n\
             [sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nencoding = \"message\"\nlinger = \"100ms\"\n",
            self.queue_url,
            self.moto.url(),
            role(READER),
            role(QUEUE_READER),
        ));
    }

    /// Puts the files below a folder, and announces them in this form.
    fn put(&self, form: &str, folder: &Path) {
        self.moto.play("objects.py", "put", &[Path::new(form), folder]);
    }

    /// How many messages the queue shows, and how many are hidden.
    fn left(&self) -> (u64, u64) {
        serde_json::from_slice(&self.moto.play("objects.py", "left", &[])).unwrap()
    }

    /// Lines that the stream has, in no order.
    fn lines(&self) -> Vec<String> {
        let kept = self.world.standin.records();
        let text =
            kept.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect::<String>();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the stream has so many lines that differ.
    fn arrived(&self, daemon: &Daemon, lines: usize) -> Vec<String> {
        progress("every record is delivered", || {
            daemon.must_run();
            let found = self.lines();
            let distinct = found.iter().collect::<BTreeSet<_>>().len();
            if distinct == lines { Ok(found) } else { Err((distinct as u64, daemon.log_text())) }
        })
    }

    /// Waits until every message is deleted.
    fn emptied(&self, daemon: &Daemon) {
        until("every message is deleted", || {
            daemon.must_run();
            (self.left() == (0, 0)).then_some(())
        });
    }
}

/// So many files of so many records each, and the records.
fn trail(folder: &Path, first: usize, files: usize, records: usize) -> Vec<String> {
    let mut all = Vec::new();
    for file in first..first + files {
        let record = |number: usize| json!({ "eventVersion": "1.08", "eventID": format!("{file}-{number}"), "eventName": "x".repeat(number % 90) });
        let of_file: Vec<String> = (0..records).map(|number| record(number).to_string()).collect();
        let below = folder.join(format!("AWSLogs/1/CloudTrail/us-east-1/a b+c {file}.json.gz"));
        fs::create_dir_all(below.parent().unwrap()).unwrap();
        fs::write(below, format!("{{\"Records\":[{}]}}", of_file.join(","))).unwrap();
        all.extend(of_file);
    }
    all
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn trails_of_another_account_arrive_record_for_record_however_they_are_announced() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.config("format = \"cloudtrail\"");
    let mut records = Vec::new();
    for (index, form) in ["s3", "sns", "event_bridge", "cloudtrail", "cloudtrail_sns"].into_iter().enumerate()
    {
        let folder = objects.world.path(form);
        records.extend(trail(&folder, 10 * index, 3, 200));
        objects.put(form, &folder);
    }
    let tests = objects.world.path("tests");
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "trail-objects" });
    let gone = json!({ "s3Bucket": "trail-objects", "s3ObjectKey": ["gone.json.gz"] });
    let digest =
        json!({ "s3Bucket": "trail-objects", "s3ObjectKey": ["AWSLogs/1/CloudTrail-Digest/d.json.gz"] });
    fs::write(&tests, format!("{test}\n{gone}\n{digest}\n")).unwrap();
    objects.moto.play("objects.py", "send", &[&tests]);

    let daemon = objects.world.start();
    let found = objects.arrived(&daemon, records.len());
    assert_eq!(sorted(found), sorted(records), "every record arrives once");
    objects.emptied(&daemon);
    let scrape = daemon.conserved();
    let outcome = |outcome: &str| scrape.count("source_objects_total", &[&format!("outcome=\"{outcome}\"")]);
    assert_eq!((outcome("read"), outcome("vanished"), outcome("skipped")), (15, 1, 1));
    assert_eq!(scrape.count("sqs_messages_total", &["outcome=\"deleted\""]), 18);
    assert_eq!(daemon.issues(), Vec::<String>::new());
    daemon.stop().drained();

    let assumed: Vec<Value> = serde_json::from_slice(&objects.moto.play("objects.py", "roles", &[])).unwrap();
    for role in [READER, QUEUE_READER] {
        let as_role = json!([role, "standpipe-test", "example"]);
        assert!(assumed.contains(&as_role), "{role} is assumed: {assumed:?}");
    }
}

#[test]
fn doctor_looks_at_the_queue_and_check_shows_it() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.config("format = \"cloudtrail\"");
    let config = objects.world.config_path();
    let run = |arguments: &[&str]| {
        let output = objects.world.run(&[arguments, &["-c", config.to_str().unwrap()]].concat(), b"");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, report) = run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let hops = report["hops"].as_array().unwrap();
    let hop = hops.iter().find(|hop| hop["hop"] == "sources.trail").unwrap();
    let levels: Vec<Value> = hop["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| json!([finding["check"], finding["level"]]))
        .collect();
    assert_eq!(
        Value::from(levels),
        json!([["credentials", "ok"], ["queue", "ok"], ["queue_redrive", "warning"], ["buckets", "skipped"]])
    );
    assert_eq!(code, Some(0), "{report:#}");
    let (code, tree) = run(&["check"]);
    assert_eq!(code, Some(0));
    for part in ["trail (s3)", &objects.queue_url, READER, QUEUE_READER, "up to 8 objects at once"] {
        assert!(tree.contains(part), "`{part}`: {tree}");
    }
}

#[test]
fn a_run_that_reads_once_reads_what_is_announced_and_ends() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.config("format = \"cloudtrail\"");
    let folder = objects.world.path("trail");
    let records = trail(&folder, 0, 5, 100);
    objects.put("s3", &folder);
    let config = objects.world.config_path();
    let output = objects.world.run(&["run", "--once", "-c", config.to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sorted(objects.lines()), sorted(records));
    assert_eq!(objects.left(), (0, 0));
}

#[test]
fn a_kill_in_the_middle_loses_nothing_and_a_stop_gives_messages_back_at_once() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.config("format = \"cloudtrail\"\nvisibility = \"10s\"\nconcurrency = 2");
    let folder = objects.world.path("trail");
    let records = trail(&folder, 0, 30, 2_000);
    objects.put("s3", &folder);
    let some = |daemon: &Daemon, lines: usize| {
        until("some records are delivered", || {
            daemon.must_run();
            (objects.lines().len() > lines).then_some(())
        });
    };
    let daemon = objects.world.start();
    some(&daemon, 0);
    daemon.kill();
    let before = objects.lines().len();
    let daemon = objects.world.start();
    some(&daemon, before);
    let exit = daemon.stop();
    exit.drained();
    // What was hidden at the kill shows itself when its time is over.
    let daemon = objects.world.start();
    let found = objects.arrived(&daemon, records.len());
    let distinct: BTreeSet<String> = found.into_iter().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), sorted(records));
    objects.emptied(&daemon);
    daemon.conserved();
    daemon.stop().drained();
}
