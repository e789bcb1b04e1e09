//! One line of the checkpoint file: a position of any kind, with the checksum of exactly its text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::event::Timestamp;

/// A position that the state directory keeps for a source, such as that of a file.
pub trait LocalPosition: Clone + fmt::Debug + Send + Sync + 'static {
    /// What its lines are known by in the checkpoint file.
    const KIND: &'static str;

    /// What acknowledgements move.
    type Mark: fmt::Debug + Send + Sync;

    /// Everything before `mark` was acknowledged; it was read at `read_at`.
    fn advance(&mut self, mark: Self::Mark, read_at: Timestamp);

    /// A JSON object that names the source as `source`.
    ///
    /// # Errors
    /// Never in practice.
    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>>;

    /// A JSON object with those fields of [`Self::to_json`] that [`Self::advance`] may change, and with all of them: it is written
    /// when nothing else has changed, which is most of the time.
    ///
    /// # Errors
    /// Never in practice.
    fn moved_to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        self.to_json(source)
    }

    /// Reads what [`Self::to_json`] made; none when it is not that.
    fn from_json(json: &RawValue) -> Option<Self>;
}

/// A line that is whole: what the checkpoint file says of one unit, whatever its kind.
#[derive(Clone, Debug)]
pub struct CheckpointEntry {
    /// The source's name.
    pub source: Arc<str>,
    kind: Box<str>,
    json: Box<RawValue>,
}

impl PartialEq for CheckpointEntry {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, self.json.get()) == (&other.kind, other.json.get())
    }
}

#[derive(Deserialize)]
struct NamedPayload<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
}

impl CheckpointEntry {
    /// What is remembered, if it is of that kind.
    #[must_use]
    pub fn position<P: LocalPosition>(&self) -> Option<P> {
        if *self.kind == *P::KIND { P::from_json(&self.json) } else { None }
    }

    /// A position's entry.
    pub(super) fn new<P: LocalPosition>(source: &Arc<str>, position: &P) -> serde_json::Result<Self> {
        Ok(Self { source: Arc::clone(source), kind: P::KIND.into(), json: position.to_json(source)? })
    }

    /// The entry with the values that these fields have now; none when they are no JSON object.
    pub(super) fn with_fields(&self, fields: &RawValue) -> Option<Self> {
        let mut all: BTreeMap<Box<str>, Box<RawValue>> = serde_json::from_str(self.json.get()).ok()?;
        let fields: BTreeMap<Box<str>, Box<RawValue>> = serde_json::from_str(fields.get()).ok()?;
        all.extend(fields);
        let json = to_raw_value(&all).ok()?;
        let named: NamedPayload<'_> = serde_json::from_str(json.get()).ok()?;
        let source = named.source.as_ref().into();
        Some(Self { source, kind: self.kind.clone(), json })
    }

    /// The entry as one line without its newline.
    pub(super) fn to_line(&self) -> String {
        let (sum, kind, json) = (sum(self.json.get()), &self.kind, self.json.get());
        format!(r#"{{"sum":"{sum}","{kind}":{json}}}"#)
    }

    /// Reads a line; none when it is torn or was changed.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let mut parts: BTreeMap<Box<str>, Box<RawValue>> = serde_json::from_str(line).ok()?;
        let known: String = serde_json::from_str(parts.remove("sum")?.get()).ok()?;
        let (kind, json) = parts.pop_first()?;
        if !parts.is_empty() || known != sum(json.get()) || !is_kind(&kind) {
            return None;
        }
        let named: NamedPayload<'_> = serde_json::from_str(json.get()).ok()?;
        let source = named.source.as_ref().into();
        Some(Self { source, kind, json })
    }
}

/// Whether the word needs no escapes in JSON.
fn is_kind(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn sum(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let first = digest.as_ref().first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    format!("{first:08x}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_later_version_keeps_stays_as_it_is() {
        let json = r#"{"source":"stream","shard":"shardId-0","sequence":"49"}"#;
        let line = format!(r#"{{"sum":"{}","kinesis":{json}}}"#, sum(json));
        let entry = CheckpointEntry::from_line(&line).unwrap();
        assert_eq!((&*entry.source, entry.to_line()), ("stream", line));
    }

    #[test]
    fn fields_that_moved_are_replaced_and_the_others_stay() {
        let line = |json: &str| format!(r#"{{"sum":"{}","stream":{json}}}"#, sum(json));
        let entry = CheckpointEntry::from_line(&line(r#"{"source":"s","at":"4","shard":"0"}"#)).unwrap();
        let moved: Box<RawValue> = serde_json::from_str(r#"{"at":"9","time":1}"#).unwrap();
        let expected = line(r#"{"at":"9","shard":"0","source":"s","time":1}"#);
        assert_eq!(entry.with_fields(&moved).unwrap().to_line(), expected);
        let wrong: Box<RawValue> = serde_json::from_str("[1]").unwrap();
        assert!(entry.with_fields(&wrong).is_none());
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in ".*") {
            prop_assert!(CheckpointEntry::from_line(&line).is_none());
        }
    }
}
