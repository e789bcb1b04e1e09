//! `access apply` on moto: what a topology needs is made once, repaired, and taken away again, and logs flow through it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::Value;

use crate::access::{keys, told, topology};
use crate::moto::{HTTP, Moto, arrives, over_http};
use crate::world::{World, run_to_end};

pub(crate) const ARCHIVE: &str = "222222222222";
pub(crate) const APP: &str = "111111111111";

/// A topology in a folder, and credentials for moto's accounts as profiles of the same names.
pub(crate) struct Accounts<'m> {
    moto: &'m Moto,
    pub(crate) world: World,
    topology: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
}

impl<'m> Accounts<'m> {
    pub(crate) fn new(moto: &'m Moto, text: &str) -> Self {
        let world = World::new();
        let topology = world.path("topology.toml");
        fs::write(&topology, text).unwrap();
        let mut profiles = fs::File::create(world.path("credentials")).unwrap();
        for (name, account) in [("archive", ARCHIVE), ("app", APP)] {
            writeln!(profiles, "[{name}]").unwrap();
            for (key, value) in keys(moto, account) {
                writeln!(profiles, "{} = {value}", key.to_lowercase()).unwrap();
            }
        }
        let credentials = world.path("credentials").to_str().unwrap().to_owned();
        let env = [
            ("AWS_ENDPOINT_URL", moto.url().to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", credentials),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Self { moto, world, topology, env }
    }

    /// What one command on the topology says, and its exit code.
    pub(crate) fn run(&self, command: &[&str]) -> (i32, String) {
        let (first, rest) = command.split_first().unwrap();
        let arguments = [&["access", first, self.topology.to_str().unwrap()], rest].concat();
        let output = run_to_end(&arguments, b"", self.world.path("").as_path(), &self.env);
        (output.status.code().unwrap(), told(&output))
    }

    /// What `apply` with these says to machines.
    pub(crate) fn apply(&self, more: &[&str]) -> (i32, Value) {
        let (first, rest) = ("apply", [more, &["--json"]].concat());
        let arguments = [&["access", first, self.topology.to_str().unwrap()], rest.as_slice()].concat();
        let output = run_to_end(&arguments, b"", self.world.path("").as_path(), &self.env);
        let report = serde_json::from_slice(&output.stdout);
        assert!(report.is_ok(), "{}", told(&output));
        (output.status.code().unwrap(), report.unwrap())
    }

    pub(crate) fn group(&self, account: &str, name: &str) {
        self.moto.flow("group", &[Path::new(account), Path::new("us-east-1"), Path::new(name)]);
    }
}

/// The moto topology with a profile for each account.
pub(crate) fn with_profiles() -> String {
    let text = fs::read_to_string(topology("moto")).unwrap();
    let with = |text: String, account: &str, name: &str| {
        text.replace(&format!("id = \"{account}\""), &format!("id = \"{account}\"\nprofile = \"{name}\""))
    };
    with(with(text, ARCHIVE, "archive"), APP, "app")
}

/// The ids of resources with an action.
fn ids(report: &Value, action: &str) -> Vec<String> {
    let changes = report["changes"].as_array().unwrap();
    let of = changes.iter().filter(|change| change["action"] == action);
    of.map(|change| change["id"].as_str().unwrap().to_owned()).collect()
}

/// moto takes a destination's name for that of a log group of its account, which has to be there.
#[test]
fn what_is_made_is_kept_and_repaired_and_taken_away() {
    let Some(moto) = Moto::start() else { return };
    let accounts = Accounts::new(&moto, &with_profiles());
    accounts.group(ARCHIVE, "everything");
    accounts.group(APP, "orders");
    accounts.group(APP, "/aws/vendedlogs/states/orders");
    // Somebody else's, which the topology needs as well.
    accounts.group(ARCHIVE, "/aws/kinesisfirehose/logs");

    let (code, text) = accounts.run(&["apply"]);
    assert_eq!(code, 0, "{text}");
    for part in [
        "  create  bucket `org-logs`\n",
        "retentionInDays: nothing -> 30",
        "(it existed before this topology)",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    assert!(text.contains("nothing was done"), "nobody is there to be asked: {text}");

    let (code, report) = accounts.apply(&["--yes"]);
    assert_eq!((code, report["applied"].as_bool()), (0, Some(true)), "{report:#}");
    let (code, report) = accounts.apply(&["--yes"]);
    let n_resources = report["changes"].as_array().unwrap().len();
    assert_eq!((code, ids(&report, "keep").len(), n_resources), (0, 12, 12), "{report:#}");
    assert_eq!(report["done"], Value::Array(Vec::new()));

    moto.flow("spoil", &[]);
    let (_, text) = accounts.run(&["apply"]);
    for part in [
        "  change  role `standpipe-logs`\n            trust:\n",
        "              -       \"Effect\": \"Deny\",",
        "            retentionInDays: 7 -> 30\n",
        "  create  filter `standpipe` of log group `orders`\n",
        "3 to make or change, 9 to keep, 0 that",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    let (code, report) = accounts.apply(&["--yes"]);
    assert_eq!((code, ids(&report, "keep").len()), (0, 9), "{report:#}");
    let calls: Vec<_> =
        report["done"].as_array().unwrap().iter().map(|done| done["call"].as_str().unwrap()).collect();
    assert_eq!(
        calls,
        ["logs:PutRetentionPolicy", "iam:UpdateAssumeRolePolicy", "logs:PutSubscriptionFilter"]
    );
    let (code, text) = accounts.run(&["verify"]);
    assert_eq!(code, 0, "{text}");

    moto.flow("fill", &[]);
    let (code, report) = accounts.apply(&["--destroy", "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&report, "leave"), ["StreamErrors", "Bucket"], "what was there, and what holds something");
    let (_, report) = accounts.apply(&[]);
    assert_eq!(ids(&report, "keep"), ["Bucket", "StreamErrors"], "{report:#}");
    assert_eq!(ids(&report, "change"), ["KeyLogs"], "it is deleted in a week: {report:#}");
    assert_eq!(ids(&report, "create").len(), 9);
    let (code, report) = accounts.apply(&["--destroy", "--yes"]);
    assert_eq!((code, ids(&report, "gone").len(), ids(&report, "delete").len()), (0, 10, 0), "{report:#}");
}

#[test]
fn an_account_without_credentials_gets_a_script_and_the_others_are_made() {
    let Some(moto) = Moto::start() else { return };
    let text = with_profiles().replace("profile = \"app\"\n", "");
    let mut accounts = Accounts::new(&moto, &text);
    accounts.group(ARCHIVE, "everything");
    let scripts = accounts.world.path("scripts");
    let (code, text) = accounts.run(&["apply", "--yes", "--out", scripts.to_str().unwrap()]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "done    archive: role `standpipe-writer`",
        "  unseen  filter `standpipe`",
        "account app could not be read: no AWS",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    let script = fs::read_to_string(scripts.join("2-app.sh")).unwrap();
    assert!(script.contains("assume-standpipe-writer"));
    assert!(!scripts.join("1-archive.sh").exists());

    // Credentials of another account are not used.
    accounts.env.extend(keys(&moto, ARCHIVE).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let (code, text) = accounts.run(&["apply", "--yes"]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "those of account 222222222222",
        "not of 111111111111",
        "`assume_role`, in `[accounts.app]`",
        "# ==> 2-app.sh <==",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    let (code, text) = accounts.run(&["apply", "--account", "ap"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = accounts.run(&["apply", "--account", "archive"]);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("account app"), "{text}");
}

#[test]
fn an_account_is_reached_by_a_role() {
    let Some(moto) = Moto::start() else { return };
    let text = fs::read_to_string(topology("moto")).unwrap();
    let role = "id = \"222222222222\"\nassume_role = \"arn:aws:iam::222222222222:role/admin\"\nexternal_id = \"example\"";
    let mut accounts = Accounts::new(&moto, &text.replace("id = \"222222222222\"", role));
    accounts.env.extend(keys(&moto, APP).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let (code, report) = accounts.apply(&[]);
    assert_eq!(code, 0, "{report:#}");
    let who = |account: &str| report["accounts"][account]["as"].as_str().unwrap().to_owned();
    assert_eq!(who("archive"), "arn:aws:sts::222222222222:assumed-role/admin/standpipe-access");
    assert_eq!(who("app"), "arn:aws:sts::111111111111:assumed-role/flow/flow");
    let assumed = String::from_utf8(moto.flow("roles", &[])).unwrap();
    assert!(
        assumed.contains("[\"arn:aws:iam::222222222222:role/admin\", \"standpipe-access\", \"example\"]"),
        "{assumed}"
    );
}

#[test]
fn an_event_of_one_account_reaches_the_bucket_of_the_other_by_what_was_made() {
    const TOPOLOGY: &str = r#"
region = "us-east-1"

[accounts.archive]
id      = "222222222222"
profile = "archive"

[accounts.app]
id      = "111111111111"
profile = "app"

[bucket]
account = "archive"
name    = "org-logs"

[stream]
account = "archive"
name    = "org-logs"

[writer]
account     = "app"
external_id = "example"
"#;
    let Some(moto) = Moto::start() else { return };
    let archive = |_: &World| {
        let (code, report) = Accounts::new(&moto, TOPOLOGY).apply(&["--yes"]);
        assert_eq!(code, 0, "{report:#}");
        moto.flow("plain", &[]);
    };
    arrives(&moto, archive, HTTP, over_http);
}

/// A consumer and a reader: Kinesis, `DynamoDB`, SQS, policies of a role that exists, and a bucket that tells others too.
#[test]
fn what_existed_keeps_what_others_put_there() {
    const TOPOLOGY: &str = r#"
region = "us-east-1"

[accounts.archive]
id      = "222222222222"
profile = "archive"

[accounts.app]
id      = "111111111111"
profile = "app"

[keys.records]
account = "archive"

[kinesis]
account = "archive"
name    = "cwl"
kms_key = "records"

[consumer]
account     = "archive"
role        = "collector"
lease_table = "standpipe-cwl"

[[readers]]
account        = "archive"
role           = "collector"
bucket_account = "app"
bucket         = "trail-objects"
prefix         = "AWSLogs/"
queue          = "trail"

[[log_readers]]
account      = "archive"
role         = "collector"
logs_account = "app"
log_groups   = ["/aws/lambda/*"]
"#;
    let Some(moto) = Moto::start() else { return };
    let accounts = Accounts::new(&moto, TOPOLOGY);
    moto.flow("existing", &[]);
    let told = || -> Value { serde_json::from_slice(&moto.flow("told", &[])).unwrap() };
    let other =
        serde_json::json!(["other", "arn:aws:sqs:us-east-1:111111111111:others", ["s3:ObjectRemoved:*"]]);
    let own =
        serde_json::json!(["standpipe", "arn:aws:sqs:us-east-1:111111111111:trail", ["s3:ObjectCreated:*"]]);

    let (code, report) = accounts.apply(&["--yes"]);
    assert_eq!((code, ids(&report, "create").len()), (0, 11), "{report:#}");
    assert_eq!(told(), serde_json::json!([other, own]));
    let (code, report) = accounts.apply(&["--yes"]);
    assert_eq!((code, ids(&report, "keep").len()), (0, 11), "{report:#}");
    let (code, text) = accounts.run(&["verify"]);
    assert_eq!(code, 0, "{text}");
    let (code, report) = accounts.apply(&["--destroy", "--yes"]);
    assert_eq!((code, ids(&report, "delete").len()), (0, 11), "{report:#}");
    assert_eq!(told(), serde_json::json!([other]));
}

/// An AWS that is busy for ever with resource policies; it tells of each that is put.
fn busy() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (put, puts) = mpsc::sync_channel(64);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut request).unwrap() > 0, "a request has a head");
            }
            let length = request.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            request.push_str(&String::from_utf8(body).unwrap());
            let (status, answer) = if request.contains("Action=GetCallerIdentity") {
                (
                    200,
                    "<R><GetCallerIdentityResult><Account>111111111111</Account><Arn>arn:aws:iam::111111111111:user/u</Arn></GetCallerIdentityResult></R>",
                )
            } else if request.contains("DescribeResourcePolicies") {
                (200, "{\"resourcePolicies\": []}")
            } else {
                put.send(()).ok();
                (400, "{\"__type\": \"OperationAbortedException\", \"message\": \"busy\"}")
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + answer).as_bytes()).ok();
        }
    });
    (url, puts)
}

#[test]
fn a_wish_to_stop_ends_the_waiting_for_aws() {
    const TOPOLOGY: &str = "region = \"us-east-1\"\n[accounts.app]\nid = \"111111111111\"\n[[vended]]\naccount = \"app\"\n\
                            service = \"states\"\nlog_groups = [\"/aws/vendedlogs/states/orders\"]\n";
    let world = World::new();
    let (url, puts) = busy();
    world.env("AWS_ENDPOINT_URL", &url);
    fs::write(world.path("topology.toml"), TOPOLOGY).unwrap();
    let path = world.path("topology.toml");
    let mut child = world.start_command(&["access", "apply", path.to_str().unwrap(), "--yes"]);
    puts.recv().unwrap();
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1), "it says what it left, and is not killed");
    assert!(puts.try_iter().count() <= 1, "it is not tried on for two minutes");
}
