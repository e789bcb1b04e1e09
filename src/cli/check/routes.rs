//! What `check` shows of a route.

use crate::config::{Action, Route, RouteThrottle, When, show_duration};
use crate::event::Field;

pub(super) fn of_route(index: usize, route: &Route, to: &str) -> String {
    let when = of_when(&route.when);
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

fn of_when(when: &When) -> String {
    let mut conditions: Vec<String> = Field::in_order()
        .filter_map(|field| Some(format!("{field} is {}", when.fields.get(&field)?.join(" or "))))
        .collect();
    let attributes = when.attributes.iter();
    conditions
        .extend(attributes.map(|(name, values)| format!("attribute {name} is {}", values.join(" or "))));
    conditions.extend(when.message.as_ref().map(|pattern| format!("message matches `{pattern}`")));
    if conditions.is_empty() { String::new() } else { format!(" when {}", conditions.join(" and ")) }
}
