//! Fixes of `access verify` to the letter: what is broken on moto is named, and the commands that are printed put it right.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::access::{aws, told};
use crate::apply::{APP, ARCHIVE, Accounts, with_profiles};
use crate::moto::{Moto, installed};
use crate::world::run_to_end;

/// A break as commands of the AWS CLI, and the hop and check that it is found at.
struct Break {
    commands: &'static str,
    at: [&'static str; 2],
}

const NOBODY: &str = r#"{"Version":"2012-10-17","Statement":{"Sid":"Never","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::org-logs/*"}}"#;

const BREAKS: &[Break] = &[
    Break {
        commands: "app logs delete-subscription-filter --log-group-name orders --filter-name standpipe",
        at: ["orders of app", "filter"],
    },
    Break {
        commands: "app logs delete-resource-policy --policy-name standpipe-log-delivery-1",
        at: ["log delivery to /aws/vendedlogs/states/orders of app", "logs_policy"],
    },
    Break {
        commands: "archive iam delete-role-policy --role-name standpipe-logs --policy-name standpipe-logs",
        at: ["destination everything of archive", "destination_permissions"],
    },
    Break {
        commands: "archive iam update-assume-role-policy --role-name standpipe-logs --policy-document @TRUST",
        at: ["destination everything of archive", "destination_trust"],
    },
    Break {
        commands: "archive logs put-destination-policy --destination-name everything --access-policy @OTHER",
        at: ["destination everything of archive", "destination_policy"],
    },
    Break {
        commands: "archive iam update-assume-role-policy --role-name standpipe-writer --policy-document @TRUST",
        at: ["writer standpipe-writer of archive", "assume_role"],
    },
    Break {
        commands: "archive iam delete-role-policy --role-name standpipe-writer --policy-name standpipe-writer\n\
                   archive iam delete-role --role-name standpipe-writer",
        at: ["writer standpipe-writer of archive", "role"],
    },
    Break {
        commands: "app iam delete-policy --policy-arn arn:aws:iam::111111111111:policy/assume-standpipe-writer",
        at: ["writer standpipe-writer of archive", "assume_role"],
    },
    Break {
        commands: "archive firehose delete-delivery-stream --delivery-stream-name logs",
        at: ["stream logs of archive", "stream"],
    },
    Break {
        commands: "archive iam delete-role-policy --role-name standpipe-firehose --policy-name standpipe-firehose",
        at: ["bucket org-logs of archive", "put_objects"],
    },
    Break {
        commands: "archive iam put-role-policy --role-name standpipe-firehose --policy-name guard --policy-document @GUARD",
        at: ["bucket org-logs of archive", "put_objects"],
    },
    Break {
        commands: "archive s3api put-bucket-policy --bucket org-logs --policy @NOBODY",
        at: ["bucket org-logs of archive", "put_objects"],
    },
    Break {
        commands: "archive kms disable-key --key-id @KEY",
        at: ["bucket org-logs of archive", "bucket_key"],
    },
    Break {
        commands: "archive s3api put-bucket-notification-configuration --bucket org-logs --notification-configuration {}",
        at: ["bucket org-logs of archive", "notification"],
    },
    Break {
        commands: "archive sqs delete-queue --queue-url @QUEUE",
        at: ["bucket org-logs of archive", "queue"],
    },
];

/// What `CloudWatch` counts ten minutes ago: for a log group and its filter, and for a stream.
const COUNTS: &str = "\
    app cloudwatch put-metric-data --namespace AWS/Logs --metric-data @CAME,@GROUP]\" \
    @SENT,@GROUP,@FILTER]\" @FAILED,@GROUP,@FILTER]\" @FAILED,@GROUP,@FILTER,@LEVEL]\"\n\
    archive cloudwatch put-metric-data --namespace AWS/Firehose --metric-data @REFUSED,@STREAM]\"";

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Sid":"Other","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"sts:AssumeRole"}}"#;
const OTHER: &str = r#"{"Version":"2012-10-17","Statement":{"Sid":"Other","Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"logs:PutSubscriptionFilter","Resource":"arn:aws:logs:us-east-1:222222222222:destination:everything"}}"#;
const GUARD: &str =
    r#"{"Version":"2012-10-17","Statement":{"Sid":"Never","Effect":"Deny","Action":"s3:*","Resource":"*"}}"#;

