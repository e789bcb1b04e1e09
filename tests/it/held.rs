//! What a person must fix holds the sink, is explained, and ends by itself once it is fixed.

use crate::standin::{Faults, Key, Refusal};
use crate::world::{World, exactly_once, until};

#[derive(Clone, Copy)]
struct Case {
    refusal: Refusal,
    /// The metric's label.
    reason: &'static str,
    /// What the log names, for the fix.
    words: &'static [&'static str],
}

#[test]
fn denied_access_holds_the_sink_and_it_resumes() {
    check(Case {
        refusal: Refusal::AccessDenied,
        reason: "access_denied",
        words: &[
            "firehose:PutRecordBatch",
            "arn:aws:iam::111111111111:user/standpipe",
            "arn:aws:firehose:us-east-1:111111111111:deliverystream/logs",
        ],
    });
}

#[test]
fn expired_credentials_hold_the_sink_and_it_resumes() {
    check(Case {
        refusal: Refusal::Expired,
        reason: "expired_credentials",
        words: &["credentials have expired", "their source renews them"],
    });
}

#[test]
fn a_stream_that_is_not_there_holds_the_sink_and_it_resumes() {
    check(Case {
        refusal: Refusal::NotFound,
        reason: "not_found",
        words: &["create the delivery stream `logs`", "us-east-1"],
    });
}

#[test]
fn a_key_of_kms_that_refuses_holds_the_sink_and_it_resumes() {
    check(Case { refusal: Refusal::InvalidKms, reason: "kms", words: &["enable the key"] });
}

#[test]
fn an_invalid_source_holds_the_sink_and_it_resumes() {
    check(Case {
        refusal: Refusal::InvalidSource,
        reason: "invalid_source",
        words: &["turn off CloudWatch Logs decompression"],
    });
}

#[test]
fn credentials_that_are_not_known_hold_the_sink_and_it_resumes() {
    let world = World::new();
    let key = Key { id: "AKIDUNKNOWN".into(), ..Key::default() };
    world.env("AWS_ACCESS_KEY_ID", &key.id);
    held(&world, "unrecognized_credentials", &["check the access key"], || world.standin.key(&key));
}

fn check(case: Case) {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(case.refusal));
    held(&world, case.reason, case.words, || world.standin.faults(|faults| faults.refusal = None));
}

/// The sink of a world is held for this reason, which is explained with these words, until it is fixed.
fn held(world: &World, reason: &str, words: &[&str], fix: impl FnOnce()) {
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").spawn();
    let issue = until(&format!("the log explains {reason}"), || {
        daemon.must_run();
        daemon.issues().into_iter().find(|line| line.contains(reason))
    });
    for word in words {
        assert!(issue.contains(word), "it names `{word}`: {issue}");
    }
    let labels = ["sink=\"archive\"", &format!("reason=\"{reason}\"")];
    until("the metric says that the sink is held", || {
        (daemon.scrape().sum("sink_held", &labels) > 0.5).then_some(())
    });
    daemon.until_readyz(503);
    assert_eq!(world.standin.report().total.seen, 0);

    fix();
    exactly_once(&world.delivered(&daemon), 1_000);
    let scrape = daemon.conserved();
    assert!(scrape.sum("sink_held", &labels) < 0.5, "it is held no more");
    daemon.ready();
    daemon.stop().drained();
}

#[test]
fn a_clock_skew_of_ten_minutes_is_made_up_for() {
    for ahead in [600, -600] {
        let world = World::new();
        world.standin.faults(|faults| faults.clock_ahead = ahead);
        world.write("app.log", 0..1_000);
        let daemon = world.file_to_firehose("").start();
        let report = world.delivered(&daemon);
        exactly_once(&report, 1_000);
        let refused = report.errors.get("InvalidSignatureException").copied().unwrap_or(0);
        assert!(refused > 0, "the first call was refused: {:?}", report.errors);
        assert_eq!(daemon.issues(), Vec::<String>::new(), "nobody has to fix anything");
        daemon.conserved();
        daemon.stop().drained();
    }
}

#[test]
fn a_clock_skew_that_comes_while_running_is_made_up_for() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    world.seen(&daemon, 1_000);
    let off = |faults: &mut Faults| faults.clock_ahead = 600;
    world.standin.faults(off);
    world.write("app.log", 1_000..2_000);
    exactly_once(&world.delivered(&daemon), 2_000);
    daemon.stop().drained();
}
