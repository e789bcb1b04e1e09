//! Objects of a bucket in one account, announced by a queue in another, read through roles: on moto, by the real binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::moto::Moto;
use crate::standin::Settings;
use crate::world::{Daemon, World, is_full, progress, until};

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
        self.source(&format!(
            "queue_url = \"{}\"\nqueue = {{ region = \"us-east-1\", assume_role = {} }}\n{keys}",
            self.queue_url,
            self.role(QUEUE_READER),
        ));
    }

    /// Lists the bucket through the role.
    fn listing(&self, keys: &str) {
        self.source(&format!(
            "bucket = \"trail-objects\"\nprefix = \"AWSLogs/\"\nlayout = \"cloudtrail\"\nstart = \"beginning\"\nevery = \"1s\"\n{keys}"
        ));
    }

    fn source(&self, keys: &str) {
        self.world.config(&format!(
            "[sources.trail]\ntype = \"s3\"\nregion = \"us-east-1\"\nformat = \"cloudtrail\"\nendpoint_url = \"{}\"\nassume_role = {}\n{keys}\n\
             [sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nencoding = \"message\"\nlinger = \"100ms\"\n",
            self.moto.url(),
            self.role(READER),
        ));
    }

    fn role(&self, arn: &str) -> String {
        format!(
            "{{ arn = \"{arn}\", external_id = \"example\", session_name = \"standpipe-test\", duration = \"15m\", sts_endpoint_url = \"{}\" }}",
            self.moto.url()
        )
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
        let day = file % 3;
        let below = folder.join(format!("AWSLogs/1/CloudTrail/us-east-1/DAY-{day}/a b+c {file}.json.gz"));
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
    objects.config("");
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
    objects.config("");
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
    objects.config("");
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
    objects.config("visibility = \"10s\"\nconcurrency = 2");
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

#[test]
fn a_listed_bucket_of_another_account_arrives_record_for_record_late_objects_included() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.listing("");
    let mut records = Vec::new();
    let mut put = |first: usize, files: usize| {
        let folder = objects.world.path(&format!("put-{first}"));
        records.extend(trail(&folder, first, files, 200));
        objects.put("none", &folder);
        records.clone()
    };
    put(50, 6);
    // What is not CloudTrail's is not read.
    let other = objects.world.path("other");
    fs::create_dir_all(other.join("AWSLogs/1/vpcflowlogs/us-east-1/DAY-0")).unwrap();
    fs::write(other.join("AWSLogs/1/vpcflowlogs/us-east-1/DAY-0/x.log.gz"), "no trail\n").unwrap();
    objects.put("none", &other);
    let daemon = objects.world.start();
    objects.arrived(&daemon, 1_200);
    // Their names come before those that are done; of today, of yesterday, and of the day before, which is listed after a start.
    put(0, 2);
    objects.arrived(&daemon, 1_600);
    assert_eq!(daemon.issues(), Vec::<String>::new());
    daemon.conserved();
    daemon.stop().drained();
    let records = put(20, 3);
    let daemon = objects.world.start();
    let found = objects.arrived(&daemon, 2_200);
    assert_eq!(sorted(found), sorted(records), "every record arrives once");
    daemon.stop().drained();

    let dir = objects.world.path("state");
    let state = |arguments: &[&str]| {
        let output = objects.world.run(&[arguments, &["--dir", dir.to_str().unwrap()]].concat(), b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = state(&["state", "list"]);
    let row = table.lines().find(|line| line.contains("s3://trail-objects/AWSLogs/")).unwrap_or(&table);
    assert!(row.split_whitespace().any(|word| word == "11"), "{table}");
    let json: Value = serde_json::from_str(&state(&["state", "list", "--json"])).unwrap();
    assert_eq!(json["buckets"][0]["objects_done"], 11, "{json:#}");
    let forgotten = state(&["state", "forget", "trail"]);
    assert!(forgotten.contains("forgot s3://trail-objects/AWSLogs/ (11 objects done)"), "{forgotten}");
    let config = objects.world.config_path();
    let once = objects.world.run(&["run", "--once", "-c", config.to_str().unwrap()], b"");
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    assert_eq!(objects.lines().len(), 4_400, "all of it is read again");
}

#[test]
fn doctor_lists_a_bucket_and_reads_an_object_of_it() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.listing("");
    let config = objects.world.config_path();
    let findings = || -> Vec<Value> {
        let output = objects.world.run(&["doctor", "--json", "-c", config.to_str().unwrap()], b"");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let hop = report["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == "sources.trail");
        hop.unwrap()["findings"].as_array().unwrap().clone()
    };
    let levels = |findings: &[Value]| {
        Value::from(
            findings.iter().map(|finding| json!([finding["check"], finding["level"]])).collect::<Vec<_>>(),
        )
    };
    let empty = findings();
    assert_eq!(levels(&empty), json!([["credentials", "ok"], ["bucket", "warning"]]), "{empty:#?}");
    let folder = objects.world.path("trail");
    trail(&folder, 0, 1, 10);
    objects.put("none", &folder);
    let full = findings();
    assert_eq!(
        levels(&full),
        json!([["credentials", "ok"], ["bucket", "ok"], ["object", "ok"]]),
        "{full:#?}"
    );
    assert!(full[2].to_string().contains("a b+c 0.json.gz"), "{full:#?}");
}

/// Kills of the daemon while it reads: two, or twenty with `STANDPIPE_TEST_SCALE=full`.
fn kills() -> usize {
    if is_full() { 20 } else { 2 }
}

/// The files that records arrived from more than once.
fn doubled_files(found: &[String]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let doubled = found.iter().filter(|record| !seen.insert(record.as_str()));
    doubled
        .map(|record| record.split("\"eventID\":\"").nth(1).unwrap().split('-').next().unwrap().to_owned())
        .collect()
}

#[test]
fn kills_lose_nothing_and_double_only_what_was_not_deleted_yet() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.config("visibility = \"10s\"\nconcurrency = 2");
    let (mut records, mut held) = (Vec::new(), 0);
    for round in 0..kills() {
        let folder = objects.world.path(&format!("round-{round}"));
        records.extend(trail(&folder, 10 * round, 6, 2_000));
        objects.put("s3", &folder);
        let before = objects.lines().len();
        let daemon = objects.world.start();
        until("it is at work", || {
            daemon.must_run();
            (objects.lines().len() > before + 1_000).then_some(())
        });
        daemon.kill();
        held += objects.left().1;
    }
    let daemon = objects.world.start();
    let found = objects.arrived(&daemon, records.len());
    let doubled = doubled_files(&found);
    assert!(doubled.len() as u64 <= held, "{held} messages were hidden at kills, and {doubled:?} came twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), records.into_iter().collect());
    objects.emptied(&daemon);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn kills_lose_no_object_of_a_listed_bucket() {
    let Some(objects) = ObjectWorld::new() else { return };
    objects.listing("concurrency = 2");
    let mut records = Vec::new();
    for round in 0..kills() {
        let folder = objects.world.path(&format!("round-{round}"));
        records.extend(trail(&folder, 10 * round, 6, 2_000));
        objects.put("none", &folder);
        let before = objects.lines().into_iter().collect::<BTreeSet<_>>().len();
        let daemon = objects.world.start();
        until("it is at work", || {
            daemon.must_run();
            (objects.lines().into_iter().collect::<BTreeSet<_>>().len() > before + 1_000).then_some(())
        });
        daemon.kill();
    }
    let daemon = objects.world.start();
    let found = objects.arrived(&daemon, records.len());
    let most = kills() + 1;
    let mut times = std::collections::BTreeMap::<&str, usize>::new();
    for record in &found {
        *times.entry(record).or_default() += 1;
    }
    assert!(times.values().all(|times| *times <= most), "no record arrives more often than it was begun");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), records.into_iter().collect());
    daemon.stop().drained();
}