/// Lines of the shell: an account's profile first, then what `aws` is told.
fn script(commands: &str) -> String {
    let key = "$(aws kms describe-key --profile archive --region us-east-1 --key-id alias/standpipe-logs --query KeyMetadata.KeyId --output text)";
    let queue = "$(aws sqs get-queue-url --profile archive --region us-east-1 --queue-name org-logs-objects --query QueueUrl --output text)";
    let metric = |name: &str, value: u32, rest: &str| {
        format!("\"MetricName={name},Value={value},Timestamp=$(date -u -d -10min +%FT%TZ),Dimensions=[{rest}")
    };
    let dimension = |name: &str, value: &str| format!("{{Name={name},Value={value}}}");
    let counts = [
        ("@CAME,", metric("IncomingLogEvents", 9, "")),
        ("@SENT,", metric("ForwardedLogEvents", 6, "")),
        ("@FAILED,", metric("DeliveryErrors", 3, "")),
        ("@REFUSED,", metric("ThrottledRecords", 8, "")),
        ("@GROUP", dimension("LogGroupName", "orders")),
        ("@FILTER", dimension("FilterName", "standpipe")),
        ("@LEVEL", dimension("PolicyLevel", "LOG_GROUP")),
        ("@STREAM", dimension("DeliveryStreamName", "logs")),
    ];
    let words = [("@TRUST", TRUST), ("@OTHER", OTHER), ("@GUARD", GUARD), ("@NOBODY", NOBODY)];
    let line = |line: &str| {
        let (profile, rest) = line.trim().split_once(' ').unwrap();
        let rest =
            words.iter().fold(rest.to_owned(), |rest, (mark, is)| rest.replace(mark, &format!("'{is}'")));
        let rest = counts.iter().fold(rest, |rest, (mark, is)| rest.replace(mark, is));
        format!(
            "aws --profile {profile} --region us-east-1 {}\n",
            rest.replace("@KEY", key).replace("@QUEUE", queue)
        )
    };
    commands.lines().map(line).collect()
}

/// Runs lines of the shell in which `aws` asks moto.
#[track_caller]
fn shell(accounts: &Accounts<'_>, bin: &Path, lines: &str) {
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", lines]).env_clear().envs(&accounts.env).env("PATH", path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{lines}\n{}", told(&output));
}

/// What `access verify`, or another command, says to machines.
#[track_caller]
fn report(accounts: &Accounts<'_>, arguments: &[&str]) -> Value {
    let output = run_to_end(arguments, b"", accounts.world.path("").as_path(), &accounts.env);
    let report = serde_json::from_slice(&output.stdout);
    assert!(report.is_ok(), "{}", told(&output));
    report.unwrap()
}

/// The commands of the first failure.
fn fix(report: &Value) -> String {
    let hops = report["hops"].as_array().unwrap();
    let mut findings = hops.iter().flat_map(|hop| hop["findings"].as_array().unwrap());
    let failure = findings.find(|finding| finding["level"] == "failure").unwrap();
    let commands = failure["fix"]["commands"].as_array().unwrap();
    let lines: Vec<&str> = commands.iter().map(|command| command.as_str().unwrap()).collect();
    lines.join("\n")
}

/// moto takes a destination's name for that of a log group of its account, which has to be there.
#[test]
fn the_commands_of_a_fix_fix_it() {
    let (Some(moto), Some(program)) = (Moto::start(), installed("aws")) else { return };
    let accounts = Accounts::new(&moto, &with_profiles());
    let bin = aws(&accounts.world, &moto, &program);
    for (account, group) in [(ARCHIVE, "everything"), (APP, "orders"), (APP, "/aws/vendedlogs/states/orders")]
    {
        accounts.group(account, group);
    }
    let (code, made) = accounts.apply(&["--yes"]);
    assert_eq!(code, 0, "{made:#}");
    let topology = accounts.world.path("topology.toml");
    let verify = ["access", "verify", topology.to_str().unwrap(), "--json"];
    let perfect = report(&accounts, &verify);
    assert_eq!(perfect["ok"], true, "{perfect:#}");

    shell(&accounts, &bin, &script(COUNTS));
    let counted = report(&accounts, &verify);
    assert_eq!(counted["ok"], true, "{counted:#}");
    for (check, part) in [
        ("filter_delivery", "it sent 6 events, 3 failed, 0 were throttled"),
        ("stream_quota", "8 records were refused"),
    ] {
        let hops = counted["hops"].as_array().unwrap();
        let mut findings = hops.iter().flat_map(|hop| hop["findings"].as_array().unwrap());
        let found = findings.find(|finding| finding["check"] == check).unwrap();
        assert_eq!(found["level"], "warning", "{found:#}");
        assert!(found["seen"].as_str().unwrap().contains(part), "it says `{part}`: {found:#}");
    }

    for Break { commands, at: [hop, check] } in BREAKS {
        shell(&accounts, &bin, &script(commands));
        let broken = report(&accounts, &verify);
        let first = serde_json::json!({ "hop": hop, "check": check });
        assert_eq!(broken["first_failure"], first, "{commands}: {broken:#}");
        shell(&accounts, &bin, &fix(&broken));
        let fixed = report(&accounts, &verify);
        assert_eq!(fixed["ok"], true, "{commands}: {}: {fixed:#}", fix(&broken));
    }

    // doctor tells the same after its own hops.
    shell(&accounts, &bin, &script(BREAKS[0].commands));
    let config = accounts.world.path("agent.toml");
    let sink = accounts.world.path("out");
    let text = format!(
        "[state]\ndir = \"{}\"\n[sources.app]\ntype = \"stdin\"\n[sinks.local]\ntype = \"directory\"\npath = \"{}\"\n",
        accounts.world.path("state").display(),
        sink.display()
    );
    fs::write(&config, text).unwrap();
    let arguments =
        ["doctor", "-c", config.to_str().unwrap(), "--topology", topology.to_str().unwrap(), "--json"];
    let told = report(&accounts, &arguments);
    assert_eq!(told["hops"][0]["hop"], "state");
    assert_eq!(
        told["first_failure"],
        serde_json::json!({ "hop": "orders of app", "check": "filter" }),
        "{told:#}"
    );
}
