//! So many events of a key in a period. Pure: time is an argument, and is that of the chunk.
//!
//! The period of a key begins with its first event, and the next one with the first event after its end. Keys are known by a hash, and
//! so many are that were met last: a key that was forgotten begins anew.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{RouteThrottle, Template};
use crate::event::{Origin, Timestamp};

/// A route's limit, and what its keys have used of it.
#[derive(Debug)]
pub struct Throttle {
    events: u64,
    /// In milliseconds.
    per: u64,
    by: Option<Template>,
    /// The lock covers a look-up.
    keys: Mutex<KeyTable>,
    /// When the last key was told of that is over its limit.
    told: AtomicI64,
}

/// The keys that were met last.
#[derive(Debug, Default)]
struct KeyTable {
    windows: HashMap<u64, KeyEntry>,
    /// Keys by when they were met.
    by_use: BTreeMap<u64, u64>,
    uses: u64,
}

#[derive(Debug)]
struct KeyEntry {
    window: Arc<KeyWindow>,
    used: u64,
}

/// When a key's period began, in milliseconds since 1970, and in the low bits how many events it had: one more than the limit once one
/// was refused.
#[derive(Debug, Default)]
struct KeyWindow(AtomicU64);

/// What becomes of an event of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ThrottleVerdict {
    Admitted,
    /// It is the first of its period.
    FirstRefused,
    Refused,
}

/// The key of one origin's events.
#[derive(Clone, Debug)]
pub(super) struct ThrottledKey {
    throttle: Arc<Throttle>,
    hash: u64,
    text: Arc<str>,
    window: Arc<KeyWindow>,
}

/// So many keys are known at once.
const MOST_KEYS: usize = 10_000;

/// A million events, and one that was refused.
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// A clock that goes back by more than this, beside a period, begins a new one.
const BACK: u64 = 3_600_000;

/// Keys that are over their limit are told of no more often than this, in milliseconds.
const TELL_EVERY: i64 = 10_000;

impl Throttle {
    pub(super) fn new(config: &RouteThrottle) -> Self {
        Self {
            events: config.events.clamp(1, COUNT - 1),
            per: milliseconds(config.per).max(1),
            by: config.by.clone(),
            keys: Mutex::default(),
            told: AtomicI64::new(i64::MIN),
        }
    }

    /// The limit in words.
    #[must_use]
    pub fn limit(&self) -> (u64, Duration) {
        (self.events, Duration::from_millis(self.per))
    }

    /// Whether a key that is over its limit is told of now.
    #[must_use]
    pub fn may_tell(&self, now: Timestamp) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let is_due = now.0 < told || now.0.saturating_sub(told) >= TELL_EVERY;
        is_due && self.told.compare_exchange(told, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn window(&self, key: u64) -> Arc<KeyWindow> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).window(key)
    }
}

impl KeyTable {
    /// A key's window; of too many keys, the one that was met longest ago is forgotten.
    fn window(&mut self, key: u64) -> Arc<KeyWindow> {
        self.uses = self.uses.wrapping_add(1);
        let uses = self.uses;
        if let Some(entry) = self.windows.get_mut(&key) {
            self.by_use.remove(&entry.used);
            entry.used = uses;
            self.by_use.insert(uses, key);
            return Arc::clone(&entry.window);
        }
        if self.windows.len() >= MOST_KEYS
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.windows.remove(&oldest);
        }
        let window = Arc::<KeyWindow>::default();
        self.windows.insert(key, KeyEntry { window: Arc::clone(&window), used: uses });
        self.by_use.insert(uses, key);
        window
    }
}

impl ThrottledKey {
    /// The key of events of this origin. Those that lack a field have one in common.
    pub(super) fn of(throttle: &Arc<Throttle>, origin: &Origin) -> Self {
        let text = throttle.by.as_ref().map_or_else(String::new, |by| by.render(origin).unwrap_or_default());
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(&text);
        let window = throttle.window(hash);
        Self { throttle: Arc::clone(throttle), hash, text: text.into(), window }
    }

