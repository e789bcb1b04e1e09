//! A day of events that come late, read by plan, turns and budget alone: no clock, no task, no byte.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::super::call_budget::CallBudget;
use super::super::plan::{Floors, GroupPlan, PageResult, PlanStart, Urgency};
use super::super::turns::{Readiness, Turns};
use super::model::{ModelEvent, ModelGroup};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A day's first millisecond.
const DAWN: i64 = 1_700_000_000_000;

/// What happens.
struct Day {
    groups: Vec<ModelGroup>,
    hours: i64,
    window: i64,
    calls: f64,
    /// Most events of a page.
    page: usize,
    /// One call of so many is throttled.
    throttled: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct DayResult {
    /// Ids that were found, by group, and when for the first time.
    found: Vec<HashMap<u64, i64>>,
    /// Pages held so many events that were known.
    again: u64,
    calls: u64,
    late_calls: u64,
    throttled: u64,
}

struct Call {
    group: usize,
    tier: usize,
    from: i64,
    to: i64,
    token: Option<String>,
    answered: i64,
    is_late: bool,
}

/// How long a call takes.
const LATENCY: i64 = 150;

fn live(day: &Day) -> DayResult {
    let start = PlanStart { begin: DAWN, floors: Floors::at(DAWN), clock: 0 };
    let mut plans: Vec<GroupPlan> =
        day.groups.iter().map(|_| GroupPlan::new(start, day.window, None, DAWN)).collect();
    let began = Instant::now();
    let at = |now: i64| began + Duration::from_millis(u64::try_from(now - DAWN).unwrap());
    let mut budget = CallBudget::new(day.calls, began);
    let mut turns = Turns::default();
    let mut result = DayResult { found: vec![HashMap::new(); day.groups.len()], ..DayResult::default() };
    let mut under_way: Vec<Call> = Vec::new();
    let (mut now, end) = (DAWN, DAWN + day.hours * HOUR);
    while now < end {
        let busy: HashSet<usize> = under_way.iter().map(|call| call.group).collect();
        let readiness =
            plans.iter().enumerate().filter(|(group, _)| !busy.contains(group)).map(|(group, plan)| {
                Readiness { group, fresh: plan.ready(Urgency::Fresh), late: plan.ready(Urgency::Late) }
            });
        let mut wake = under_way.iter().map(|call| call.answered).min().unwrap_or(end);
        match turns.next(readiness, now) {
            Err(ready) => wake = wake.min(ready.unwrap_or(end).max(now + 1)),
            Ok((group, urgency)) => match budget.take(at(now)) {
                Err(later) => {
                    wake = wake.min(DAWN + i64::try_from((later - began).as_millis()).unwrap() + 1);
                }
                Ok(()) => {
                    turns.take(urgency);
                    match plans[group].ask(urgency, now) {
                        None => budget.give_back(),
                        Some(ask) => {
                            let is_late = urgency == Urgency::Late;
                            result.calls += 1;
                            result.late_calls += u64::from(is_late);
                            let (answered, token) = (now + LATENCY, ask.token);
                            let (tier, from, to) = (ask.tier, ask.from, ask.to);
                            under_way.push(Call { group, tier, from, to, token, answered, is_late });
                        }
                    }
                    continue;
                }
            },
        }
        now = wake.max(now);
        for call in under_way.extract_if(.., |call| call.answered <= now) {
            assert!(call.to >= call.from || call.is_late, "{} {}", call.from, call.to);
            if day.throttled > 0 && result.calls % day.throttled == 0 {
                result.throttled += 1;
                budget.throttled(at(now));
                continue;
            }
            let page = day.groups[call.group].page(call.from, call.to, call.token.as_deref(), now, day.page);
            let known = &mut result.found[call.group];
            let mut is_news = false;
            for (_, event) in &page.events {
                is_news |= !known.contains_key(&event.id);
                result.again += u64::from(known.contains_key(&event.id));
                known.entry(event.id).or_insert(now);
            }
            let idle = (day.groups.len() as f64 / (0.8 * budget.rate()) * 1_000.0).max(5_000.0) as i64;
            plans[call.group].answered(
                call.tier,
                now,
                PageResult { token: page.token, events: page.events.len(), is_news },
                idle,
            );
        }
    }
    result
}

/// Groups with so many events an hour, of which one of ten comes late, by at most `latest`.
fn groups(rates: &[u64], hours: i64, latest: i64, seed: u64) -> Vec<ModelGroup> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut groups = Vec::new();
    for rate in rates {
        let mut group = ModelGroup::default();
        for id in 0..rate * hours.unsigned_abs() {
            let time = DAWN + random.i64(0..hours * HOUR);
            let lateness = if random.u8(..10) == 0 { random.i64(0..latest) } else { random.i64(200..20_000) };
            group.put(time, ModelEvent { id, stream: 0, visible: time + lateness });
        }
        groups.push(group);
    }
    groups
}

