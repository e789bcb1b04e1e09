//! Which events go to which sinks. Pure.
//!
//! Routes are tried in order. For each sink the first route that matches and names it decides; a route that drops ends the
//! search. What an origin's metadata decides is decided once an origin, so that only routes with a `message` condition are
//! looked at again for each event.

mod filtered;
mod limits;
mod sample;
mod throttle;

use globset::{GlobBuilder, GlobMatcher};
use regex::bytes::Regex;

use crate::config::{Action, LabelName, MAX_SINKS, Route, When};
use crate::event::{Field, Origin};

pub use self::filtered::{FilterReason, Filtered};
pub use self::limits::{LimitedEvent, Withheld};
use self::limits::{RouteLimits, StepLimits};
pub use self::sample::sample_hash;
pub use self::throttle::Throttle;

/// A set of at most [`MAX_SINKS`] sinks, which is one machine word, by their places in the list that the router was given.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SinkSet(u64);

impl SinkSet {
    /// The set of one sink.
    #[must_use]
    pub fn one(index: usize) -> Self {
        Self(u32::try_from(index).ok().and_then(|index| 1u64.checked_shl(index)).unwrap_or(0))
    }

    /// The sinks' places, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            usize::try_from(lowest).ok().filter(|index| *index < MAX_SINKS)
        })
    }

    /// Whether no sink is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromIterator<usize> for SinkSet {
    fn from_iter<T: IntoIterator<Item = usize>>(indices: T) -> Self {
        indices.into_iter().fold(Self::default(), |set, index| set.with(Self::one(index)))
    }
}

/// All routes, compiled.
#[derive(Debug)]
pub struct Router {
    routes: Vec<Compiled>,
}

/// A route whose names were looked up and whose globs were compiled.
#[derive(Debug)]
struct Compiled {
    from: Vec<String>,
    fields: Vec<(Field, Globs)>,
    attributes: Vec<(String, Globs)>,
    labels: Vec<(LabelName, Globs)>,
    message: Option<Regex>,
    to: RouteTarget,
    limits: RouteLimits,
}

/// What a matching route does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RouteTarget {
    Sinks(SinkSet),
    Drop,
}

/// A glob of the configuration that cannot be compiled, or a sink that it does not have.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A condition is not a glob.
    #[error("`routes[{route}]`: `{glob}` is not a glob")]
    Glob {
        /// The route's place in the list.
        route: usize,
        /// The text at fault.
        glob: String,
        /// Why.
        source: globset::Error,
    },
    /// More sinks than a set can hold.
    #[error("{sinks} sinks are configured, at most {MAX_SINKS} can be")]
    TooManySinks {
        /// How many there are.
        sinks: usize,
    },
    /// A route names a sink that there is not.
    #[error("`routes[{route}]`: no sink is named `{sink}`")]
    Sink {
        /// The route's place in the list.
        route: usize,
        /// The name at fault.
        sink: String,
    },
}

impl Router {
    /// Compiles `routes` for these sinks; without routes, every source feeds every sink.
    ///
    /// # Errors
    /// When a glob does not compile or a sink is unknown.
    pub fn new(routes: &[Route], sinks: &[&str]) -> Result<Self, RouteError> {
        if sinks.len() > MAX_SINKS {
            return Err(RouteError::TooManySinks { sinks: sinks.len() });
        }
        if routes.is_empty() {
            let all = Compiled::everything((0..sinks.len()).collect());
            return Ok(Self { routes: vec![all] });
        }
        let compile = |(index, route)| Compiled::new(index, route, sinks);
        let routes = routes.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { routes })
    }

    /// What holds for every event of `origin`.
    #[must_use]
    pub fn plan(&self, origin: &Origin) -> Plan {
        let mut steps = Vec::new();
        for (route, compiled) in self.routes.iter().enumerate() {
            if !compiled.admits(origin) {
                continue;
            }
            let last = compiled.message.is_none() && compiled.to == RouteTarget::Drop;
            let limits = compiled.limits.of(origin);
            steps.push(Step { route, message: compiled.message.clone(), to: compiled.to, limits });
            if last {
                break;
            }
        }
        let is_limited = steps.iter().any(|step| step.limits.is_some());
        let is_fixed = !is_limited && steps.iter().all(|step| step.message.is_none());
        let fixed = is_fixed.then(|| decide(&steps, |_| true));
        Plan { steps, fixed, is_limited }
    }

    /// Whether a route is for a sample alone, so that events need ids.
    #[must_use]
    pub fn samples(&self) -> bool {
        self.routes.iter().any(|route| route.limits.samples())
    }
}

