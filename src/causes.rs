//! An error with its causes, on one line.

use std::error::Error;

/// The error and what caused it, each said once, such as `cannot read `a`: permission denied`.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `a`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn each_cause_is_said_once() {
        let error = Outer(std::io::Error::other("no such disk"));
        assert_eq!(with_causes(&error), "cannot read `a`: no such disk");
        assert_eq!(with_causes(&std::io::Error::other("alone")), "alone");
    }
}
