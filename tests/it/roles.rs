//! Roles in other accounts: assumed, renewed, and explained when they cannot be.

use crate::standin::{Refusal, Role, Settings, Stream};
use crate::world::{Daemon, FILE_SOURCE, RUN, World, at_least_once, exactly_once, is_full, progress, until};

const HOME: &str = "111111111111";
const AWAY: &str = "222222222222";
const WRITER: &str = "arn:aws:iam::222222222222:role/standpipe-writer";
const SESSION: &str = "arn:aws:sts::222222222222:assumed-role/standpipe-writer/standpipe-test";

fn writer() -> Role {
    Role { external_id: Some("example".into()), ..Role::new(WRITER, &[HOME]) }
}

/// A stand-in whose only stream is in the other account.
fn world(roles: Vec<Role>) -> World {
    World::with(&Settings { roles, streams: vec![Stream::new(AWAY, "logs")], ..Settings::default() })
}

/// Lines of files, put with these roles.
fn config(world: &World, roles: &str) {
    world.config(&format!(
        "{FILE_SOURCE}\n[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nencoding = \"message\"\nlinger = \"100ms\"\n\
         assume_role = {roles}\n"
    ));
}

const ASSUME_WRITER: &str = "{ arn = \"arn:aws:iam::222222222222:role/standpipe-writer\", external_id = \"example\", \
                             session_name = \"standpipe-test\", sts_endpoint_url = \"@URL\" }";

#[test]
fn calls_are_signed_with_the_assumed_role() {
    let world = world(vec![writer()]);
    config(&world, ASSUME_WRITER);
    world.write("app.log", 0..20_000);
    let daemon = world.start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 20_000);
    let signers: Vec<_> =
        report.principals.iter().map(|(arn, by)| (arn.as_str(), by.account.as_str())).collect();
    assert_eq!(signers, [(SESSION, AWAY)]);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn streams_of_one_role_share_its_session() {
    let streams = [Stream::new(AWAY, "logs-a"), Stream::new(AWAY, "logs-b"), Stream::new(AWAY, "logs-c")];
    let world =
        World::with(&Settings { roles: vec![writer()], streams: streams.into(), ..Settings::default() });
    let source =
        |name: &str| format!("[sources.{name}]\ntype = \"file\"\ninclude = [\"@DIR/logs/{name}.log\"]\n");
    let sources = ["a", "b", "c"].map(source).concat();
    world.config(&format!(
        "{sources}\n[sinks.archive]\n@FIREHOSE\nstream = \"logs-{{source}}\"\nencoding = \"message\"\nlinger = \"100ms\"\n\
         assume_role = {ASSUME_WRITER}\n"
    ));
    for (index, name) in (0..).zip(["a", "b", "c"]) {
        world.write(&format!("{name}.log"), index * 1_000..(index + 1) * 1_000);
    }
    let daemon = world.start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 3_000);
    assert_eq!(report.assumed, 1, "one session is assumed for the three streams");
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_stream_that_is_denied_takes_no_credentials_from_others_of_its_role() {
    let streams = [Stream::new(AWAY, "logs-a"), Stream::new(AWAY, "logs-b")];
    let world =
        World::with(&Settings { roles: vec![writer()], streams: streams.into(), ..Settings::default() });
    two_streams(&world);
    world.write("a.log", 0..1_000);
    let daemon = world.start();
    world.delivered(&daemon);
    world.standin.stream_faults("logs-b", |faults| faults.refusal = Some(Refusal::AccessDenied));
    // Nobody may assume the role any more: there are no new credentials to be had.
    world.standin.role(Role::new(WRITER, &[]));
    world.write_run(RUN + 1, "b.log", 0..1_000);
    held(&daemon);
    // By then credentials are no longer new, and a denial lets others be asked for.
    until("the stream is denied again and again", || {
        (world.standin.report().errors.get("AccessDenied").is_some_and(|denials| *denials > 0)).then_some(())
    });
    world.write("a.log", 1_000..3_000);
    world.seen(&daemon, 3_000);

    world.standin.stream_faults("logs-b", |faults| faults.refusal = None);
    world.standin.role(writer());
    exactly_once(&world.delivered(&daemon), 4_000);
    daemon.conserved();
    daemon.stop().drained();
}

