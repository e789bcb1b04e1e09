//! Envelopes, against what serde finds in the same text.

use serde_json::{Deserializer, Map, Value};
use standpipe::config::Format;

use super::seen::{Told, decode};

/// Plain envelopes are told event by event as serde finds them, and refused where serde finds none, but for what is bad in a string
/// alone.
pub fn envelope(bytes: &[u8]) {
    let told = decode(Format::Envelope, bytes).told;
    let Ok(text) = str::from_utf8(bytes) else { return };
    // White space of ASCII before a payload is none of it, also such as JSON does not know.
    let text = text.trim_ascii_start();
    if !text.starts_with('{') {
        return;
    }
    let is_json = Deserializer::from_str(text).into_iter::<Value>().all(|value| value.is_ok());
    let mut told = told.iter().peekable();
    for value in Deserializer::from_str(text).into_iter::<Value>() {
        match value {
            // What is no envelope is refused together with what stands behind it and is no JSON.
            Ok(value)
                if !is_json
                    && events(&value).is_none()
                    && told.peek() == Some(&&Told::Undecodable("json")) =>
            {
                return;
            }
            Ok(value) => check(&value, &mut told),
            Err(error) => {
                // As text the first two are JSON, and they are passed on as text. The others are replaced.
                let may_be_told = [
                    "out of range",
                    "recursion limit",
                    "control character",
                    "surrogate",
                    "escape",
                    "code point",
                ];
                let may_be_told = may_be_told.iter().any(|why| error.to_string().contains(why));
                assert!(
                    may_be_told
                        || text.contains('\u{FEFF}')
                        || told.any(|told| matches!(told, Told::Undecodable(_))),
                    "{error}"
                );
                return;
            }
        }
    }
    assert_eq!(told.next(), None, "there is more than serde finds");
}

/// One value of the payload.
fn check<'a>(value: &Value, told: &mut impl Iterator<Item = &'a Told>) {
    match events(value) {
        Some(events) => events.iter().for_each(|event| check_event(event, told.next())),
        None => assert_eq!(told.next(), Some(&Told::Undecodable("not_envelope")), "{value}"),
    }
}

/// The events to be told; none: it is no envelope.
fn events(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let control = value.get("messageType").and_then(Value::as_str) == Some("CONTROL_MESSAGE");
    // A control message ships nothing, whether it says so or not.
    let Some(events) = value.get("logEvents") else { return control.then(Vec::new) };
    let events: Vec<_> = events.as_array()?.iter().map(Value::as_object).collect::<Option<_>>()?;
    if !events.iter().all(|event| event.contains_key("message")) {
        return None;
    }
    Some(if control { Vec::new() } else { events })
}

fn check_event(event: &Map<String, Value>, told: Option<&Told>) {
    let Some(Told::Event { timestamp, id, message, escaped }) = told else {
        panic!("{told:?} for {event:?}")
    };
    match event.get("message") {
        Some(Value::String(expected)) => assert_eq!((message, *escaped), (expected, true)),
        other => assert_eq!(serde_json::from_str(message).ok().as_ref(), other),
    }
    match event.get("timestamp") {
        Some(Value::Number(number)) if !number.is_f64() => assert_eq!(*timestamp, number.as_i64()),
        // Fractions and numbers in strings are read as far as they go.
        Some(Value::Number(_) | Value::String(_)) => {}
        _ => assert_eq!(*timestamp, None),
    }
    match (event.get("id"), id) {
        (Some(Value::String(expected)), Some(inside)) => {
            assert_eq!(
                serde_json::from_str::<String>(&format!("\"{inside}\"")).ok().as_ref(),
                Some(expected)
            );
        }
        (Some(Value::String(expected)), None) => assert_eq!(expected, ""),
        (Some(Value::Number(number)), Some(digits)) => {
            assert!(number.is_f64() || *digits == number.to_string(), "{digits} for {number}");
        }
        (_, id) => assert_eq!(*id, None),
    }
}
