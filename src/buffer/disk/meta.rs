//! A record's origin as it is stored beside the record, and what its destination's name was made from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::Origin;

/// What is stored of where a record came from and goes to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordMeta {
    /// The origin of its first event.
    pub origin: Arc<Origin>,
    /// The names of the origin's fields that are the same for all records of the log, since its destination is made from them.
    pub shared: Arc<[Box<str>]>,
}

#[derive(Deserialize, Serialize)]
struct StoredMeta {
    source: Box<str>,
    host: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_group: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_stream: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(Box<str>, Box<str>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shared: Vec<Box<str>>,
}

impl RecordMeta {
    /// The JSON that is stored.
    pub(super) fn encode(origin: &Origin, shared: &[Box<str>]) -> Vec<u8> {
        let text = |field: &Option<Arc<str>>| field.as_deref().map(Box::from);
        let stored = StoredMeta {
            source: Box::from(&*origin.source),
            host: Box::from(&*origin.host),
            file: text(&origin.file),
            owner: text(&origin.owner),
            log_group: text(&origin.log_group),
            log_stream: text(&origin.log_stream),
            attributes: origin.attributes.to_vec(),
            shared: shared.to_vec(),
        };
        // Strings and lists of strings are always JSON.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads it back.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: StoredMeta = serde_json::from_slice(bytes).ok()?;
        let text = |field: Option<Box<str>>| field.map(Arc::from);
        let origin = Origin {
            source: stored.source.into(),
            host: stored.host.into(),
            file: text(stored.file),
            owner: text(stored.owner),
            log_group: text(stored.log_group),
            log_stream: text(stored.log_stream),
            attributes: stored.attributes.into(),
        };
        Some(Self { origin: Arc::new(origin), shared: stored.shared.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: &Origin) {
        let shared = [Box::from("owner")];
        let read = RecordMeta::decode(&RecordMeta::encode(origin, &shared)).unwrap();
        assert_eq!((&*read.origin, &*read.shared), (origin, &shared[..]));
    }

    #[test]
    fn an_origin_reads_back_whatever_it_holds() {
        check(&Origin::default());
        check(&Origin { source: "app".into(), file: Some("/a \"b\" \u{1}.log".into()), ..Origin::default() });
        check(&Origin {
            source: "subscriptions".into(),
            host: "web-1".into(),
            owner: Some("111122223333".into()),
            log_group: Some("/aws/lambda/f".into()),
            log_stream: Some("s".into()),
            attributes: [("team".into(), "web".into())].into(),
            ..Origin::default()
        });
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bytes in [&b""[..], b"{", b"{}", b"[]", b"{\"source\":1,\"host\":\"\"}", b"\xff"] {
            assert_eq!(RecordMeta::decode(bytes), None);
        }
    }
}
