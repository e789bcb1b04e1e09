//! A day of events that come late, read by plan, turns and budget alone: no clock, no task, no byte.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::super::call_budget::CallBudget;
use super::super::plan::{Floors, GroupPlan, PageAsk, PageResult, PlanStart, Urgency};
use super::super::turns::{GroupReadiness, Turns};
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
    ask: PageAsk,
    answered: i64,
}

/// How long a call takes.
const LATENCY: i64 = 150;

/// A reader of the day.
struct Reader<'d> {
    day: &'d Day,
    plans: Vec<GroupPlan>,
    turns: Turns,
    budget: CallBudget,
    began: Instant,
    under_way: Vec<Call>,
    result: DayResult,
}

impl<'d> Reader<'d> {
    fn new(day: &'d Day) -> Self {
        let start = PlanStart { begin: DAWN, floors: Floors::at(DAWN), clock: 0 };
        let plan = |_: &ModelGroup| GroupPlan::new(start, day.window, None, DAWN);
        let began = Instant::now();
        let result = DayResult { found: vec![HashMap::new(); day.groups.len()], ..DayResult::default() };
        Self {
            day,
            plans: day.groups.iter().map(plan).collect(),
            turns: Turns::default(),
            budget: CallBudget::new(day.calls, began),
            began,
            under_way: Vec::new(),
            result,
        }
    }

    fn at(&self, now: i64) -> Instant {
        self.began + Duration::from_millis(u64::try_from(now - DAWN).unwrap())
    }

    /// Makes one call, or says when to look again.
    fn call(&mut self, now: i64) -> Result<(), i64> {
        let busy: HashSet<usize> = self.under_way.iter().map(|call| call.group).collect();
        let idle = self.plans.iter().enumerate().filter(|(group, _)| !busy.contains(group));
        let readiness = idle.map(|(group, plan)| GroupReadiness {
            group,
            fresh: plan.ready(Urgency::Fresh),
            late: plan.ready(Urgency::Late),
        });
        let (group, urgency) =
            self.turns.next(readiness, now).map_err(|ready| ready.unwrap_or(i64::MAX).max(now + 1))?;
        let taken = self.budget.take(self.at(now));
        taken.map_err(|later| DAWN + i64::try_from((later - self.began).as_millis()).unwrap() + 1)?;
        self.turns.take(urgency);
        match self.plans[group].ask(urgency, now) {
            None => self.budget.give_back(),
            Some(ask) => {
                self.result.calls += 1;
                self.result.late_calls += u64::from(urgency == Urgency::Late);
                self.under_way.push(Call { group, ask, answered: now + LATENCY });
            }
        }
        Ok(())
    }

    fn answer(&mut self, call: Call, now: i64) {
        let Call { group, ask, .. } = call;
        if self.day.throttled > 0 && self.result.calls.is_multiple_of(self.day.throttled) {
            self.result.throttled += 1;
            return self.budget.throttled(self.at(now));
        }
        let page = self.day.groups[group].page(ask.from, ask.to, ask.token.as_deref(), now, self.day.page);
        let known = &mut self.result.found[group];
        let mut is_news = false;
        for (_, event) in &page.events {
            is_news |= !known.contains_key(&event.id);
            self.result.again += u64::from(known.contains_key(&event.id));
            known.entry(event.id).or_insert(now);
        }
        let round = f64::from(u32::try_from(self.day.groups.len()).unwrap()) / self.budget.rate();
        let interval = i64::try_from(Duration::from_secs_f64(round).as_millis()).unwrap();
        let page = PageResult { token: page.token, events: page.events.len(), is_news };
        self.plans[group].answered(ask.tier, now, page, interval);
    }
}

fn live(day: &Day) -> DayResult {
    let mut reader = Reader::new(day);
    let (mut now, end) = (DAWN, DAWN + day.hours * HOUR);
    while now < end {
        let Err(wake) = reader.call(now) else { continue };
        let answered = reader.under_way.iter().map(|call| call.answered).min();
        now = answered.into_iter().chain([wake, end]).min().unwrap().max(now);
        let ended: Vec<Call> = reader.under_way.extract_if(.., |call| call.answered <= now).collect();
        for call in ended {
            reader.answer(call, now);
        }
    }
    reader.result
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
    let most = 3 * 3_600 * 31 / 10;
    assert!(result.calls < most, "{} calls", result.calls);
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
    let day = Day { groups, hours: 3, window: 6 * HOUR, calls: 1.0, page: 1_000, throttled: 0 };
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_event_that_is_as_late_as_the_window_is_found(
        events in proptest::collection::vec((0_usize..3, 0..35 * MINUTE, 0..=10 * MINUTE), 1..80),
        page in 1_usize..20,
        throttled in 0_u64..9,
    ) {
        let mut groups = vec![ModelGroup::default(); 3];
        for (id, (group, time, lateness)) in (0..).zip(&events) {
            let time = DAWN + time;
            groups[*group].put(time, ModelEvent { id, stream: 0, visible: time + lateness });
        }
        // A service that throttles everything would not be read at all.
        let throttled = if throttled < 3 { 0 } else { throttled };
        let day = Day { groups, hours: 1, window: 10 * MINUTE, calls: 1.0, page, throttled };
        let result = live(&day);
        for (group, found) in day.groups.iter().zip(&result.found) {
            prop_assert!(group.ids().iter().all(|id| found.contains_key(id)), "{} calls", result.calls);
        }
    }
}
