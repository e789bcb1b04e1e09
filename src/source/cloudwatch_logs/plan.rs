//! Which span of a log group is asked for next, so that late events are found. Pure: times are arguments, in milliseconds since 1970.
//!
//! Events appear out of order: hours after their timestamp, if their sender was cut off. So spans of the past are read again, in tiers:
//! the shortest with every poll, longer ones more seldom, and the longest, the window, often enough that what is as late as that is
//! found. What was seen before is told by its id.
//!
//! Each tier has a *floor*: what comes before it was read at a time when it could not change any more, as far as the tier reaches.
//! A span is read in *slices*, each of which is a request of its own that is followed page by page to its end; only then do floors
//! move. Of an event that appears at most a window after its timestamp, this loses nothing: the last floor passes a timestamp only
//! by a slice that covered it, and that began later than the event may have appeared.

/// Log events may be so far ahead of the service's clock:
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.
const MOST_AHEAD: i64 = 2 * HOUR;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How many tiers there are; those that the window cuts are alike.
pub(super) const TIERS: usize = 4;

/// The pause after a poll that brought something.
const BUSY_PAUSE: i64 = SECOND;

/// The longest pause of a group without news, if all can be asked so often.
const IDLE_PAUSE: i64 = 5 * SECOND;

/// The share of the calls that polls without news may take: four of five.
const IDLE_SHARE: (i64, i64) = (4, 5);

/// Reading a tier again takes one of so many calls at most, unless its time has come.
const LATE_SHARE: i64 = 30;

/// The span of the first slice, and the longest.
const FIRST_SLICE: i64 = HOUR;
const LONGEST_SLICE: i64 = 30 * DAY;
const SHORTEST_SLICE: i64 = SECOND;

/// A slice of so few pages makes the next one longer, and one of so many makes it shorter.
const FEW_PAGES: u32 = 4;
const MANY_PAGES: u32 = 50;

/// A tier of so few pages and events is read with each poll.
const CHEAP_PAGES: u32 = 2;
const CHEAP_EVENTS: usize = 500;

/// After so many empty pages with one and the same token, a slice begins again.
const MOST_STUCK: u32 = 10;

/// A token is good for a day; one of this age is not used any more.
const OLDEST_TOKEN: i64 = 23 * HOUR;

/// The floors of all tiers, shortest tier first, so that none is before the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Floors(pub(super) [i64; TIERS]);

impl Floors {
    /// Nothing was read yet; what comes before `start` is not wanted.
    pub(super) const fn at(start: i64) -> Self {
        Self([start; TIERS])
    }

    /// Nothing is asked for before this.
    pub(super) fn last(&self) -> i64 {
        self.0.iter().copied().min().unwrap_or(0)
    }

    /// A slice from `from` to `end` was read, beginning at `began`.
    fn cover(&mut self, from: i64, end: i64, began: i64, widths: &[i64; TIERS]) {
        for (floor, width) in self.0.iter_mut().zip(widths) {
            if (from..end).contains(floor) {
                *floor = end.min(began.saturating_sub(*width)).max(*floor);
            }
        }
    }
}

/// What is asked for first: new events, or late ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Urgency {
    Fresh,
    Late,
}

/// A page to be asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PageAsk {
    /// The tier that it is read for.
    pub(super) tier: usize,
    /// The first millisecond.
    pub(super) from: i64,
    /// The last millisecond.
    pub(super) to: i64,
    /// Where the slice goes on.
    pub(super) token: Option<String>,
}

/// What came of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct PageResult {
    /// Where the slice goes on; none: it is read.
    pub(super) token: Option<String>,
    /// How many events it held.
    pub(super) events: usize,
    /// Whether one of them was not known.
    pub(super) is_news: bool,
}

#[derive(Clone, Debug)]
struct TierPlan {
    width: i64,
    /// Reads again so long after the last time at the latest.
    every: i64,
    /// When it is read next.
    due: i64,
    round: Option<Round>,
}

/// One reading of a tier's span.
#[derive(Clone, Debug)]
struct Round {
    /// Where the next slice begins.
    at: i64,
    /// Where it ends, without this millisecond; none: as far ahead as events can be.
    until: Option<i64>,
    cost: RoundCost,
    is_news: bool,
    slice: Option<Slice>,
}

/// What a round has read.
#[derive(Clone, Copy, Debug, Default)]
struct RoundCost {
    pages: u32,
    events: usize,
}

impl RoundCost {
    const fn is_cheap(self) -> bool {
        self.pages <= CHEAP_PAGES && self.events <= CHEAP_EVENTS
    }
}

/// A request under way, page by page.
#[derive(Clone, Debug)]
struct Slice {
    from: i64,
    /// The last millisecond.
    to: i64,
    is_last: bool,
    began: i64,
    token: Option<String>,
    pages: u32,
    /// Pages in a row that were empty and came with the same token.
    stuck: u32,
}