/// The routes that are left once an origin is known.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    /// The decision, when no route looks at messages.
    fixed: Option<Decision>,
    /// Whether a route is for some of its matches only.
    is_limited: bool,
}

#[derive(Debug)]
struct Step {
    route: usize,
    message: Option<Regex>,
    to: RouteTarget,
    /// None: it is for all of its matches.
    limits: Option<StepLimits>,
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// To these sinks; never none.
    Sinks(SinkSet),
    /// Nowhere.
    Filtered(Filtered),
}

impl Plan {
    /// The decision for every event of the origin, when it does not depend on messages.
    #[must_use]
    pub fn fixed(&self) -> Option<Decision> {
        self.fixed
    }

    /// The decision for an event with this message, where no route is for some of its matches only.
    #[must_use]
    pub fn decide(&self, message: &[u8]) -> Decision {
        debug_assert!(!self.is_limited, "a route is for some of its matches only");
        decide(&self.steps, |pattern| pattern.is_match(message))
    }

    /// Whether a route is for some of its matches only.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// A chunk begins: keys are looked up again.
    pub fn renew(&mut self) {
        let limits = self.steps.iter_mut().filter_map(|step| step.limits.as_mut());
        limits.for_each(StepLimits::renew);
    }

    /// The decision for an event where a route is for some of its matches only. Tells what a route keeps from its sinks; no later
    /// route gives it to these.
    #[must_use]
    pub fn decide_limited(
        &self,
        event: &LimitedEvent<'_>,
        withheld: &mut dyn FnMut(Withheld<'_>),
    ) -> Decision {
        let (mut chosen, mut kept) = (SinkSet::default(), SinkSet::default());
        let mut filtered = None;
        for step in &self.steps {
            if !step.message.as_ref().is_none_or(|pattern| pattern.is_match(event.message)) {
                continue;
            }
            let RouteTarget::Sinks(sinks) = step.to else {
                filtered.get_or_insert(Filtered::dropped_by(step.route));
                break;
            };
            let open = sinks.without(chosen.with(kept));
            if open.is_empty() {
                continue;
            }
            match step.limits.as_ref().and_then(|limits| limits.refuse(step.route, event)) {
                None => chosen = chosen.with(open),
                Some(why) => {
                    kept = kept.with(open);
                    filtered.get_or_insert(why.by);
                    withheld(why);
                }
            }
        }
        if chosen.is_empty() {
            return Decision::Filtered(filtered.unwrap_or(Filtered::UNROUTED));
        }
        Decision::Sinks(chosen)
    }
}

fn decide(steps: &[Step], matches: impl Fn(&Regex) -> bool) -> Decision {
    let mut chosen = SinkSet::default();
    let mut filtered = Filtered::UNROUTED;
    for step in steps {
        if !step.message.as_ref().is_none_or(&matches) {
            continue;
        }
        match step.to {
            RouteTarget::Sinks(sinks) => chosen = chosen.with(sinks),
            RouteTarget::Drop => {
                filtered = Filtered::dropped_by(step.route);
                break;
            }
        }
    }
    if chosen.is_empty() {
        return Decision::Filtered(filtered);
    }
    Decision::Sinks(chosen)
}

impl Compiled {
    fn everything(sinks: SinkSet) -> Self {
        Self {
            from: Vec::new(),
            fields: Vec::new(),
            attributes: Vec::new(),
            labels: Vec::new(),
            message: None,
            to: RouteTarget::Sinks(sinks),
            limits: RouteLimits::default(),
        }
    }

    fn new(index: usize, route: &Route, sinks: &[&str]) -> Result<Self, RouteError> {
        let When { fields, attributes, labels, message } = &route.when;
        let globs = |list: &[String]| Globs::new(index, list);
        let fields = fields.iter().map(|(field, list)| Ok((*field, globs(list)?)));
        let attributes = attributes.iter().map(|(name, list)| Ok((name.clone(), globs(list)?)));
        let labels = labels.iter().map(|(name, list)| Ok((name.clone(), globs(list)?)));
        Ok(Self {
            from: route.from.clone(),
            fields: fields.collect::<Result<_, RouteError>>()?,
            attributes: attributes.collect::<Result<_, RouteError>>()?,
            labels: labels.collect::<Result<_, RouteError>>()?,
            message: message.clone(),
            to: RouteTarget::new(index, &route.action, sinks)?,
            limits: RouteLimits::new(route),
        })
    }

