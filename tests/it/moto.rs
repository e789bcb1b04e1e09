//! A third party's word: what a subscription of moto's takes to a delivery stream goes through standpipe into a stream, and
//! a bucket, of another account of moto's.
//!
//! moto knows accounts, roles and the flow from a log group to a bucket, and is not ours; it has no limits, no refusals and
//! no trust policies, for which there is the stand-in.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use crate::world::{Sender, World, until};

/// A moto server of its own on a free port; it is killed when it is dropped.
pub(crate) struct Moto {
    child: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the tests' Python. None: it is not installed, which is said aloud, and is a failure in CI.
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = root().join(".venv/bin").join(program);
    if path.exists() {
        return Some(path);
    }
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!is_ci, "`{}` is missing: `make test` installs it", path.display());
    eprintln!("left out: `{}` is missing; `make test` installs it", path.display());
    None
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let mut command = Command::new(installed("moto_server")?);
        command.args(["-H", "127.0.0.1", "-p", "0"]).env_clear().env("PYTHONUNBUFFERED", "1");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (say, said) = mpsc::sync_channel(1);
        // Reads on to the end, or moto would wait for room to say more.
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(" Running on ") {
                    say.send(url.trim().to_owned()).unwrap();
                }
            }
        });
        let mut moto = Self { child, url: String::new() };
        moto.url = said.recv().unwrap();
        Some(moto)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs one step of `flow.py`.
    pub(crate) fn flow(&self, step: &str, arguments: &[&Path]) -> Vec<u8> {
        self.play("flow.py", step, arguments)
    }

    /// Runs one step of a script.
    pub(crate) fn play(&self, script: &str, step: &str, arguments: &[&Path]) -> Vec<u8> {
        let mut command = Command::new(installed("python").unwrap());
        command
            .env_clear()
            .arg(root().join("tests/moto").join(script))
            .args([step, &self.url])
            .args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {step}: {words}");
        output.stdout
    }

    /// What the archive's bucket holds, one JSON object a line.
    fn collected(&self) -> Vec<Value> {
        let lines = self.flow("collect", &[]);
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(json).collect()
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Messages of every kind that JSON has to escape, or may.
fn messages() -> Vec<String> {
    let odd = [
        "quote \" backslash \\ slash / tab \t",
        "{\"json\":[1,\"two\"]}",
        "é ü 日本語 🚒",
        "\u{7f} \u{2028}",
        " spaces ",
    ];
    let plain = (0..245).map(|number| format!("line {number}"));
    odd.into_iter().map(str::to_owned).chain(plain).collect()
}

const SINK: &str = r#"
[sinks.archive]
type = "firehose"
region = "us-east-1"
stream = "org-logs"
endpoint_url = "@MOTO"
linger = "100ms"

[sinks.archive.assume_role]
arn = "arn:aws:iam::222222222222:role/standpipe-writer"
external_id = "example"
session_name = "standpipe-test"
sts_endpoint_url = "@MOTO"
"#;

/// Logs messages in one account, lets `carry` take the envelopes through standpipe, and looks at the other account's bucket.
#[track_caller]
fn check(source: &str, carry: impl FnOnce(&World, &[Vec<u8>])) {
    let Some(moto) = Moto::start() else { return };
    let archive = |_: &World| drop(moto.flow("archive", &[]));
    arrives(&moto, archive, source, carry);
}

/// The same on a moto that runs; `archive` makes the role `standpipe-writer`, the stream and the bucket `org-logs`.
#[track_caller]
pub(crate) fn arrives(
    moto: &Moto,
    archive: impl FnOnce(&World),
    source: &str,
    carry: impl FnOnce(&World, &[Vec<u8>]),
) {
    let world = World::new();
    let messages = messages();
    let (list, folder) = (world.path("messages.json"), world.path("envelopes"));
    fs::write(&list, serde_json::to_vec(&messages).unwrap()).unwrap();
    fs::create_dir(&folder).unwrap();
    let keys = json(&moto.flow("produce", &[&list, &folder]));
    archive(&world);

    let key = |name: &str| keys.get(name).and_then(Value::as_str).unwrap();
    world.env("AWS_ACCESS_KEY_ID", key("AccessKeyId"));
    world.env("AWS_SECRET_ACCESS_KEY", key("SecretAccessKey"));
    world.env("AWS_SESSION_TOKEN", key("SessionToken"));
    world.config(&format!("{source}{}", SINK.replace("@MOTO", &moto.url)));
    carry(&world, &envelopes(&folder));

    let found = moto.collected();
    let text = |object: &Value, field: &str| object.get(field).and_then(Value::as_str).unwrap().to_owned();
    // moto names objects by the second and at random, so that nothing tells their order.
    let arrived: Vec<String> = found.iter().map(|object| text(object, "message")).collect();
    assert_eq!(sorted(arrived), sorted(messages), "every message arrives once");
    for object in &found {
        let origin = ["owner", "log_group", "log_stream", "source"].map(|field| text(object, field));
        assert_eq!(origin, ["111111111111", "/aws/lambda/orders", "one", "subscriptions"]);
    }
    let assumed = json(&moto.flow("roles", &[]));
    let expected =
        serde_json::json!(["arn:aws:iam::222222222222:role/standpipe-writer", "standpipe-test", "example"]);
    assert!(assumed.as_array().unwrap().contains(&expected), "{assumed}");
}

fn sorted(mut messages: Vec<String>) -> Vec<String> {
    messages.sort();
    messages
}

fn envelopes(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 1, "there are several envelopes");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A source of requests.
pub(crate) const HTTP: &str = "[sources.subscriptions]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\naccess_keys = [\"an-access-key-for-tests\"]\n";

/// Sends envelopes to the daemon as Firehose does.
pub(crate) fn over_http(world: &World, envelopes: &[Vec<u8>]) {
    let daemon = world.start();
    Sender::to(&daemon.endpoint()).deliver("moto", envelopes);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_subscription_of_motos_reaches_the_other_accounts_bucket_over_http() {
    check(HTTP, over_http);
}

#[test]
fn a_subscription_of_motos_reaches_the_other_accounts_bucket_from_a_file() {
    let source =
        "[sources.subscriptions]\ntype = \"file\"\ninclude = [\"@DIR/spool/*.gz\"]\nformat = \"envelope\"\n";
    check(source, |world, envelopes| {
        fs::create_dir(world.path("spool")).unwrap();
        let daemon = world.start();
        // Gzip members one after the other, as Firehose leaves them in an object.
        fs::write(world.path("object"), envelopes.concat()).unwrap();
        fs::rename(world.path("object"), world.path("spool/object.gz")).unwrap();
        until("the file is delivered", || {
            let delivered = daemon.scrape().count("sink_delivered_events_total", &[]);
            (delivered == messages().len() as u64).then_some(())
        });
        daemon.conserved();
        daemon.stop().drained();
    });
}