#[test]
fn of_a_day_of_late_events_none_is_lost() {
    let (hours, latest) = (24, 5 * HOUR);
    // From one an hour to one in six seconds.
    let groups = groups(&[600, 120, 30, 2, 1], hours, latest, 7);
    // Whoever is late by five hours at the end has appeared five hours later, and is found within another hour and a half.
    let day = Day { groups, hours: hours + 7, window: 6 * HOUR, calls: 0.3, page: 300, throttled: 97 };
    let result = live(&day);
    for (group, found) in day.groups.iter().zip(&result.found) {
        let lost = group.ids().iter().filter(|id| !found.contains_key(id)).count();
        assert_eq!(lost, 0, "{result:?}", result = (result.calls, result.again));
    }
    let most = 0.3 * 3_600.0 * 31.0;
    assert!((result.calls as f64) < most, "{} calls", result.calls);
    assert!(
        result.throttled > 100 && result.late_calls * 2 < result.calls,
        "{} of {}",
        result.late_calls,
        result.calls
    );
}

#[test]
fn new_events_are_found_within_seconds_where_calls_suffice() {
    let groups = groups(&[300; 3], 1, MINUTE, 8);
    let day = Day { groups, hours: 1, window: 6 * HOUR, calls: 2.5, page: 1_000, throttled: 0 };
    let result = live(&day);
    let mut waits: Vec<i64> = Vec::new();
    for (group, found) in day.groups.iter().zip(&result.found) {
        let page = group.page(DAWN, DAWN + 59 * MINUTE, None, DAWN + 59 * MINUTE, usize::MAX);
        waits.extend(page.events.iter().filter_map(|(_, event)| Some(found.get(&event.id)? - event.visible)));
    }
    waits.sort_unstable();
    let (median, most) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    assert!(median < 6 * SECOND && most < 15 * SECOND, "half within {median} ms, 99 of 100 within {most} ms");
}

#[test]
fn a_flood_in_one_group_takes_nothing_from_the_others() {
    let mut groups = groups(&[60; 4], 2, MINUTE, 9);
    for id in 0..100_000 {
        groups[0].put(
            DAWN + 30 * MINUTE + 7,
            ModelEvent { id: id + 1_000_000, stream: 0, visible: DAWN + 30 * MINUTE },
        );
    }
    let day = Day { groups, hours: 2, window: 6 * HOUR, calls: 1.0, page: 1_000, throttled: 0 };
    let result = live(&day);
    assert_eq!(result.found[0].len(), day.groups[0].ids().len(), "the flood is read to its end");
    for (group, found) in day.groups.iter().zip(&result.found).skip(1) {
        let page = group.page(DAWN, DAWN + 110 * MINUTE, None, DAWN + 110 * MINUTE, usize::MAX);
        for (_, event) in page.events {
            let wait = found.get(&event.id).map(|found| found - event.visible);
            assert!(wait.is_some_and(|wait| wait < MINUTE), "{wait:?}");
        }
    }
}

#[test]
fn a_long_backlog_is_read_once() {
    // Ten hours of a busy group, all there from the beginning.
    let mut groups = groups(&[9_000], 10, MINUTE, 10);
    groups[0].created = DAWN;
    let late = 11 * HOUR;
    let start = PlanStart { begin: DAWN, floors: Floors::at(DAWN), clock: 0 };
    let mut plan = GroupPlan::new(start, 6 * HOUR, None, DAWN + late);
    let (mut now, mut read) = (DAWN + late, 0_u64);
    let mut found = HashSet::new();
    while plan.polled().is_none() {
        let urgency = if plan.ready(Urgency::Fresh).is_some_and(|at| at <= now) {
            Urgency::Fresh
        } else {
            Urgency::Late
        };
        now += 100;
        let Some(ask) = plan.ask(urgency, now) else { continue };
        let page = groups[0].page(ask.from, ask.to, ask.token.as_deref(), now, 10_000);
        read += page.events.len() as u64;
        found.extend(page.events.iter().map(|(_, event)| event.id));
        plan.answered(
            ask.tier,
            now,
            PageResult { token: page.token, events: page.events.len(), is_news: true },
            5_000,
        );
    }
    assert_eq!((found.len(), read), (90_000, 90_000));
    // What is older than the window is done for good.
    assert!(plan.reached().floors.last() > DAWN + late - 6 * HOUR - MINUTE, "{:?}", plan.reached());
}