/// What a run with `--once` reads: up to this, and then it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnceUntil(pub(super) i64);

/// The plan of one log group.
#[derive(Clone, Debug)]
pub(super) struct GroupPlan {
    /// Nothing is asked for before it.
    begin: i64,
    floors: Floors,
    tiers: [TierPlan; TIERS],
    /// Up to this tier, all are read with each poll, since that costs no more.
    reach: usize,
    slice: i64,
    pause: i64,
    once: Option<OnceUntil>,
    is_done: bool,
    /// When the last poll that came to its end began.
    polled: Option<i64>,
    /// The latest time that was ever told: what the floors were made from.
    clock: i64,
}

/// Where reading goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PlanStart {
    /// Nothing is asked for before it.
    pub(super) begin: i64,
    pub(super) floors: Floors,
    /// The latest time at which floors were moved.
    pub(super) clock: i64,
}

impl GroupPlan {
    /// Goes on from where an earlier one stood; all tiers are due at `now`.
    pub(super) fn new(start: PlanStart, window: i64, once: Option<OnceUntil>, now: i64) -> Self {
        let PlanStart { begin, floors, clock } = start;
        let widths = widths(window);
        let tier = |width: i64| TierPlan { width, every: every(width), due: now, round: None };
        let reach = if once.is_some() { TIERS - 1 } else { 0 };
        let slice = FIRST_SLICE;
        let tiers = widths.map(tier);
        let (pause, is_done, polled) = (BUSY_PAUSE, false, None);
        Self { begin, floors, tiers, reach, slice, pause, once, is_done, polled, clock }
    }

    /// Where another plan would go on.
    pub(super) const fn reached(&self) -> PlanStart {
        PlanStart { begin: self.begin, floors: self.floors, clock: self.clock }
    }

    /// Whether a run with `--once` has read all of it.
    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// When the last poll began that was read to its end.
    pub(super) const fn polled(&self) -> Option<i64> {
        self.polled
    }

    /// From when on a page may be asked for; none: there is none.
    pub(super) fn ready(&self, urgency: Urgency) -> Option<i64> {
        match urgency {
            Urgency::Fresh => self.tiers.first().filter(|_| !self.is_done).map(|tier| tier.due),
            Urgency::Late => self.late_tiers().map(|(_, tier)| tier.due).min(),
        }
    }

    /// The clock was set back by so much: what was to be done then is to be done now.
    pub(super) fn set_back(&mut self, by: i64) {
        for tier in &mut self.tiers {
            tier.due = tier.due.saturating_sub(by);
        }
    }

    /// Shortens the window to what comes after `at`: what is later is not found any more, and need not be remembered.
    pub(super) fn forget_before(&mut self, at: i64) {
        // What the shortest tier has not read is kept, whatever its age.
        let at = at.min(self.floors.0.first().copied().unwrap_or(at));
        for floor in &mut self.floors.0 {
            *floor = at.max(*floor);
        }
    }

    fn late_tiers(&self) -> impl Iterator<Item = (usize, &TierPlan)> {
        let reach = if self.is_done { TIERS } else { self.reach };
        self.tiers.iter().enumerate().filter(move |(number, _)| *number > reach)
    }

    /// The page that is next; none: nothing is due.
    pub(super) fn ask(&mut self, urgency: Urgency, now: i64) -> Option<PageAsk> {
        loop {
            let number = match urgency {
                Urgency::Fresh => (!self.is_done).then_some(0),
                Urgency::Late => self.late_tiers().min_by_key(|(_, tier)| tier.due).map(|(number, _)| number),
            }?;
            if self.tiers.get(number)?.due > now {
                return None;
            }
            if let Some(ask) = self.ask_tier(number, now) {
                return Some(ask);
            }
            // Nothing lies between this tier and the one before it.
            self.end_round(number, RoundCost::default(), false, now, 0);
        }
    }

