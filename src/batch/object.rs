//! Events whose message is an object: it stands in the JSON object as it is.

use memchr::memchr2;

use super::encode::{BEFORE_ID, BEFORE_MESSAGE, BEFORE_TIME, Encoder, Output, TooLarge};
use crate::config::Encoding;
use crate::event::{Event, Timestamp};
use crate::limits::MAX_RECORD_BYTES;

/// A message that is a JSON object, valid to the letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ObjectMessage<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// Whether line ends stand between its tokens.
    pub has_breaks: bool,
}

impl Encoder {
    /// Whether a message that is an object is written as one.
    #[must_use]
    pub fn takes_objects(&self) -> bool {
        self.encoding == Encoding::Json
    }

    /// Adds an event whose message is an object. One that is too large for a record is written as text, in parts.
    ///
    /// # Errors
    /// As [`Encoder::event`].
    pub fn object(
        &self,
        event: &Event<'_>,
        object: ObjectMessage<'_>,
        read_at: Timestamp,
        out: &mut Output,
    ) -> Result<(), TooLarge> {
        let around = out.after.len().saturating_add(event.id.map_or(0, str::len)).saturating_add(AROUND);
        if object.text.len().saturating_add(around) > MAX_RECORD_BYTES {
            return self.event(event, read_at, out);
        }
        out.prepare();
        let start = out.data.len();
        out.data.extend_from_slice(BEFORE_TIME);
        let time = out.face.show(event.timestamp.unwrap_or(read_at));
        out.data.extend_from_slice(time);
        let (before, _quote) = BEFORE_MESSAGE.split_at(BEFORE_MESSAGE.len().saturating_sub(1));
        out.data.extend_from_slice(before);
        if object.has_breaks {
            one_line(object.text, &mut out.data);
        } else {
            out.data.extend_from_slice(object.text);
        }
        // What ends a string has no place here.
        let mut after: &[u8] = &out.after;
        if let Some(id) = event.id {
            out.data.extend_from_slice(BEFORE_ID.get(1..).unwrap_or_default());
            out.data.extend_from_slice(id.as_bytes());
        } else {
            after = after.get(1..).unwrap_or_default();
        }
        out.data.extend_from_slice(after);
        out.end_event(start, self);
        Ok(())
    }
}

/// What is written around an object beside what comes after it: a time and keys.
const AROUND: usize = 128;

/// Newlines of valid JSON stand between its tokens: there a space serves as well.
fn one_line(object: &[u8], out: &mut Vec<u8>) {
    let mut rest = object;
    while let Some(at) = memchr2(b'\n', b'\r', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.push(b' ');
        rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}
