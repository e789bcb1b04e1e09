//! What becomes of an event longer than allowed.

use crate::config::{Decoding, TooLong};
use crate::event::{Event, Events, Message, Part};

use super::escapes;

/// The longest event, and the choice for longer ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LengthLimit {
    pub(crate) max: usize,
    pub(crate) too_long: TooLong,
}

impl LengthLimit {
    pub(crate) fn new(config: &Decoding) -> Self {
        Self { max: config.max_line.max(1), too_long: config.too_long }
    }

    /// Gives the event on: as it is, or in parts, or cut, or as undecodable. `scratch` is for the cut one.
    pub(crate) fn apply<E: Events>(&self, event: Event<'_>, scratch: &mut Vec<u8>, events: &mut E) {
        if bytes(event.message).len() <= self.max {
            return events.event(event);
        }
        let mut whole = Vec::new();
        let message = events.begin_long(event.message, &mut whole);
        let event = Event { message, ..event };
        match self.too_long {
            _ if bytes(message).len() <= self.max => events.event(event),
            TooLong::Split => self.split(event, events),
            TooLong::Truncate => self.truncate(event, scratch, events),
            TooLong::DeadLetter => events.undecodable("too_long", bytes(message)),
        }
        events.end_long();
    }

    fn split<E: Events>(&self, event: Event<'_>, events: &mut E) {
        let mut rest = event.message;
        let mut before = 0_usize;
        while !bytes(rest).is_empty() {
            let (message, after) = cut(rest, self.max);
            let part = Part::of(event.part, before, bytes(after).is_empty());
            events.event(Event { message, part: Some(part), ..event });
            before = before.saturating_add(decoded_len(message));
            rest = after;
        }
    }

    fn truncate<E: Events>(&self, event: Event<'_>, scratch: &mut Vec<u8>, events: &mut E) {
        // The mark's length depends on the number in it, and that on the mark's length: the longest number settles it.
        let len = bytes(event.message).len();
        let longest = mark(len).len();
        let (kept, lost) = cut(event.message, self.max.saturating_sub(longest));
        scratch.clear();
        scratch.extend_from_slice(bytes(kept));
        scratch.extend_from_slice(mark(bytes(lost).len()).as_bytes());
        let message = match event.message {
            Message::Raw(_) => Message::Raw(scratch),
            Message::Escaped(_) => match str::from_utf8(scratch) {
                Ok(inside) => Message::Escaped(inside),
                // Never: the cut is at a border of a character, and the mark is text.
                Err(_) => Message::Raw(scratch),
            },
        };
        events.event(Event { message, ..event });
    }
}

/// How long the message is, without escapes.
fn decoded_len(message: Message<'_>) -> usize {
    let Message::Escaped(inside) = message else { return bytes(message).len() };
    let mut len = inside.len();
    let mut rest = inside.as_bytes();
    while let Some(begin) = memchr::memchr(b'\\', rest) {
        rest = rest.get(begin..).unwrap_or_default();
        let (stands_for, escape) = escapes::escape(rest).map_or((1, 2), |(c, len)| (c.len_utf8(), len));
        len = len.saturating_sub(escape).saturating_add(stands_for);
        rest = rest.get(escape..).unwrap_or_default();
    }
    len
}

fn mark(lost: usize) -> String {
    format!("…[truncated {lost} bytes]")
}

fn bytes(message: Message<'_>) -> &[u8] {
    match message {
        Message::Raw(bytes) => bytes,
        Message::Escaped(inside) => inside.as_bytes(),
    }
}

/// The first part of at most `max` bytes (more only where a single character is longer), and the rest.
fn cut(message: Message<'_>, max: usize) -> (Message<'_>, Message<'_>) {
    match message {
        Message::Raw(bytes) => {
            let (part, rest) = bytes.split_at_checked(border(bytes, max)).unwrap_or((bytes, &[]));
            (Message::Raw(part), Message::Raw(rest))
        }
        Message::Escaped(inside) => {
            let (part, rest) = inside.split_at_checked(escaped_border(inside, max)).unwrap_or((inside, ""));
            (Message::Escaped(part), Message::Escaped(rest))
        }
    }
}

