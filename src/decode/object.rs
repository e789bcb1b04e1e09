//! Messages that are JSON objects.

use std::ops::Range;

use standpipe_simd::Specials;

use super::json::Scanner;
use super::object_walk::{ObjectSurvey, survey, survey_front};
use super::strings;

/// The text of an object, and the value of one of its fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ObjectText<'a> {
    /// UTF-8.
    pub text: &'a [u8],
    /// Whether line ends stand between its tokens.
    pub has_breaks: bool,
    /// A string without its quotes, a number or a literal; empty where it is a container; none: it is missing.
    pub field: Option<&'a str>,
}

/// Reads a text that is one JSON object, to the letter: it may stand in other JSON as it is. `field` is looked for in it, at its top.
pub fn json_object<'a>(text: &'a [u8], field: Option<&str>) -> Option<ObjectText<'a>> {
    let text = text.trim_ascii();
    let ObjectSurvey { has_breaks, has_beyond, fields: [field, _], .. } = survey(text, field).ok()?;
    if has_beyond && simdutf8::basic::from_utf8(text).is_err() {
        return None;
    }
    Some(ObjectText { text, has_breaks, field: field.and_then(|colon| scalar(text.get(colon..)?)) })
}

/// Where the object at the front of a text ends, and where these of its fields' strings stand in the text, without their quotes; none where
/// there is no such field. None: whether it is one, or what they are, is not seen so quickly.
pub(super) fn object_front(text: &str, fields: [&str; 2]) -> Option<(usize, [Option<Range<usize>>; 2])> {
    let found = survey_front(text.as_bytes(), fields).ok()?;
    let mut strings = [None, None];
    for (string, colon) in strings.iter_mut().zip(found.fields) {
        if let Some(colon) = colon {
            *string = Some(inside_of(text, colon)?);
        }
    }
    Some((found.end, strings))
}

/// Where the string behind a colon stands; none: another value does.
fn inside_of(text: &str, colon: usize) -> Option<Range<usize>> {
    let value = text.get(colon..)?.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
    let start = text.len().checked_sub(value.strip_prefix('"')?.len())?;
    Some(start..strings::end_with(text.as_bytes(), start, Specials::find).ok()?)
}

/// The scalar behind the colon at the front of a text that is valid.
fn scalar(text: &[u8]) -> Option<&str> {
    let value = text.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let scalar = if let Some(inside) = value.strip_prefix(b"\"") {
        inside.get(..strings::end_with(inside, 0, Specials::find).ok()?)?
    } else {
        let end = value.iter().position(|byte| byte.is_ascii_whitespace() || b",}{[".contains(byte))?;
        value.get(..end)?
    };
    str::from_utf8(scalar).ok()
}

/// The JSON string at the front of a text, with its quotes, and what follows it.
pub(crate) fn json_string(text: &str) -> Option<(&str, &str)> {
    let mut scanner = Scanner::new(text);
    scanner.string().ok()?;
    text.split_at_checked(scanner.at())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], field: Option<&str>) {
        let found = json_object(text, Some("a")).unwrap();
        assert_eq!((found.text, found.field), (text.trim_ascii(), field));
    }

    #[test]
    fn a_field_is_told_as_its_value_stands() {
        check(br#"{"a":"x\n\"y"}"#, Some(r#"x\n\"y"#));
        check(br#" {"b":{"a":1},"a" : -1.5e3 , "c":2}"#, Some("-1.5e3"));
        check(br#"{"a":1,"a":true}"#, Some("true"));
        check(br#"{"a":null}"#, Some("null"));
        check(br#"{"a":[1],"b":2}"#, Some(""));
        check(br#"{"b":2}"#, None);
        check(br#"{"\u0061":2}"#, None);
    }

    #[test]
    fn an_object_is_told_from_what_stands_behind_it() {
        let check = |text: &str, expected: Option<(&str, [Option<&str>; 2])>| {
            let found = object_front(text, ["a", "b"]);
            let found =
                found.map(|(end, parts)| (&text[..end], parts.map(|part| part.map(|part| &text[part]))));
            assert_eq!(found, expected, "{text}");
        };
        check(
            r#"{"b":"x","c":{"a":"y"}},{"a":"z"}]}"#,
            Some((r#"{"b":"x","c":{"a":"y"}}"#, [None, Some("x")])),
        );
        check(r#"{"a":"1\""}x"#, Some((r#"{"a":"1\""}"#, [Some(r#"1\""#), None])));
        check("{\"a\" : \"1\", \"b\":\"2\"} \n", Some((r#"{"a" : "1", "b":"2"}"#, [Some("1"), Some("2")])));
        check(r#"{"a":1,"b":"2"}"#, None);
        check("[1]", None);
    }

    #[test]
    fn an_object_that_is_no_text_is_none() {
        assert!(json_object(b"{\"a\":\"\xff\"}", None).is_none());
        assert!(json_object("{\"a\":\"é\"}".as_bytes(), None).is_some());
    }
}
