//! What `check` shows of a route.

use crate::config::{Action, Route};

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
    format!("routes[{index}]{when} → {action}")
}
