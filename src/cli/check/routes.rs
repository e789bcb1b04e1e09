//! What `check` shows of a route.

use crate::config::{Action, Route, RouteThrottle, show_duration};

pub(super) fn of_route(index: usize, route: &Route, to: &str) -> String {
    let when = match route.when.words() {
        words if words.is_empty() => words,
        words => format!(" when {words}"),
    };
    let action = match &route.action {
        Action::Drop => "dropped".to_owned(),
        Action::To(_) if to.is_empty() => "nowhere (earlier routes take all)".to_owned(),
        Action::To(_) => to.to_owned(),
    };
    format!("routes[{index}]{when}{} → {action}", of_limits(route))
}

fn of_limits(route: &Route) -> String {
    let sample = route.sample.map(|share| format!(", a sample of {share}"));
    let throttle = route.throttle.as_ref().map(|RouteThrottle { events, per, by }| {
        let by = by.as_ref().map_or_else(String::new, |by| format!(" of each {by}"));
        format!(", at most {events} events{by} per {}", show_duration(*per))
    });
    [sample, throttle].into_iter().flatten().collect()
}
