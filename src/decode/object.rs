//! Messages that are JSON objects.

use super::json::Scanner;
use super::strings::Malformed;

/// The text of an object, and the value of one of its fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ObjectText<'a> {
    pub(crate) text: &'a str,
    pub(crate) field: Option<&'a str>,
}

/// Reads a text that is one JSON object, to the letter: it may stand in other JSON as it is. `field` is looked for in it, at its top.
pub(crate) fn json_object<'a>(text: &'a str, field: Option<&str>) -> Option<ObjectText<'a>> {
    let text = text.trim_ascii();
    let mut scanner = Scanner::new(text);
    let mut found = None;
    let read = scanner.object(|scanner, name| {
        let value = scanner.value()?;
        if field == Some(name) {
            found = Some(value);
        }
        Ok(())
    });
    match read {
        Ok(()) if scanner.peek().is_none() => Some(ObjectText { text, field: found }),
        Ok(()) | Err(Malformed) => None,
    }
}

/// The JSON string at the front of a text, with its quotes, and what follows it.
pub(crate) fn json_string(text: &str) -> Option<(&str, &str)> {
    let mut scanner = Scanner::new(text);
    scanner.string().ok()?;
    text.split_at_checked(scanner.at())
}
