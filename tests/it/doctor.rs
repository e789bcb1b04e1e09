//! `standpipe doctor`: each hop broken in turn is named as the first that fails, with a fix.

use serde_json::Value;

use crate::standin::{Faults, Key, Refusal, Role, Settings, Stream, UNREADABLE};
use crate::world::{FILE_SOURCE, World};

const HOME: &str = "111111111111";
const AWAY: &str = "222222222222";
const WRITER: &str = "arn:aws:iam::222222222222:role/standpipe-writer";

fn writer() -> Role {
    Role { external_id: Some("example".into()), ..Role::new(WRITER, &[HOME]) }
}

/// A world in which all is well, but for what `change` does to the stand-in.
fn world(change: impl FnOnce(&mut Settings)) -> World {
    let mut settings =
        Settings { roles: vec![writer()], streams: vec![Stream::new(AWAY, "logs")], ..Settings::default() };
    change(&mut settings);
    let world = World::with(&settings);
    world.write("app.log", 0..10);
    world.config(&format!(
        "{FILE_SOURCE}\n[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nassume_role = {{ arn = \"{WRITER}\", \
         external_id = \"example\", session_name = \"standpipe-test\", sts_endpoint_url = \"@URL\" }}\n"
    ));
    world
}

fn well() -> World {
    world(|_| {})
}

/// What `doctor` says, and its exit code.
fn examine(world: &World, more: &[&str]) -> (i32, Value) {
    let config = world.config_path();
    let mut arguments = vec!["doctor", "-c", config.to_str().unwrap(), "--json"];
    arguments.extend(more);
    let output = world.run(&arguments, b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_str(&text);
    assert!(report.is_ok(), "it prints JSON: {text}\n{words}");
    (output.status.code().unwrap(), report.unwrap())
}

/// All findings of a check.
fn findings<'r>(report: &'r Value, check: &str) -> Vec<&'r Value> {
    let hops = report["hops"].as_array().unwrap();
    let all = hops.iter().flat_map(|hop| hop["findings"].as_array().unwrap());
    all.filter(|finding| finding["check"] == check).collect()
}

/// The first failure is `check` in `hop`; its text, with the fix, names all of `parts`.
#[track_caller]
fn fails(world: &World, more: &[&str], [hop, check]: [&str; 2], parts: &[&str]) {
    let (code, report) = examine(world, more);
    assert_eq!(report["first_failure"], serde_json::json!({ "hop": hop, "check": check }), "{report:#}");
    assert_eq!((code, &report["ok"]), (1, &Value::Bool(false)));
    let failure = findings(&report, check).into_iter().find(|finding| finding["level"] == "failure").unwrap();
    assert!(failure["fix"]["text"].is_string(), "it is fixed: {failure:#}");
    let text = serde_json::to_string(failure).unwrap();
    for part in parts {
        assert!(text.contains(part), "it names `{part}`: {failure:#}");
    }
    let secret = Key::default().secret;
    assert!(!report.to_string().contains(&secret), "no secret is told");
}

#[test]
fn a_world_in_which_all_is_well_has_no_failure() {
    let world = well();
    let (code, report) = examine(&world, &[]);
    assert_eq!((code, &report["first_failure"]), (0, &Value::Null), "{report:#}");
    for check in ["state_dir", "files", "endpoint", "clock", "credentials", "assume_role", "stream"] {
        assert_eq!(findings(&report, check)[0]["level"], "ok", "{check}: {report:#}");
    }
    assert!(findings(&report, "credentials")[0]["seen"].as_str().unwrap().contains("user/standpipe"));
    // The stand-in looks at the request before the permission: an empty put proves nothing.
    assert_eq!(findings(&report, "put")[0]["level"], "warning");
    assert_eq!(world.standin.report().total.records, 0, "nothing was written");
    assert!(!world.path("state").exists(), "nothing was made");
}