/// Files `a.log` and `b.log` to the streams `logs-a` and `logs-b`, by one role.
fn two_streams(world: &World) {
    let source =
        |name: &str| format!("[sources.{name}]\ntype = \"file\"\ninclude = [\"@DIR/logs/{name}.log\"]\n");
    let sources = ["a", "b"].map(source).concat();
    world.config(&format!(
        "{sources}\n[sinks.archive]\n@FIREHOSE\nstream = \"logs-{{source}}\"\nencoding = \"message\"\nlinger = \"100ms\"\n\
         assume_role = {ASSUME_WRITER}\n"
    ));
}

#[test]
fn a_clock_skew_of_ten_minutes_is_made_up_for_at_sts_as_well() {
    for ahead in [600, -600] {
        let world = world(vec![writer()]);
        world.standin.faults(|faults| faults.clock_ahead = ahead);
        config(&world, ASSUME_WRITER);
        world.write("app.log", 0..1_000);
        let daemon = world.start();
        exactly_once(&world.delivered(&daemon), 1_000);
        assert_eq!(daemon.issues(), Vec::<String>::new(), "nobody has to fix anything");
        daemon.conserved();
        daemon.stop().drained();
    }
}

#[test]
fn a_chain_of_roles_is_walked_in_order() {
    const HUB: &str = "arn:aws:iam::333333333333:role/hub";
    let world = world(vec![Role::new(HUB, &[HOME]), Role::new(WRITER, &[HUB])]);
    let chain = format!(
        "[{{ arn = \"{HUB}\", session_name = \"standpipe-test\", sts_endpoint_url = \"@URL\" }},\n\
         {{ arn = \"{WRITER}\", session_name = \"standpipe-test\", sts_endpoint_url = \"@URL\" }}]"
    );
    config(&world, &chain);
    world.write("app.log", 0..1_000);
    let daemon = world.start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 1_000);
    assert!(report.principals.contains_key(SESSION), "{report:#?}");
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn short_lived_credentials_are_renewed_without_a_complaint() {
    // Each key lives for 20 seconds: three of them are most of a minute, seven are two minutes.
    let renewals = if is_full() { 7 } else { 3 };
    let world = world(vec![Role { lifetime_seconds: 20, ..writer() }]);
    config(&world, ASSUME_WRITER);
    let daemon = world.start();
    let mut written = 0;
    progress("the credentials were renewed", || {
        daemon.must_run();
        world.write("app.log", written..written + 10);
        written += 10;
        let report = world.standin.report();
        let keys = report.principals.get(SESSION).map_or(0, |by| by.keys);
        if keys >= renewals { Ok(()) } else { Err((written, format!("{report:#?}\n{}", daemon.log_text()))) }
    });
    let report = world.delivered(&daemon);
    exactly_once(&report, written);
    assert!(report.errors.is_empty(), "no call was refused: {:?}", report.errors);
    assert_eq!(daemon.issues(), Vec::<String>::new());
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_wrong_external_id_holds_the_sink_and_is_explained() {
    let world = world(vec![Role { external_id: Some("another".into()), ..writer() }]);
    config(&world, ASSUME_WRITER);
    world.write("app.log", 0..1_000);
    let daemon = world.spawn();
    let issue = until("the log explains the refusal", || {
        daemon.must_run();
        daemon.issues().into_iter().find(|line| line.contains("sts:AssumeRole"))
    });
    for part in [WRITER, AWAY, "ExternalId"] {
        assert!(issue.contains(part), "it names `{part}`: {issue}");
    }
    held(&daemon);
    assert_eq!(world.standin.report().total.seen, 0);

    world.standin.role(writer());
    let report = world.delivered(&daemon);
    exactly_once(&report, 1_000);
    let scrape = daemon.conserved();
    assert!(scrape.sum("sink_held", &["sink=\"archive\""]) < 0.5, "it is held no more");
    daemon.stop().drained();
}

fn held(daemon: &Daemon) {
    until("the metric says that the sink is held", || {
        (daemon.scrape().sum("sink_held", &["sink=\"archive\""]) > 0.5).then_some(())
    });
}

#[test]
fn a_role_without_the_right_to_put_holds_the_sink_until_it_is_granted() {
    let world = world(vec![Role { may_put: false, ..writer() }]);
    config(&world, ASSUME_WRITER);
    world.write("app.log", 0..1_000);
    let daemon = world.spawn();
    let issue = until("the log explains the refusal", || {
        daemon.must_run();
        daemon.issues().into_iter().find(|line| line.contains("firehose:PutRecordBatch"))
    });
    assert!(issue.contains(SESSION), "it names the principal: {issue}");
    held(&daemon);
    world.standin.role(writer());
    at_least_once(&world.delivered(&daemon), 1_000);
    daemon.conserved();
    daemon.stop().drained();
}
