//! What holds of every quota, latency and number of senders.

use std::time::Duration;

use super::{MIB, SimCase, SimMode, SimWorld, outcome, seconds_of};

/// Quotas in MiB a second, latencies in milliseconds.
fn sweep(senders: usize, mode: SimMode) -> Vec<SimCase> {
    let mut cases = Vec::new();
    for mib in [0.5, 1.0, 5.0, 20.0, 200.0] {
        for latency in [5, 100, 2_000] {
            let case = SimCase::of(mib, latency, senders, mode);
            let share = mib / seconds_of(senders as u64) * case.latency.as_secs_f64();
            // What is under way at once is bounded by memory, and by the window of 500 records each.
            if share < 20.0 {
                cases.push(case);
            }
            if share < 10.0 && mib <= 5.0 {
                cases.push(case.of_events());
            }
        }
    }
    cases
}

/// Every quota is used, and little is refused.
#[track_caller]
fn check(senders: usize, mode: SimMode) {
    for case in sweep(senders, mode) {
        let outcome = outcome(case, 30);
        // At two seconds a call each change is felt late. A share of 128 KiB a second is a few records.
        let (goodput, refused) = match case.bytes / seconds_of(senders as u64) {
            _ if case.latency >= Duration::from_secs(2) => (0.94, 0.08),
            share if share < 200_000.0 => (0.97, 0.062),
            // Nearly as fast as this sender can be.
            share if share > 200_000_000.0 => (0.94, 0.05),
            _ => (0.97, 0.05),
        };
        assert!(outcome.goodput >= goodput && outcome.refused <= refused, "{case:?}: {outcome:?}");
    }
}

#[test]
fn one_sender_uses_a_quota_that_refuses_records_and_keeps_to_it() {
    check(1, SimMode::Records);
}

#[test]
fn one_sender_uses_a_quota_that_refuses_calls_and_keeps_to_it() {
    check(1, SimMode::Calls);
}

#[test]
fn one_sender_uses_a_quota_that_refuses_both_and_keeps_to_it() {
    check(1, SimMode::Mixed);
}

#[test]
fn four_senders_use_a_quota_that_refuses_records_and_keep_to_it() {
    check(4, SimMode::Records);
}

#[test]
fn four_senders_use_a_quota_that_refuses_calls_and_keep_to_it() {
    check(4, SimMode::Calls);
}

#[test]
fn four_senders_use_a_quota_that_refuses_both_and_keep_to_it() {
    check(4, SimMode::Mixed);
}

#[test]
fn four_senders_come_to_fair_shares() {
    for mode in [SimMode::Records, SimMode::Calls, SimMode::Mixed] {
        for case in sweep(4, mode) {
            let case = SimCase { seconds: 180, ..case };
            let outcome = outcome(case, 120);
            let (least, most) = match case.bytes / 4.0 {
                _ if case.latency >= Duration::from_secs(2) => (0.4, 1.8),
                share if share < 200_000.0 => (0.3, 2.2),
                _ => (0.65, 1.35),
            };
            assert!(outcome.shares.0 >= least && outcome.shares.1 <= most, "{case:?}: {outcome:?}");
        }
    }
}

#[test]
fn who_comes_later_gets_a_fair_share() {
    for mib in [5.0, 50.0] {
        let case = SimCase { stagger: 20, seconds: 300, ..SimCase::of(mib, 50, 4, SimMode::Records) };
        let outcome = outcome(case, 240);
        assert!(outcome.shares.0 >= 0.75 && outcome.shares.1 <= 1.25, "{outcome:?}");
        assert!(outcome.goodput >= 0.97, "{outcome:?}");
    }
}