/// The last place up to `max` where no UTF-8 character is cut; `max` itself where the bytes are not UTF-8.
pub(crate) fn border(bytes: &[u8], max: usize) -> usize {
    let continues = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (max.saturating_sub(3)..=max).rev().find(|at| !continues(at)).filter(|at| *at > 0).unwrap_or(max.max(1))
}

/// The last place up to `max` where neither a character nor an escape is cut.
fn escaped_border(inside: &str, max: usize) -> usize {
    let mut past = 0;
    while let Some(found) = memchr::memchr(b'\\', inside.as_bytes().get(past..).unwrap_or_default()) {
        let begin = past + found;
        let len =
            escapes::escape(inside.as_bytes().get(begin..).unwrap_or_default()).map_or(2, |(_, len)| len);
        if begin >= max {
            break;
        }
        if begin + len > max {
            return if begin == 0 { len } else { begin };
        }
        past = begin + len;
    }
    let floor = inside.floor_char_boundary(max);
    if floor > 0 {
        return floor;
    }
    // Even one character or escape is longer: it goes whole.
    match escapes::escape(inside.as_bytes()) {
        Some((_, len)) if inside.starts_with('\\') => len,
        _ => inside.chars().next().map_or(0, char::len_utf8),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::testing::SeenEvents;

    #[track_caller]
    fn check(max: usize, too_long: TooLong, message: Message<'_>, expected: &[&str]) {
        let mut seen = SeenEvents::default();
        let event = Event { message, timestamp: None, id: None, part: None };
        LengthLimit { max, too_long }.apply(event, &mut Vec::new(), &mut seen);
        assert_eq!(seen.told(), expected);
    }

    #[test]
    fn a_long_event_is_split_between_characters() {
        check(4, TooLong::Split, Message::Raw(b"abcd"), &["abcd"]);
        check(4, TooLong::Split, Message::Raw(b"abcdefghij"), &["abcd", "efgh", "ij"]);
        check(4, TooLong::Split, Message::Raw("abcé!".as_bytes()), &["abc", "é!"]);
        check(2, TooLong::Split, Message::Raw("中中".as_bytes()), &["\u{fffd}"; 4]);
        check(4, TooLong::Split, Message::Escaped(r"abc\n\n"), &["abc", r"\n\n"].map(|s| s));
        check(3, TooLong::Split, Message::Escaped(r"\u00e9x"), &[r"\u00e9", "x"]);
        check(7, TooLong::Split, Message::Escaped(r"a\ud83d\ude00b"), &["a", r"\ud83d\ude00", "b"]);
        check(1, TooLong::Split, Message::Escaped("é"), &["é"]);
    }

    #[test]
    fn a_long_event_is_cut_with_a_mark_or_given_up_whole() {
        let long = "x".repeat(100);
        let cut = format!("{}…[truncated 74 bytes]", "x".repeat(26));
        check(50, TooLong::Truncate, Message::Raw(long.as_bytes()), &[&cut]);
        check(50, TooLong::Truncate, Message::Escaped(&long), &[&cut]);
        check(
            50,
            TooLong::DeadLetter,
            Message::Raw(long.as_bytes()),
            &[&format!("undecodable too_long {long}")],
        );
    }

    proptest! {
        #[test]
        fn parts_join_to_the_whole_and_each_is_valid(message: String, max in 1_usize..40) {
            let quoted = serde_json::to_string(&message).unwrap();
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            let mut seen = SeenEvents::default();
            let event = Event { message: Message::Escaped(inside), timestamp: None, id: None, part: None };
            LengthLimit { max, too_long: TooLong::Split }.apply(event, &mut Vec::new(), &mut seen);
            let parts: Vec<String> = seen.told().iter().map(|part| serde_json::from_str(&format!("\"{part}\"")).unwrap()).collect();
            let mut before = 0;
            for (part, mark) in parts.iter().zip(&seen.parts) {
                prop_assert_eq!(mark.map_or(0, |mark| mark.offset), before as u64);
                before += part.len();
                prop_assert_eq!(mark.is_none_or(|mark| mark.last), before == message.len());
            }
            prop_assert_eq!(parts.concat(), message);
        }
    }
}
