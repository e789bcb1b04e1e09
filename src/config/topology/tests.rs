//! What a topology may say, and which sentence answers to a mistake.

use std::collections::BTreeMap;

use super::*;

const WHOLE: &str = r#"
region = "us-east-1"
[accounts.archive]
id = "222222222222"
[accounts.app]
id = "111111111111"
[keys.logs]
account = "archive"
[bucket]
account = "archive"
name = "org-logs"
[stream]
account = "archive"
name = "logs"
[destination]
name = "logs"
[[subscriptions]]
account = "app"
log_groups = ["one"]
[writer]
account = "app"
"#;

fn read_text(text: &str) -> Result<Topology, Errors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("topology.toml");
    std::fs::write(&path, text).unwrap();
    load(&path, &BTreeMap::new())
}

/// One line of the whole is replaced, or a table is added; the errors have to say all these words.
#[track_caller]
fn check(old: &str, new: &str, words: &[&str]) {
    let text = if old.is_empty() { format!("{WHOLE}{new}\n") } else { WHOLE.replacen(old, new, 1) };
    assert_ne!(text, WHOLE, "`{old}` is there");
    let errors = read_text(&text).unwrap_err().to_string();
    for word in words {
        assert!(errors.contains(word), "`{word}` in: {errors}");
    }
}

#[test]
fn a_whole_topology_is_read() {
    let topology = read_text(WHOLE).unwrap();
    assert_eq!(topology.accounts.len(), 2);
    assert_eq!(topology.destination.unwrap().account.name, "archive");
    assert_eq!(topology.writer.unwrap().name, "standpipe-writer");
}

#[test]
fn log_readers_are_held_to_what_policies_can_say() {
    let reader = "[[log_readers]]\naccount = \"archive\"\nlogs_account = \"app\"\n";
    let topology = read_text(&format!("{WHOLE}{reader}log_groups = [\"/aws/*\", \"app\"]\n")).unwrap();
    let [found] = &topology.log_readers[..] else { panic!("{topology:?}") };
    assert_eq!((found.assumer.name.as_str(), found.log_groups.len()), ("standpipe-log-reader", 2));
    let wrong = |groups: &str, words: &[&str]| check("", &format!("{reader}log_groups = {groups}"), words);
    wrong("[\"/app/{a,b}\"]", &["log_readers[0].log_groups[0]", "in which `*` may stand for anything"]);
    wrong("[]", &["log_readers[0].log_groups"]);
    check("", reader, &["log_readers[0].log_groups", "missing"]);
    let twice = format!("{reader}log_groups = [\"a\"]\n{reader}log_groups = [\"b\"]");
    check("", &twice, &["log_readers[1].name", "already has a role `standpipe-log-reader`"]);
    let own = format!("{reader}log_groups = [\"a\"]\nrole = \"standpipe-firehose\"");
    check("", &own, &["log_readers[0].role", "is a role that this topology creates"]);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    check(
        "name = \"org-logs\"",
        "name = \"org-logs\"\nprefx = \"a/\"",
        &["topology.toml", "bucket.prefx", "did you mean `prefix`?"],
    );
    check("[destination]", "[destinatoin]", &["destinatoin", "did you mean `destination`?"]);
}

#[test]
fn all_mistakes_are_said_at_once() {
    let errors =
        read_text("region = \"mars\"\n[accounts.a]\nid = \"12\"\n[bucket]\nname = \"B\"\n").unwrap_err();
    let keys: Vec<&str> = errors.problems().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["region", "accounts.a.id", "bucket.account", "bucket.name"]);
}

#[test]
fn what_is_named_has_to_be_there() {
    check(
        "account = \"app\"",
        "account = \"ap\"",
        &["subscriptions[0].account", "no such account; did you mean `app`?"],
    );
    check(
        "name = \"org-logs\"",
        "name = \"org-logs\"\nkms_key = \"log\"",
        &["bucket.kms_key", "did you mean `logs`?"],
    );
    check("[destination]\nname = \"logs\"", "", &["subscriptions[0]", "[destination]"]);
    check("[bucket]\naccount = \"archive\"\nname = \"org-logs\"", "", &["stream", "[bucket]"]);
    check("", "[consumer]\naccount = \"app\"\nlease_table = \"leases\"", &["consumer", "[kinesis]"]);
}