#[test]
fn refusals_that_are_no_quota_slow_nothing_down() {
    let quiet = SimCase { seconds: 90, ..SimCase::of(10_000.0, 20, 1, SimMode::Records) };
    let faulty = SimCase { faults: (0.2, 0.1), ..quiet };
    // Told from a quota within five seconds.
    for (from, to, share) in [(0, 10, 0.35), (10, 30, 0.6), (30, 90, 0.6)] {
        let speed = |case: SimCase| SimWorld::run(case)[0].sum(from, to, |second| second.accepted);
        let (clean, slowed) = (speed(quiet), speed(faulty));
        // More than a quarter of what is sent has to be sent again.
        assert!(slowed >= share * clean, "{slowed} of {clean} bytes in seconds {from} to {to}");
    }
}

#[test]
fn a_quota_is_used_in_spite_of_faults() {
    for mib in [2.0, 20.0] {
        for latency in [30, 200] {
            let case = SimCase { faults: (0.2, 0.1), ..SimCase::of(mib, latency, 1, SimMode::Mixed) };
            let outcome = outcome(case, 30);
            // The faults alone refuse 0.28; a part of the quota's refusals is taken for theirs.
            assert!(outcome.goodput >= 0.85 && outcome.refused <= 0.55, "{case:?}: {outcome:?}");
        }
    }
}

#[test]
fn an_outage_of_ten_minutes_costs_a_few_calls_a_minute_and_is_over_at_once() {
    for mib in [1.0, 5.0, 1_000.0] {
        for mode in [SimMode::Records, SimMode::Calls] {
            let case = SimCase { outage: (100, 700), seconds: 780, ..SimCase::of(mib, 20, 1, mode) };
            let senders = SimWorld::run(case);
            let calls = |from, to| senders[0].sum(from, to, |second| f64::from(second.calls));
            for minute in 1..10 {
                let calls = calls(100 + 60 * minute, 160 + 60 * minute);
                assert!(calls <= 12.0, "{calls} calls in minute {minute} of {case:?}");
            }
            let speed = |from, to| senders[0].sum(from, to, |second| second.accepted) / seconds_of(to - from);
            let (before, after) = (speed(60, 100), speed(730, 780));
            assert!(after >= 0.95 * before, "{after} after {before} bytes a second of {case:?}");
        }
    }
}

/// What is delivered of what is written in three minutes, by the sender that gets least, is nearly all, for each rate and share of
/// refusals. `used`: the part of a quota that the writers need; none: there is no quota. `backlog`: seconds of input that are there at
/// the start.
#[track_caller]
fn check_input(senders: u64, used: Option<f64>, backlog: u64) {
    let alone = [0.01, 0.05, 0.1, 0.2, 0.4].into_iter().flat_map(|share| [(share, 0.0), (0.0, share)]);
    let faults: Vec<(f64, f64)> = alone.chain([(0.1, 0.1), (0.2, 0.1)]).collect();
    for (rate, seed) in [10e3, 30e3, 100e3, 300e3, 1e6, 10e6].into_iter().zip(1..) {
        let quota = used.map_or(1e6, |used| rate * seconds_of(senders) / used / MIB);
        for faults in &faults {
            let case = SimCase::of(quota, 50, usize::try_from(senders).unwrap(), SimMode::Mixed);
            let case = SimCase { faults: *faults, input: Some(rate), seconds: 180, backlog, seed, ..case };
            let written = rate * seconds_of(case.seconds + backlog);
            for sender in SimWorld::run(case) {
                let share = sender.sum(0, case.seconds, |second| second.accepted) / written;
                assert!(share >= 0.97, "{share:.3} of what was written is delivered: {case:?}");
            }
        }
    }
}

#[test]
fn refusals_whatever_the_rate_hold_up_no_stream() {
    check_input(1, None, 0);
}

#[test]
fn refusals_whatever_the_rate_hold_up_no_stream_that_has_to_catch_up() {
    check_input(1, None, 60);
}

#[test]
fn refusals_whatever_the_rate_hold_up_no_stream_below_its_quota() {
    check_input(1, Some(0.7), 0);
}

#[test]
fn refusals_whatever_the_rate_hold_up_none_of_four_streams_below_the_quota_that_they_share() {
    check_input(4, Some(0.6), 0);
}