    fn admits(&self, origin: &Origin) -> bool {
        let from = &self.from;
        (from.is_empty() || from.iter().any(|name| **name == *origin.source))
            && self.fields.iter().all(|(field, globs)| globs.admit(origin.get(*field).map(|value| &**value)))
            && self.attributes.iter().all(|(name, globs)| globs.admit(attribute(origin, name)))
            && self.labels.iter().all(|(name, globs)| globs.admit(origin.label(name.as_str())))
    }
}

impl RouteTarget {
    fn new(route: usize, action: &Action, sinks: &[&str]) -> Result<Self, RouteError> {
        let names = match action {
            Action::Drop => return Ok(Self::Drop),
            Action::To(names) => names,
        };
        let index = |name: &String| {
            let unknown = || RouteError::Sink { route, sink: name.clone() };
            sinks.iter().position(|sink| sink == name).ok_or_else(unknown)
        };
        names.iter().map(index).collect::<Result<_, _>>().map(Self::Sinks)
    }
}

fn attribute<'a>(origin: &'a Origin, wanted: &str) -> Option<&'a str> {
    origin.attributes.iter().find(|(name, _)| **name == *wanted).map(|(_, value)| &**value)
}

/// Alternatives for one piece of metadata; none: no condition.
#[derive(Debug, Default)]
struct Globs(Vec<GlobMatcher>);