#[test]
fn what_cannot_be_is_refused() {
    check("id = \"111111111111\"", "id = \"222222222222\"", &["is the id of", "list each account once"]);
    check(
        "log_groups = [\"one\"]",
        "log_groups = [\"/aws/*\"]",
        &["a filter has no wildcards", "scope = \"account\""],
    );
    check(
        "[stream]\naccount = \"archive\"",
        "[stream]\naccount = \"app\"\nkms_key = \"logs\"",
        &["stream.kms_key", "use a key of the same account"],
    );
    check(
        "[destination]",
        "[destination]\naccount = \"app\"",
        &["destination.account", "in account `archive`"],
    );
    check(
        "",
        "[[subscriptions]]\naccount = \"app\"\nlog_groups = [\"one\"]",
        &["subscriptions[1]", "give another `filter_name`"],
    );
    check(
        "[writer]",
        "[writer]\nname = \"standpipe-firehose\"",
        &["writer.name", "already has a role `standpipe-firehose`"],
    );
    check("[writer]", "[writer]\nexternal_id = \"a b\"", &["writer.external_id", "2 to 1,224"]);
    check(
        "",
        "[[log_groups]]\naccount = \"app\"\nnames = [\"g\"]\nretention_days = 2",
        &["log_groups[0].retention_days", "1, 3, 5"],
    );
    check(
        "[keys.logs]",
        "[keys.logs]\narn = \"arn:aws:kms:us-east-1:111111111111:key/1\"",
        &["keys.logs.arn", "is not in account 222222222222"],
    );
}

#[test]
fn an_account_is_administered_by_a_role_of_its_own() {
    let role = |of: &str| format!("id = \"111111111111\"\nassume_role = \"arn:aws:iam::{of}:role/admin\"");
    read_text(&WHOLE.replace("id = \"111111111111\"", &role("111111111111"))).unwrap();
    check("id = \"111111111111\"", &role("222222222222"), &["assume_role", "a role of this account"]);
    check(
        "id = \"111111111111\"",
        "id = \"111111111111\"\nexternal_id = \"example\"",
        &["external_id", "name one as `assume_role`"],
    );
}

#[test]
fn a_third_filter_of_a_log_group_is_refused() {
    let more = |name: &str| {
        format!("[[subscriptions]]\naccount = \"app\"\nlog_groups = [\"one\"]\nfilter_name = \"{name}\"\n")
    };
    read_text(&format!("{WHOLE}{}", more("two"))).unwrap();
    check("", &format!("{}{}", more("two"), more("three")), &["subscriptions[2]", "already has 2 filters"]);
}

#[test]
fn the_sample_is_a_topology() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/topology.toml");
    load(Path::new(sample), &BTreeMap::new()).unwrap();
}

#[test]
fn a_region_of_no_partition_that_is_known_is_refused() {
    check(
        "region = \"us-east-1\"",
        "region = \"moon-base-1\"",
        &["region: `moon-base-1` is a region of no partition that is known here", "`aws-eusc`"],
    );
    let text = WHOLE.replacen("us-east-1", "us-isob-east-1", 1);
    let read = read_text(&text).unwrap();
    assert_eq!(read.accounts[0].place.bucket("b").to_string(), "arn:aws-iso-b:s3:::b");
}

#[test]
fn the_streams_own_account_needs_no_destination() {
    let own = WHOLE.replacen("[destination]\nname = \"logs\"\n", "", 1);
    let own = own.replacen("account = \"app\"\nlog_groups", "account = \"archive\"\nlog_groups", 1);
    let read = read_text(&own).unwrap();
    assert!(read.destination.is_none() && read.has_straight_filters(&read.logs_target().unwrap()));
    check("[destination]\nname = \"logs\"\n", "", &["account `app` has nowhere to send to"]);
}
