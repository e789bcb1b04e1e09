//! Which of its matches a route is for: a sample of them, and so many of a key in a period. Pure: time is an argument.

use std::sync::Arc;
use std::time::Duration;

use super::filtered::{FilterReason, Filtered};
use super::sample::SampleShare;
use super::throttle::{Throttle, ThrottleVerdict, ThrottledKey};
use crate::config::Route;
use crate::event::{Origin, Timestamp};

/// What limits look at.
#[derive(Clone, Copy, Debug)]
pub struct LimitedEvent<'a> {
    /// The message.
    pub message: &'a [u8],
    /// A hash of its id, see [`sample_hash`](super::sample_hash); of no account where no route takes a sample.
    pub id: u64,
    /// When its chunk was read.
    pub now: Timestamp,
    /// Whether it is a part of an event, behind the first.
    pub continues: bool,
}

/// That a route keeps an event from its sinks.
#[derive(Clone, Copy, Debug)]
pub struct Withheld<'p> {
    /// The route, and why.
    pub by: Filtered,
    /// The limit, and the key that is over it, where the event is the first of its period that is.
    pub first_of: Option<OverLimit<'p>>,
}

/// A key that is over its limit.
#[derive(Clone, Copy, Debug)]
pub struct OverLimit<'p> {
    throttle: &'p Throttle,
    /// What the key was made of.
    pub key: &'p str,
}

impl OverLimit<'_> {
    /// The limit, if the key is to be told of: so many events in so long.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> Option<(u64, Duration)> {
        self.throttle.may_tell(now).then(|| self.throttle.limit())
    }
}

/// The limits of a route.
#[derive(Debug, Default)]
pub(super) struct RouteLimits {
    sample: Option<SampleShare>,
    throttle: Option<Arc<Throttle>>,
}

/// The limits of a route for events of one origin.
#[derive(Debug)]
pub(super) struct StepLimits {
    sample: Option<SampleShare>,
    throttle: Option<ThrottledKey>,
}

impl RouteLimits {
    pub(super) fn new(route: &Route) -> Self {
        let throttle = route.throttle.as_ref().map(|throttle| Arc::new(Throttle::new(throttle)));
        Self { sample: route.sample.map(SampleShare::new), throttle }
    }

    pub(super) const fn samples(&self) -> bool {
        self.sample.is_some()
    }

    /// For events of this origin; none: there are none.
    pub(super) fn of(&self, origin: &Origin) -> Option<StepLimits> {
        let throttle = self.throttle.as_ref().map(|throttle| ThrottledKey::of(throttle, origin));
        let has_any = self.sample.is_some() || throttle.is_some();
        has_any.then_some(StepLimits { sample: self.sample, throttle })
    }
}

impl StepLimits {
    /// Looks its key up again.
    pub(super) fn renew(&mut self) {
        self.throttle.iter_mut().for_each(ThrottledKey::renew);
    }

    /// Why the route with this number is not for an event; none: it is.
    pub(super) fn refuse(&self, route: usize, event: &LimitedEvent<'_>) -> Option<Withheld<'_>> {
        let by = |reason| Filtered { route: Some(route), reason };
        if self.sample.is_some_and(|sample| !sample.has(event.id)) {
            return Some(Withheld { by: by(FilterReason::Sampled), first_of: None });
        }
        let key = self.throttle.as_ref()?;
        let over = || OverLimit { throttle: key.throttle(), key: key.text() };
        let first_of = match key.admit(event.now, event.continues) {
            ThrottleVerdict::Admitted => return None,
            ThrottleVerdict::FirstRefused => Some(over()),
            ThrottleVerdict::Refused => None,
        };
        Some(Withheld { by: by(FilterReason::Throttled), first_of })
    }
}
