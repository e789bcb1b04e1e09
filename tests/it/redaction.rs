//! Redaction: what is to be redacted leaves the process nowhere, neither to a stream, nor to disk, to its log, or to a metric.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Output;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::world::{ACCESS_KEY, Daemon, Sender, World, until};

/// What must be found nowhere.
const SECRETS: [&str; 4] = ["eve@example.com", "4111111111111111", "AKIAIOSFODNN7EXAMPLE", "123-45-6789"];

const REDACT: &str = r#"
[redact]
named = ["aws_key", "card", "email"]
patterns = [{ name = "national-id", regex = '\b\d{3}-\d{2}-\d{4}\b', with = "mask" }]
"#;

const SINK: &str = "
[sinks.local]
type = \"directory\"
path = \"@DIR/out\"
linger = \"50ms\"
buffer = { type = \"disk\", max = \"8MiB\" }
";

const ENDPOINT: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
";

fn all_secrets() -> String {
    SECRETS.join(" ")
}

/// Everything below a folder, as text.
fn text_below(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else {
        return String::from_utf8_lossy(&fs::read(folder).unwrap_or_default()).into_owned();
    };
    entries.map(|entry| text_below(&entry.unwrap().path())).collect()
}

/// No secret is in the state folder, in what was delivered, in the log or in the metrics.
#[track_caller]
fn nowhere(world: &World, daemon: &Daemon) {
    let metrics = daemon.get("/metrics").unwrap().text();
    for secret in SECRETS {
        assert!(!world.state_holds(secret.as_bytes()), "`{secret}` is on disk");
        assert!(!text_below(&world.path("out")).contains(secret), "`{secret}` was delivered");
        assert!(!daemon.log_text().contains(secret), "`{secret}` is in the log");
        assert!(!metrics.contains(secret), "`{secret}` is in the metrics");
    }
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn envelope(message: &str) -> String {
    let message = serde_json::to_string(message).unwrap().replace('@', "\\u0040");
    format!(
        "{{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"111122223333\",\"logGroup\":\"g\",\"logStream\":\"s\",\"subscriptionFilters\":[],\"logEvents\":[{{\"id\":\"1\",\"timestamp\":1,\"message\":{message}}}]}}"
    )
}

#[test]
fn no_redacted_byte_reaches_disk_log_or_metric() {
    let world = World::new();
    // A sink that is denied keeps what it takes on disk.
    world.config(&format!(
        "{REDACT}[sources.app]\ntype = \"file\"\ninclude = [\"@DIR/logs/*.log\"]\nmax_line = \"1KiB\"\n{SINK}{ENDPOINT}access_keys = [\"{ACCESS_KEY}\"]\n"
    ));
    let secrets = all_secrets();
    let long = format!("{} {secrets} {}", "x".repeat(1_000), "y".repeat(2_000));
    fs::write(world.log("app.log"), format!("plain\na {secrets} b\n{long}\nlast\n")).unwrap();
    let daemon = world.start();
    let mut sender = Sender::to(&daemon.endpoint());
    let whole = gzipped(&envelope(&secrets));
    let torn = whole[..whole.len() - 9].to_vec();
    let stored = [b"\x1f\x8b".as_slice(), secrets.as_bytes()].concat();
    sender.deliver(
        "one",
        &[whole, secrets.clone().into_bytes(), torn, stored, gzipped(&format!("[\"{secrets}\"]"))],
    );
    let out = until("all of it is delivered", || {
        let out = text_below(&world.path("out"));
        (out.contains("last") && out.contains("log_group")).then_some(out)
    });
    let redacted = "[email] [card] [aws_key] ***********";
    assert!(out.contains(&format!("\"message\":\"a {redacted} b\"")), "{out}");
    assert!(out.contains(&format!("\"message\":\"{redacted}\"")), "{out}");
    let letters = text_below(&world.path("state/dead-letters/_subscriptions"));
    assert_eq!(letters.matches(redacted).count(), 2, "{letters}");
    assert_eq!(letters.matches("withheld").count(), 2, "{letters}");
    nowhere(&world, &daemon);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("redacted_total", &["source=\"app\"", "rule=\"email\""]), 2);
    assert_eq!(scrape.count("redacted_total", &["source=\"app\"", "rule=\"national-id\""]), 2);
    assert_eq!(scrape.count("redacted_total", &["source=\"subscriptions\"", "rule=\"card\""]), 3);
    daemon.stop().drained();
}

fn check(world: &World, config: &str) -> (Option<i32>, String) {
    world.config(config);
    let Output { status, stdout, stderr } =
        world.run(&["check", "-c", world.config_path().to_str().unwrap()], b"");
    let words = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&words).into_owned())
}

#[test]
fn what_cannot_be_redacted_is_refused_and_a_source_may_have_its_own() {
    let world = World::new();
    let to_envelopes = "[sinks.local]\ntype = \"directory\"\npath = \"@DIR/out\"\nencoding = \"envelope\"\n";
    let (code, words) = check(&world, &format!("{REDACT}{ENDPOINT}{to_envelopes}"));
    assert_eq!(code, Some(78), "{words}");
    assert!(
        words.contains(
            "sinks.local.encoding: found `envelope`, but `subscriptions` leads here and is redacted"
        ),
        "{words}"
    );
    let (code, words) =
        check(&world, &format!("{REDACT}{ENDPOINT}redact = {{ named = [] }}\n{to_envelopes}"));
    assert_eq!(code, Some(0), "{words}");
    assert!(!words.contains("redacts"), "{words}");
    let own = "redact = { named = [\"ipv4\"], with = \"hash\", key = \"the-key-is-secret\" }\n";
    let (code, words) = check(&world, &format!("{REDACT}{ENDPOINT}{own}{SINK}"));
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("redacts ipv4 (hashed)") && !words.contains("the-key"), "{words}");
}