#[test]
fn a_write_probe_writes_one_line_and_says_so() {
    let world = well();
    let (code, report) = examine(&world, &["--write-probe"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(findings(&report, "put")[0]["level"], "ok");
    assert_eq!(world.standin.report().total.records, 1);
}

#[test]
fn for_people_it_is_a_tree_without_colour() {
    let world = well();
    let config = world.config_path();
    let output = world.run(&["doctor", "-c", config.to_str().unwrap()], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["sinks.archive\n", "├── ok       assume_role: ", "no failure\n"] {
        assert!(text.contains(part), "it says `{part}`:\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_state_directory_that_is_none_is_named() {
    let world = well();
    world.config(&format!("{FILE_SOURCE}\n[state]\ndir = \"@DIR/logs/app.log/state\"\n[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\n"));
    fails(&world, &[], ["state", "state_dir"], &["app.log", "is not a directory", "state.dir"]);
}

#[test]
fn an_endpoint_where_nobody_listens_is_named() {
    let world = well();
    world.config(&format!(
        "{FILE_SOURCE}\n[sinks.archive]\ntype = \"firehose\"\nregion = \"us-east-1\"\nstream = \"logs\"\n\
         endpoint_url = \"https://127.0.0.1:1\"\n"
    ));
    fails(&world, &[], ["sinks.archive", "endpoint"], &["Firehose does not answer", "nothing listens there"]);
}

#[test]
fn a_name_that_does_not_resolve_is_named_unless_a_proxy_resolves_it() {
    let sink = "sinks.archive";
    let to = |world: &World, url: &str| {
        world.config(&format!(
            "{FILE_SOURCE}\n[sinks.archive]\ntype = \"firehose\"\nregion = \"us-east-1\"\nstream = \"logs\"\n\
             endpoint_url = \"{url}\"\n"
        ));
    };
    let world = well();
    to(&world, "https://firehose.invalid");
    fails(&world, &[], [sink, "dns"], &["`firehose.invalid` does not resolve", "private DNS", "region"]);
    // The name is the proxy's to resolve: what fails is the proxy.
    world.env("HTTPS_PROXY", "http://127.0.0.1:1");
    fails(&world, &[], [sink, "endpoint"], &["nothing listens there", "HTTPS_PROXY"]);
    to(&world, "https://127.0.0.1:1");
    world.env("HTTPS_PROXY", "http://proxy.invalid:3128");
    fails(&world, &[], [sink, "dns"], &["name of the proxy for `127.0.0.1`", "HTTPS_PROXY"]);
}

#[test]
fn an_authority_that_is_not_trusted_is_named() {
    let world = well();
    world.config(&format!(
        "{FILE_SOURCE}\n[sinks.archive]\ntype = \"firehose\"\nregion = \"us-east-1\"\nstream = \"logs\"\n\
         endpoint_url = \"@URL\"\n"
    ));
    fails(&world, &[], ["sinks.archive", "endpoint"], &["Firehose does not answer", "ca_file"]);
}

#[test]
fn credentials_that_are_missing_or_wrong_are_named() {
    let world = well();
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    fails(&world, &[], ["sinks.archive", "credentials"], &["no AWS credentials found", "AWS_ACCESS_KEY_ID"]);
    let world = well();
    world.env("AWS_SECRET_ACCESS_KEY", "not-this-one");
    fails(
        &world,
        &[],
        ["sinks.archive", "credentials"],
        &["GetCallerIdentity", "SignatureDoesNotMatch", "secret key"],
    );
}

#[test]
fn a_role_that_cannot_be_assumed_is_named_with_both_policies() {
    let user = "arn:aws:iam::111111111111:user/standpipe";
    let parts = &[
        WRITER,
        user,
        "sts:ExternalId",
        "update-assume-role-policy",
        "put-user-policy",
        "AssumeStandpipesRole",
    ];
    let sink = ["sinks.archive", "assume_role"];
    fails(&world(|settings| settings.roles.clear()), &[], sink, parts);
    let other = Role { external_id: Some("another".into()), ..writer() };
    fails(&world(|settings| settings.roles = vec![other]), &[], sink, parts);
    let stranger = Role { principals: vec!["333333333333".into()], ..writer() };
    fails(&world(|settings| settings.roles = vec![stranger]), &[], sink, parts);
}

#[test]
fn a_trust_policy_that_can_be_read_is_explained() {
    // A role of the caller's own account: its user may read the trust policy.
    let own = WRITER.replace(AWAY, HOME);
    let check = |role: Role, part: &str| {
        let world = world(|settings| settings.roles = vec![role]);
        let config = std::fs::read_to_string(world.config_path()).unwrap();
        std::fs::write(world.config_path(), config.replace(AWAY, HOME)).unwrap();
        let (_, report) = examine(&world, &[]);
        let found = findings(&report, "trust_policy")[0];
        assert_eq!(found["level"], "failure", "{report:#}");
        assert!(found["seen"].as_str().unwrap().contains(part), "it says `{part}`: {found:#}");
    };
    let role = |external_id: &str, principal: &str| Role {
        external_id: Some(external_id.into()),
        ..Role::new(&own, &[principal])
    };
    check(
        role("another", HOME),
        "asks for `sts:ExternalId` by `StringEquals` `another`, and the request has `example`",
    );
    check(
        role("example", "333333333333"),
        "names the principal `333333333333`, not `arn:aws:iam::111111111111:user/standpipe`",
    );
}

#[test]
fn a_stream_that_is_missing_or_takes_no_puts_is_named() {
    let sink = "sinks.archive";
    let arn = "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs";
    fails(&world(|settings| settings.streams.clear()), &[], [sink, "stream"], &[arn, "create"]);
    let with = |change: fn(&mut Stream)| world(move |settings| settings.streams.iter_mut().for_each(change));
    fails(&with(|stream| stream.status = "CREATING".into()), &[], [sink, "stream"], &[arn, "CREATING"]);
    fails(
        &with(|stream| stream.source = "KinesisStreamAsSource".into()),
        &[],
        [sink, "stream_source"],
        &["Direct PUT"],
    );
    fails(&with(|stream| stream.decompresses = true), &[], [sink, "stream_source"], &["decompression"]);
}

#[test]
fn a_put_that_is_denied_is_named_with_its_policy() {
    let denied = world(|settings| settings.roles = vec![Role { may_put: false, ..writer() }]);
    let parts = &["firehose:PutRecordBatch", WRITER, "put-role-policy", "deliverystream/logs"];
    fails(&denied, &["--write-probe"], ["sinks.archive", "put"], parts);
    let key = world(|settings| {
        settings.faults = Faults { refusal: Some(Refusal::InvalidKms), ..Faults::default() }
    });
    fails(&key, &["--write-probe"], ["sinks.archive", "put"], &["KMS", "key"]);
}

#[test]
fn a_denial_at_an_endpoint_of_ones_own_names_whom_aws_names() {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    world.file_to_firehose("");
    let user = "arn:aws:iam::111111111111:user/standpipe";
    let stream = "arn:aws:firehose:us-east-1:111111111111:deliverystream/logs";
    fails(&world, &["--write-probe"], ["sinks.archive", "put"], &[user, stream, "put-user-policy"]);
}

#[test]
fn where_iam_simulates_a_denial_is_named_without_a_put() {
    let simulating = |may_put| {
        world(move |settings| settings.roles = vec![Role { may_put, may_simulate: true, ..writer() }])
    };
    let parts = &["implicitDeny by IAM's simulation", "firehose:PutRecordBatch", "put-role-policy"];
    fails(&simulating(false), &[], ["sinks.archive", "put"], parts);
    let (code, report) = examine(&simulating(true), &[]);
    let put = findings(&report, "put")[0];
    assert_eq!((code, &put["level"]), (0, &Value::from("ok")), "{report:#}");
    assert!(put["seen"].as_str().unwrap().contains("the statement at line 3 of policy `put`"), "{put:#}");
}

#[test]
fn a_description_that_is_denied_is_no_failure() {
    let world = world(|settings| settings.roles = vec![Role { may_describe: false, ..writer() }]);
    let (code, report) = examine(&world, &["--write-probe"]);
    assert_eq!(code, 0, "{report:#}");
    let stream = findings(&report, "stream")[0];
    assert_eq!(stream["level"], "warning");
    assert!(stream.to_string().contains("firehose:DescribeDeliveryStream"), "{stream:#}");
}

#[test]
fn a_description_that_cannot_be_read_is_no_failure() {
    let change = |settings: &mut Settings| {
        settings.streams.iter_mut().for_each(|stream| stream.status = UNREADABLE.into());
    };
    let (code, report) = examine(&world(change), &["--write-probe"]);
    assert_eq!(code, 0, "{report:#}");
    let stream = findings(&report, "stream")[0];
    assert_eq!(stream["level"], "warning");
    assert!(
        !stream.to_string().contains("443"),
        "no advice about the network, since an answer came: {stream:#}"
    );
}

#[test]
fn files_that_are_not_there_are_a_warning() {
    let world = well();
    std::fs::remove_file(world.log("app.log")).unwrap();
    let (code, report) = examine(&world, &[]);
    assert_eq!((code, &findings(&report, "files")[0]["level"]), (0, &Value::from("warning")), "{report:#}");
}
