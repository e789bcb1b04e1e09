//! Where an event goes, by its route's limits too.

use tracing::warn;

use super::encoded::count;
use super::routing::Routing;
use crate::batch::unescape;
use crate::event::{Event, LONGEST_ID, Message};
use crate::route::{Decision, LimitedEvent, Withheld, sample_hash};

impl Routing<'_> {
    /// Where an event goes: by the origin alone, or by its message, its id and what came before it, too.
    pub(super) fn decide(&mut self, event: &Event<'_>) -> Option<Decision> {
        let (_, plan) = self.state.plan.as_ref()?;
        if let Some(fixed) = plan.fixed() {
            return Some(fixed);
        }
        // Without limits, nobody looks at it.
        let id = if plan.is_limited() { self.sampled_by(event) } else { 0 };
        let state = &mut *self.state;
        let (_, plan) = state.plan.as_ref()?;
        let message = match event.message {
            Message::Raw(bytes) => bytes,
            Message::Escaped(text) if !text.contains('\\') => text.as_bytes(),
            Message::Escaped(text) => {
                state.unescaped.clear();
                unescape(text, &mut state.unescaped);
                &state.unescaped
            }
        };
        if !plan.is_limited() {
            return Some(plan.decide(message));
        }
        let continues = event.part.is_some_and(|part| part.offset > 0);
        let (now, withheld) = (self.read_at, &mut self.encoded.withheld);
        let event = LimitedEvent { message, id, now, continues };
        Some(plan.decide_limited(&event, &mut |why| {
            count(withheld, why.by, 1);
            tell(&why, &event);
        }))
    }

    /// What samples choose an event by.
    fn sampled_by(&self, event: &Event<'_>) -> u64 {
        let mut buffer = [0; LONGEST_ID];
        let own = self.id().filter(|_| event.id.is_none()).map(|id| id.text(&mut buffer));
        event.id.or(own).map_or(0, |id| sample_hash(id.as_bytes()))
    }

    /// A chunk begins.
    pub(super) fn renew_keys(&mut self) {
        if let Some((_, plan)) = &mut self.state.plan
            && plan.is_limited()
        {
            plan.renew();
        }
    }
}

/// Says that a key is over its limit: once a period, and of all keys of a route once in a while.
fn tell(why: &Withheld<'_>, event: &LimitedEvent<'_>) {
    if let (Some(over), Some(route)) = (why.first_of, why.by.route)
        && let Some((events, per)) = over.told(event.now)
    {
        warn!(
            route,
            key = over.key,
            "a key has more than {events} events in {per:?}: the route drops the others, and counts them"
        );
    }
}