    /// Looks the key up again: it may have been forgotten meanwhile.
    pub(super) fn renew(&mut self) {
        self.window = self.throttle.window(self.hash);
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Whether the route is for one event more of the key. What continues an event has the fate of the event, and does not count.
    pub(super) fn admit(&self, now: Timestamp, continues: bool) -> ThrottleVerdict {
        let Throttle { events, per, .. } = *self.throttle;
        let now = u64::try_from(now.0).unwrap_or(0) & (u64::MAX >> COUNT_BITS);
        self.window.admit(now, continues, events, per)
    }
}

impl KeyWindow {
    fn admit(&self, now: u64, continues: bool, events: u64, per: u64) -> ThrottleVerdict {
        let mut verdict = ThrottleVerdict::Refused;
        let next = |word: u64| {
            let (begun, used) = (word >> COUNT_BITS, word & COUNT);
            let is_over =
                now >= begun.saturating_add(per) || begun > now.saturating_add(per).saturating_add(BACK);
            let (begun, used, outcome) = match used {
                _ if continues && used > events && !is_over => return None,
                _ if continues => (begun, used, ThrottleVerdict::Admitted),
                0 => (now, 1, ThrottleVerdict::Admitted),
                _ if is_over => (now, 1, ThrottleVerdict::Admitted),
                used if used < events => (begun, used.saturating_add(1), ThrottleVerdict::Admitted),
                used if used == events => (begun, used.saturating_add(1), ThrottleVerdict::FirstRefused),
                _ => return None,
            };
            verdict = outcome;
            Some(begun << COUNT_BITS | used)
        };
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => verdict,
            Err(_) => ThrottleVerdict::Refused,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Field;

    fn throttle(events: u64, per: Duration) -> Arc<Throttle> {
        let by = Template::parse("{log_group}").ok();
        Arc::new(Throttle::new(&RouteThrottle { events, per, by }))
    }

    fn key(throttle: &Arc<Throttle>, group: &str) -> ThrottledKey {
        ThrottledKey::of(throttle, &Origin::new("subs", "").with(Field::LogGroup, group))
    }

    const START: i64 = 1_795_309_323_004;

    #[test]
    fn each_key_has_so_many_events_in_a_period_and_the_first_refused_is_told() {
        use ThrottleVerdict::{Admitted, FirstRefused, Refused};
        let throttle = throttle(2, Duration::from_secs(1));
        let (a, b) = (key(&throttle, "a"), key(&throttle, "b"));
        let admit = |key: &ThrottledKey, after: i64| key.admit(Timestamp(START + after), false);
        assert_eq!(
            [0, 10, 20, 30, 999].map(|at| admit(&a, at)),
            [Admitted, Admitted, FirstRefused, Refused, Refused]
        );
        assert_eq!(admit(&b, 999), Admitted, "another key has its own");
        // The next period begins with its first event.
        assert_eq!(
            [1_500, 2_000, 2_400, 2_500].map(|at| admit(&a, at)),
            [Admitted, Admitted, FirstRefused, Admitted]
        );
        // A worker that is late begins none.
        assert_eq!([2_600, 1_000].map(|at| admit(&a, at)), [Admitted, FirstRefused]);
        // A clock that is set back does.
        assert_eq!(admit(&a, -10_000_000), Admitted);
    }

    #[test]
    fn what_continues_an_event_has_its_fate_and_does_not_count() {
        let key = key(&throttle(1, Duration::from_secs(1)), "a");
        let at = Timestamp(START);
        assert_eq!(key.admit(at, false), ThrottleVerdict::Admitted);
        assert_eq!(key.admit(at, true), ThrottleVerdict::Admitted);
        assert_eq!(key.admit(at, false), ThrottleVerdict::FirstRefused);
        assert_eq!(key.admit(at, true), ThrottleVerdict::Refused);
    }

    #[test]
    fn events_without_the_field_have_one_key_and_few_keys_are_told() {
        let throttle = throttle(1, Duration::from_secs(1));
        let lacking = || ThrottledKey::of(&throttle, &Origin::new("app", "h"));
        assert_eq!(lacking().admit(Timestamp(START), false), ThrottleVerdict::Admitted);
        assert_eq!(lacking().admit(Timestamp(START), false), ThrottleVerdict::FirstRefused);
        let tell = |after: i64| throttle.may_tell(Timestamp(START + after));
        assert_eq!([0, 1, 9_999, 10_000, 0].map(tell), [true, false, false, true, true]);
    }

    #[test]
    fn the_key_that_was_met_longest_ago_is_forgotten() {
        let throttle = throttle(1, Duration::from_hours(1));
        let mut first = key(&throttle, "first");
        assert_eq!(first.admit(Timestamp(START), false), ThrottleVerdict::Admitted);
        let others = |from: usize, to: usize| (from..to).for_each(|n| drop(key(&throttle, &n.to_string())));
        others(0, MOST_KEYS - 1);
        first.renew();
        assert_eq!(first.admit(Timestamp(START), false), ThrottleVerdict::FirstRefused, "it is known");
        others(MOST_KEYS, 2 * MOST_KEYS);
        first.renew();
        assert_eq!(first.admit(Timestamp(START), false), ThrottleVerdict::Admitted, "it begins anew");
        let keys = throttle.keys.lock().unwrap();
        assert_eq!((keys.windows.len(), keys.by_use.len()), (MOST_KEYS, MOST_KEYS));
    }

    proptest::proptest! {
        /// Whatever comes when, from however many workers: no period has more, and nothing is refused while there is room.
        #[test]
        fn no_period_has_more_than_the_limit(
            events in 1_u64..20,
            per in 1_u64..2_000,
            pauses in proptest::collection::vec(0_i64..300, 1..400),
        ) {
            let throttle = throttle(events, Duration::from_millis(per));
            let key = key(&throttle, "a");
            let per = i64::try_from(per).unwrap();
            let (mut now, mut begun, mut used) = (START, i64::MIN, 0);
            for pause in pauses {
                now += pause;
                if begun == i64::MIN || now >= begun + per {
                    (begun, used) = (now, 0);
                }
                used += 1;
                let expected = if used <= events { ThrottleVerdict::Admitted }
                    else if used == events + 1 { ThrottleVerdict::FirstRefused }
                    else { ThrottleVerdict::Refused };
                proptest::prop_assert_eq!(key.admit(Timestamp(now), false), expected);
            }
        }
    }

    #[test]
    fn workers_side_by_side_admit_no_more() {
        let throttle = throttle(1_000, Duration::from_hours(1));
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let key = key(&throttle, "a");
                    let all = (0..1_000)
                        .filter(|_| key.admit(Timestamp(START), false) == ThrottleVerdict::Admitted);
                    admitted.fetch_add(all.count() as u64, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1_000);
    }
}