    fn ask_tier(&mut self, number: usize, now: i64) -> Option<PageAsk> {
        self.clock = self.clock.max(now);
        let (fresh_begin, late_begin) = (self.begins(self.reach, now), self.begins(number, now));
        let shorter = number.checked_sub(1).and_then(|before| self.floors.0.get(before)).copied();
        let end = self.once.map_or_else(|| now.saturating_add(MOST_AHEAD), |until| until.0);
        let tier = self.tiers.get_mut(number)?;
        let begin = if number == 0 { fresh_begin } else { late_begin };
        let round = tier.round.get_or_insert(Round {
            at: begin,
            until: shorter,
            cost: RoundCost::default(),
            is_news: false,
            slice: None,
        });
        if round.slice.as_ref().is_some_and(|slice| now.saturating_sub(slice.began) > OLDEST_TOKEN) {
            // It has more pages than calls reach for in a day: as long as it was, it would never come to its end.
            round.slice = None;
            self.slice = halved(self.slice);
        }
        let last = round.until.map_or(end, |until| until.saturating_sub(1));
        if last < round.at && round.slice.is_none() {
            return None;
        }
        let (at, span) = (round.at, self.slice);
        let slice = round.slice.get_or_insert_with(|| {
            // The future is part of the last slice, since it is mostly empty.
            let is_last = at.saturating_add(span) >= last.min(now);
            let to = if is_last { last } else { at.saturating_add(span).saturating_sub(1) };
            Slice { from: at, to, is_last, began: now, token: None, pages: 0, stuck: 0 }
        });
        Some(PageAsk { tier: number, from: slice.from, to: slice.to, token: slice.token.clone() })
    }

    /// Where a tier is read from. While a clock that was set back has not come to where it was, floors lie too late by as much.
    fn begins(&self, number: usize, now: i64) -> i64 {
        let floor = self.floors.0.get(number).copied().unwrap_or(now);
        floor.saturating_sub(self.clock.saturating_sub(now).max(0)).max(self.begin)
    }

    /// A page of this tier was read. `interval` is the time between two calls of one group, if all log groups have equal shares.
    pub(super) fn answered(&mut self, number: usize, now: i64, page: PageResult, interval: i64) {
        let Some(tier) = self.tiers.get_mut(number) else { return };
        tier.due = now;
        let Some(round) = &mut tier.round else { return };
        let Some(slice) = &mut round.slice else { return };
        slice.pages = slice.pages.saturating_add(1);
        round.cost.pages = round.cost.pages.saturating_add(1);
        round.cost.events = round.cost.events.saturating_add(page.events);
        round.is_news |= page.is_news;
        if page.token.is_some() {
            let is_stuck = page.events == 0 && page.token == slice.token;
            slice.stuck = if is_stuck { slice.stuck.saturating_add(1) } else { 0 };
            slice.token = page.token;
            if slice.stuck >= MOST_STUCK {
                round.slice = None;
                tier.due = now.saturating_add(IDLE_PAUSE);
                self.slice = halved(self.slice);
            }
            return;
        }
        let Some(slice) = round.slice.take() else { return };
        round.at = slice.to.saturating_add(1);
        let (cost, is_news) = (round.cost, round.is_news);
        let widths = self.tiers.each_ref().map(|tier| tier.width);
        self.floors.cover(slice.from, slice.to.saturating_add(1), slice.began, &widths);
        self.adapt(slice.pages);
        if slice.is_last {
            if number == 0 {
                self.polled = Some(slice.began);
            }
            self.end_round(number, cost, is_news, now, interval);
        }
    }

    /// The token of a slice is refused: the slice begins again, and the next ones are shorter.
    pub(super) fn begin_again(&mut self, number: usize) {
        let Some(tier) = self.tiers.get_mut(number) else { return };
        if let Some(round) = &mut tier.round {
            round.slice = None;
        }
        self.slice = halved(self.slice);
    }

    fn adapt(&mut self, pages: u32) {
        self.slice = match pages {
            ..=FEW_PAGES => self.slice.saturating_mul(4).min(LONGEST_SLICE),
            MANY_PAGES.. => halved(self.slice),
            _ => self.slice,
        };
    }

    fn end_round(&mut self, number: usize, cost: RoundCost, is_news: bool, now: i64, interval: i64) {
        if number == 0 {
            let idle = IDLE_PAUSE.max(interval.saturating_mul(IDLE_SHARE.1) / IDLE_SHARE.0);
            self.pause = if is_news { BUSY_PAUSE } else { self.pause.saturating_mul(2).min(idle) };
            self.pause = self.pause.max(BUSY_PAUSE);
            self.is_done = self.once.is_some();
            if !cost.is_cheap() && self.once.is_none() {
                self.reach = self.reach.saturating_sub(1);
            }
        } else if number == self.reach.saturating_add(1) && cost.is_cheap() {
            self.reach = number;
        }
        let pause = self.pause;
        if let Some(tier) = self.tiers.get_mut(number) {
            tier.round = None;
            // A tier is read more often where that takes few of the group's calls.
            let cheap = i64::from(cost.pages).saturating_mul(interval).saturating_mul(LATE_SHARE);
            let late = cheap.max(IDLE_PAUSE).min(tier.every);
            tier.due = now.saturating_add(if number == 0 { pause } else { late });
        }
    }
}

fn halved(slice: i64) -> i64 {
    (slice / 2).max(SHORTEST_SLICE)
}

