//! What `check` shows of a route.

use crate::config::{Action, Route, When};
use crate::event::Field;

pub(super) fn of_route(index: usize, route: &Route, to: &str) -> String {
    let when = of_when(&route.when);
    let action = match &route.action {
        Action::Drop => "dropped".to_owned(),
        Action::To(_) if to.is_empty() => "nowhere (earlier routes take all)".to_owned(),
        Action::To(_) => to.to_owned(),
    };
    format!("routes[{index}]{when} → {action}")
}

fn of_when(when: &When) -> String {
    let mut conditions: Vec<String> = Field::in_order()
        .filter_map(|field| Some(format!("{field} is {}", when.fields.get(&field)?.join(" or "))))
        .collect();
    let attributes = when.attributes.iter();
    conditions
        .extend(attributes.map(|(name, values)| format!("attribute {name} is {}", values.join(" or "))));
    conditions
        .extend(when.labels.iter().map(|(label, values)| format!("{label} is {}", values.join(" or "))));
    conditions.extend(when.message.as_ref().map(|pattern| format!("message matches `{pattern}`")));
    if conditions.is_empty() { String::new() } else { format!(" when {}", conditions.join(" and ")) }
}