impl Globs {
    fn new(route: usize, list: &[String]) -> Result<Self, RouteError> {
        let compile = |glob: &String| {
            let built = GlobBuilder::new(glob).literal_separator(false).build();
            let wrong = |source| RouteError::Glob { route, glob: glob.clone(), source };
            built.map(|glob| glob.compile_matcher()).map_err(wrong)
        };
        list.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    fn admit(&self, value: Option<&str>) -> bool {
        self.0.is_empty() || value.is_some_and(|value| self.0.iter().any(|glob| glob.is_match(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    const UNROUTED: Decision = Decision::Filtered(Filtered::UNROUTED);

    fn when(owner: &[&str], group: &[&str], message: Option<&str>) -> When {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        When {
            fields: [(Field::Owner, strings(owner)), (Field::LogGroup, strings(group))].into(),
            message: message.map(|pattern| Regex::new(pattern).unwrap()),
            ..When::default()
        }
    }

    fn to(from: &[&str], when: When, sinks: &[&str]) -> Route {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Route { from: strings(from), when, action: Action::To(strings(sinks)), sample: None, throttle: None }
    }

    fn dropping(when: When) -> Route {
        Route { from: Vec::new(), when, action: Action::Drop, sample: None, throttle: None }
    }

    fn origin() -> Origin {
        Origin::new("subs", "")
            .with(Field::Owner, "111111111111")
            .with(Field::LogGroup, "/aws/lambda/pay/out")
    }

    #[track_caller]
    fn check(routes: &[Route], message: &str, expected: Decision) {
        let plan = Router::new(routes, &["a", "b"]).unwrap().plan(&origin());
        assert_eq!(plan.decide(message.as_bytes()), expected);
        if let Some(fixed) = plan.fixed() {
            assert_eq!(fixed, expected);
        }
    }

    #[test]
    fn a_set_gives_back_its_places_in_order() {
        for places in [vec![], vec![0], vec![63], vec![0, 1, 5, 62, 63], (0..MAX_SINKS).collect()] {
            let set: SinkSet = places.iter().rev().copied().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), places);
        }
    }

    #[test]
    fn without_routes_every_sink_gets_everything() {
        check(&[], "x", Decision::Sinks([0, 1].into_iter().collect()));
    }

    #[test]
    fn a_route_takes_what_meets_all_its_conditions() {
        let both = || to(&[], when(&["1111*"], &["/aws/lambda/*"], None), &["b"]);
        check(&[both()], "x", Decision::Sinks([1].into_iter().collect()));
        check(&[to(&["other"], When::default(), &["a"])], "x", UNROUTED);
        check(&[to(&[], when(&["2*"], &[], None), &["a"])], "x", UNROUTED);
        let file = When { fields: [(Field::File, vec!["*".into()])].into(), ..When::default() };
        check(&[to(&[], file, &["a"])], "x", UNROUTED);
    }

    #[test]
    fn a_route_takes_events_by_what_they_are_labelled_with() {
        let zone = LabelName::of_field("zone");
        let when = || When { labels: [(zone.clone(), vec!["us-east-*".into()])].into(), ..When::default() };
        let router = Router::new(&[to(&[], when(), &["b"])], &["a", "b"]).unwrap();
        let labelled = |zone: &str| {
            let values = std::collections::BTreeMap::from([(Box::from("fields.zone"), Box::from(zone))]);
            Origin { labels: Some(std::sync::Arc::new(values.into())), ..origin() }
        };
        assert_eq!(router.plan(&labelled("us-east-1a")).decide(b""), Decision::Sinks(SinkSet::one(1)));
        assert_eq!(router.plan(&labelled("eu-west-1a")).decide(b""), UNROUTED);
        assert_eq!(router.plan(&origin()).decide(b""), UNROUTED);
    }

    #[test]
    fn a_sink_gets_an_event_once_however_many_routes_name_it() {
        let route = || to(&[], When::default(), &["a", "b"]);
        check(&[route(), route()], "x", Decision::Sinks([0, 1].into_iter().collect()));
    }

    #[test]
    fn a_drop_ends_the_search_and_keeps_what_came_before() {
        let errors = || to(&[], when(&[], &[], Some("ERROR|WARN")), &["a"]);
        let rest = || to(&[], When::default(), &["b"]);
        let routes = [errors(), dropping(When::default()), rest()];
        check(&routes, "an ERROR", Decision::Sinks([0].into_iter().collect()));
        check(&routes, "fine", Decision::Filtered(Filtered::dropped_by(1)));
        check(&[errors(), rest()], "an ERROR", Decision::Sinks([0, 1].into_iter().collect()));
        check(&[errors(), rest()], "fine", Decision::Sinks([1].into_iter().collect()));
    }

    /// What becomes of an event, and which routes kept it from their sinks.
    #[track_caller]
    fn check_limited(routes: &[Route], id: u64, expected: Decision, withheld: &[usize]) {
        let plan = Router::new(routes, &["a", "b"]).unwrap().plan(&origin());
        assert!(plan.is_limited() && plan.fixed().is_none());
        let event = LimitedEvent { message: b"x", id, now: Timestamp(0), continues: false };
        let mut kept = Vec::new();
        let decision = plan.decide_limited(&event, &mut |why| kept.extend(why.by.route));
        assert_eq!((decision, kept.as_slice()), (expected, withheld));
    }

    #[test]
    fn what_a_route_keeps_from_its_sinks_no_later_one_gives_to_them() {
        let sampled = |sinks: &[&str]| Route { sample: Some(0.5), ..to(&[], When::default(), sinks) };
        let rest = |sinks: &[&str]| to(&[], When::default(), sinks);
        let only = |sink| Decision::Sinks(SinkSet::one(sink));
        let filtered = |route, reason| Decision::Filtered(Filtered { route: Some(route), reason });
        let both = Decision::Sinks([0, 1].into_iter().collect());
        // Chosen, and not.
        let (low, high) = (1 << 62, u64::MAX);
        check_limited(&[sampled(&["a"]), rest(&["a"])], low, only(0), &[]);
        check_limited(&[sampled(&["a"]), rest(&["a"])], high, filtered(0, FilterReason::Sampled), &[0]);
        check_limited(&[sampled(&["a"]), rest(&["a", "b"])], high, only(1), &[0]);
        check_limited(&[sampled(&["a"]), rest(&["a", "b"])], low, both, &[]);
        // A sink that has the event already is no matter of the route.
        check_limited(&[rest(&["a"]), sampled(&["a"])], high, only(0), &[]);
        let unmatched = Route { when: when(&["9"], &[], None), ..sampled(&["a"]) };
        let plan = Router::new(&[unmatched], &["a"]).unwrap().plan(&origin());
        assert_eq!(plan.fixed(), Some(UNROUTED));
        check_limited(
            &[sampled(&["a"]), dropping(When::default())],
            high,
            filtered(0, FilterReason::Sampled),
            &[0],
        );
    }

    #[test]
    fn a_throttle_counts_what_its_sample_lets_through() {
        let throttle =
            crate::config::RouteThrottle { events: 1, per: std::time::Duration::from_secs(1), by: None };
        let route = Route { sample: Some(0.5), throttle: Some(throttle), ..to(&[], When::default(), &["a"]) };
        let plan = Router::new(&[route], &["a"]).unwrap().plan(&origin());
        let mut told = Vec::new();
        let mut decide = |id| {
            let event = LimitedEvent { message: b"x", id, now: Timestamp(0), continues: false };
            plan.decide_limited(&event, &mut |why| told.push((why.by.reason, why.first_of.is_some())))
        };
        let decisions = [u64::MAX, 1, u64::MAX, 2, 3].map(&mut decide);
        assert_eq!(decisions.iter().filter(|decision| matches!(decision, Decision::Sinks(_))).count(), 1);
        let (sampled, throttled) = (FilterReason::Sampled, FilterReason::Throttled);
        assert_eq!(told, [(sampled, false), (sampled, false), (throttled, true), (throttled, false)]);
    }

    #[test]
    fn an_unknown_sink_is_refused() {
        let error = Router::new(&[to(&[], When::default(), &["c"])], &["a"]).unwrap_err();
        assert_eq!(error.to_string(), "`routes[0]`: no sink is named `c`");
    }
}
