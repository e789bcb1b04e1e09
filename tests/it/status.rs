//! How the daemon is, by /status.json and `standpipe status`: each file, and each destination with what to do.

use serde_json::Value;

use crate::standin::{Refusal, Settings};
use crate::world::{Daemon, MESSAGE_SINK, World, exactly_once, until};

/// What /status.json says.
pub(crate) fn status(daemon: &Daemon) -> Value {
    let answer = daemon.get("/status.json").unwrap();
    assert_eq!(answer.status, 200);
    serde_json::from_str(&answer.text()).unwrap()
}

/// Waits until a value of /status.json is as it should be.
pub(crate) fn until_status(daemon: &Daemon, pointer: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    until(&format!("{pointer} of /status.json is right"), || {
        daemon.must_run();
        let status = status(daemon);
        status.pointer(pointer).is_some_and(&is_right).then_some(status)
    })
}

fn run(world: &World, daemon: &Daemon, more: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}", daemon.admin());
    let arguments: Vec<&str> = ["status", "--url", &url].into_iter().chain(more.iter().copied()).collect();
    let output = world.run(&arguments, b"");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn status_names_the_destination_that_is_held_what_waits_for_it_and_the_fix() {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").spawn();
    let held = until_status(&daemon, "/sinks/0/destinations/0/state", |state| state == "held");
    let held = &held["sinks"][0]["destinations"][0];
    assert_eq!(
        (&held["stream"], &held["reason"], &held["region"]),
        (&"logs".into(), &"access_denied".into(), &"us-east-1".into())
    );
    assert!(held["issue"].as_str().unwrap().contains("firehose:PutRecordBatch"), "{held}");
    assert!(held["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{held}");
    until_status(&daemon, "/sinks/0/destinations/0/pending_bytes", |pending| pending.as_u64() > Some(0));
    until_status(&daemon, "/sinks/0/destinations/0/oldest_seconds", |oldest| oldest.as_f64() > Some(0.0));
    until_status(&daemon, "/sources/0/oldest_unacknowledged_seconds", |oldest| oldest.as_f64() > Some(0.0));
    let source = until_status(&daemon, "/sources/0/held_by/reason", |reason| reason == "access_denied");
    let cause = &source["sources"][0]["held_by"];
    assert_eq!(
        (&cause["sink"], &cause["stream"], &cause["fix"]),
        (&"archive".into(), &"logs".into(), &held["fix"])
    );
    let (code, text) = run(&world, &daemon, &[]);
    assert_eq!(code, Some(1), "{text}");
    let parts = [
        "needs attention",
        "held: access_denied",
        "held by archive (logs): access_denied",
        "fix: ",
        "us-east-1",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let page = daemon.get("/").unwrap();
    assert!(
        page.text().contains("held: access_denied") && page.text().contains("<strong>Fix:</strong>"),
        "{page:?}"
    );
    assert!(page.text().contains("held by archive (logs): access_denied"), "{page:?}");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !page.text().contains("<script"), "{policy}");
    // By its own series, as well.
    let labels = ["sink=\"archive\"", "stream=\"logs\"", "region=\"us-east-1\""];
    until("the destination's series says that it is held", || {
        (daemon.scrape().sum("destination_held", &labels) > 0.5).then_some(())
    });

    world.standin.faults(|faults| faults.refusal = None);
    exactly_once(&world.delivered(&daemon), 1_000);
    let well = until_status(&daemon, "/ready", |ready| ready == true);
    assert!(well["sources"][0]["held_by"].is_null(), "{well}");
    let well = &well["sinks"][0]["destinations"][0];
    assert!(well["reason"].is_null() && well["fix"].is_null(), "{well}");
    until("the command says that all is well", || (run(&world, &daemon, &[]).0 == Some(0)).then_some(()));
    let scrape = daemon.conserved();
    assert!(scrape.sum("destination_held", &labels) < 0.5);
    assert_eq!(scrape.count("destination_delivered_events_total", &labels), 1_000);
    daemon.stop().drained();
}

#[test]
fn what_a_disk_buffer_keeps_is_not_told_as_delivered() {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("buffer = { type = \"disk\" }\n").spawn();
    until("the source has given away what it read, and says what holds it up", || {
        daemon.must_run();
        let source = status(&daemon)["sources"][0].clone();
        let is_read = source["events"] == 1_000 && source["oldest_unacknowledged_seconds"] == 0.0;
        (is_read
            && source["held_by"]["reason"] == "access_denied"
            && source["buffered_bytes"].as_u64() > Some(0))
        .then_some(())
    });
    assert!(run(&world, &daemon, &[]).1.contains("held by archive (logs): access_denied"));
    world.standin.faults(|faults| faults.refusal = None);
    exactly_once(&world.delivered(&daemon), 1_000);
    until_status(&daemon, "/sources/0", |source| {
        source["held_by"].is_null() && source["buffered_bytes"].is_null()
    });
    daemon.stop().drained();
}

#[test]
fn status_tells_how_far_each_file_is_read_and_delivered() {
    let world = World::new();
    world.write("app.log", 0..5_000);
    world.write("other.log", 5_000..5_010);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    let size = |name: &str| std::fs::metadata(world.log(name)).unwrap().len();
    for name in ["app.log", "other.log"] {
        let path = world.log(name).display().to_string();
        until(&format!("{name} is delivered to its end"), || {
            let status = status(&daemon);
            let files = status["sources"][0]["units"]["listed"].as_array()?.clone();
            let file = files.into_iter().find(|file| file["name"] == path.as_str())?;
            let numbers = ["position", "delivered", "size"].map(|key| file[key].as_u64());
            (numbers == [Some(size(name)); 3] && file["behind_bytes"] == 0 && file["modified"].as_i64()? > 0)
                .then_some(())
        });
    }
    let (code, text) = run(&world, &daemon, &["--files"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("app.log") && text.contains("other.log") && text.contains("all delivered"),
        "{text}"
    );
    let (_, json) = run(&world, &daemon, &["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sources"][0]["events"], 5_010);
    let destination = &json["sinks"][0]["destinations"][0];
    assert_eq!(destination["events"], 5_010);
    assert!(destination["billed_bytes"].as_u64() >= destination["bytes"].as_u64(), "{destination}");
    daemon.stop().drained();
}

#[test]
fn the_status_is_bounded_however_many_files_there_are_and_shows_no_payload() {
    let world = World::with(&Settings { any_stream: true, ..Settings::default() });
    for file in 0..300 {
        std::fs::write(world.log(&format!("{file:03}.log")), "a line of payload\n").unwrap();
    }
    let routes = "[[routes]]\nwhen = { message = \"never\" }\ndrop = true\n[[routes]]\nto = [\"archive\"]\n";
    let daemon = world.file_to_firehose(routes).start();
    until("every file is read", || (status(&daemon)["sources"][0]["events"] == 300).then_some(()));
    let status = until_status(&daemon, "/sources/0/units/more", |more| *more == 250);
    assert_eq!(status["sources"][0]["units"]["listed"].as_array().unwrap().len(), 50);
    assert_eq!(status["routes"][1]["to"][0], "archive");
    for path in ["/status.json", "/", "/metrics"] {
        let text = daemon.get(path).unwrap().text();
        assert!(!text.contains("a line of payload"), "{path}: {text}");
    }
    daemon.stop().drained();
}

#[test]
fn a_secret_is_nowhere_to_be_seen() {
    let world = World::new();
    let source = "[sources.in]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\naccess_keys = [\"a-key-that-is-secret\"]\n";
    let daemon = world.config(&format!("{source}{MESSAGE_SINK}")).start();
    for path in ["/status.json", "/", "/metrics"] {
        assert!(!daemon.get(path).unwrap().text().contains("a-key-that-is-secret"), "{path}");
    }
    daemon.stop().drained();
}

#[test]
fn a_reload_is_seen_by_its_time_and_a_change_by_the_hash() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let hash =
        |text: &str| text.lines().find(|line| line.starts_with("standpipe_config_info{")).unwrap().to_owned();
    let before = hash(&daemon.scrape().text);
    assert!(daemon.scrape().count("config_loaded_timestamp_seconds", &[]) > 1_700_000_000);
    daemon.reload();
    assert_eq!(hash(&daemon.scrape().text), before, "it says the same");
    world.file_to_firehose("idle = \"7m\"\n");
    daemon.reload();
    let after = hash(&daemon.scrape().text);
    assert_ne!(after, before);
    assert_eq!(daemon.scrape().text.matches("\nstandpipe_config_info{").count(), 1);
    daemon.stop().drained();
}

#[test]
fn without_a_daemon_the_command_says_what_to_look_at() {
    let world = World::new();
    let output = world.run(&["status", "--url", "http://127.0.0.1:1"], b"");
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words.contains("no status from http://127.0.0.1:1") && words.contains("server.listen"),
        "{words}"
    );
}