/// How far each tier goes back.
fn widths(window: i64) -> [i64; TIERS] {
    [2 * MINUTE, 15 * MINUTE, 6 * HOUR, i64::MAX].map(|width| width.min(window))
}

const fn every(width: i64) -> i64 {
    if width <= 15 * MINUTE {
        5 * MINUTE
    } else if width / 6 < DAY {
        width / 6
    } else {
        DAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: PlanStart = PlanStart { begin: 1_000 * HOUR, floors: Floors::at(1_000 * HOUR), clock: 0 };

    fn token(token: &str) -> PageResult {
        PageResult { token: Some(token.to_owned()), ..PageResult::default() }
    }

    #[test]
    fn floors_move_only_past_what_was_read_to_its_end() {
        let now = START.begin + HOUR;
        let mut plan = GroupPlan::new(START, 6 * HOUR, None, now);
        let ask = plan.ask(Urgency::Fresh, now).unwrap();
        assert_eq!((ask.from, ask.token), (START.begin, None));
        plan.answered(ask.tier, now, token("a"), 0);
        assert_eq!(plan.reached().floors, START.floors, "a page is not the end");
        let ask = plan.ask(Urgency::Fresh, now).unwrap();
        assert_eq!((ask.from, ask.token.as_deref()), (START.begin, Some("a")));
        // The token is refused, and all of it is read again.
        plan.begin_again(ask.tier);
        let ask = plan.ask(Urgency::Fresh, now).unwrap();
        assert_eq!((ask.from, ask.token), (START.begin, None));
        assert_eq!(plan.reached().floors, START.floors);
        plan.answered(ask.tier, now, PageResult::default(), 0);
        assert!(plan.reached().floors.0.iter().any(|floor| *floor > START.begin));
        assert_eq!(plan.reached().floors.last(), START.begin, "what is six hours late is found yet");
    }

    #[test]
    fn a_token_that_leads_nowhere_is_given_up() {
        let mut now = START.begin + HOUR;
        let mut plan = GroupPlan::new(START, 6 * HOUR, None, now);
        for _ in 0..=MOST_STUCK {
            let ask = plan.ask(Urgency::Fresh, now).unwrap();
            plan.answered(ask.tier, now, token("same"), 0);
        }
        assert_eq!(plan.ask(Urgency::Fresh, now), None);
        now += 10 * SECOND;
        assert_eq!(plan.ask(Urgency::Fresh, now).unwrap().token, None);
    }

    #[test]
    fn a_span_with_more_pages_than_a_token_lasts_for_is_read_in_shorter_ones() {
        /// Half an hour passes between two calls, and a page has the events of a minute.
        const PACE: i64 = HOUR / 2;
        let mut now = START.begin + 40 * DAY;
        let mut plan = GroupPlan::new(START, 6 * HOUR, None, now);
        // Nothing happened for long, so that slices are as long as they may be; and then much did.
        let busy = START.begin + 20 * DAY;
        let mut read = 0;
        for _ in 0..3_000 {
            let ask = plan.ask(Urgency::Fresh, now).unwrap();
            read = if ask.token.is_some() { read + 1 } else { 1 };
            let pages = (ask.to - ask.from.max(busy)) / MINUTE + 1;
            let page = if read < pages { token(&read.to_string()) } else { PageResult::default() };
            plan.answered(ask.tier, now, page, 0);
            now += PACE;
        }
        let floor = plan.reached().floors.0[0];
        assert!(floor > busy + 12 * HOUR, "{} hours of it are read", (floor - busy) / HOUR);
    }

    #[test]
    fn a_clock_that_is_set_back_hides_nothing() {
        let now = START.begin + HOUR;
        let mut plan = GroupPlan::new(START, MINUTE, None, now);
        let until = |plan: &mut GroupPlan, end: i64| {
            let mut at = now;
            while at < end {
                at += 10 * SECOND;
                if let Some(ask) = plan.ask(Urgency::Fresh, at) {
                    plan.answered(ask.tier, at, PageResult::default(), 0);
                }
            }
        };
        until(&mut plan, now + 5 * HOUR);
        assert!(plan.reached().floors.last() >= now + 5 * HOUR - 3 * MINUTE);
        // By four hours, and what comes now has that time.
        plan.set_back(4 * HOUR);
        let ask = plan.ask(Urgency::Fresh, now + HOUR + 10 * SECOND).unwrap();
        assert!(ask.from <= now + HOUR, "{}", ask.from - now);
    }

    #[test]
    fn what_a_window_is_shortened_by_is_not_what_is_unread() {
        let now = START.begin + 10 * HOUR;
        let mut plan = GroupPlan::new(START, 6 * HOUR, None, now);
        plan.forget_before(now);
        assert_eq!(plan.reached().floors, START.floors, "nothing of it was read");
    }
}
