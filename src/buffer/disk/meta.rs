//! A record's origin as it is stored beside the record, and what its destination's name was made from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Origin, OriginFields, OriginLabels};

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
    #[serde(flatten)]
    fields: OriginFields,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(Box<str>, Box<str>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<OriginLabels>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shared: Vec<Box<str>>,
}

impl RecordMeta {
    /// The JSON that is stored.
    pub(super) fn encode(origin: &Origin, shared: &[Box<str>]) -> Vec<u8> {
        let stored = StoredMeta {
            source: Box::from(&*origin.source),
            host: Box::from(&*origin.host),
            fields: origin.fields.clone(),
            attributes: origin.attributes.to_vec(),
            labels: origin.labels.as_deref().cloned(),
            shared: shared.to_vec(),
        };
        // Strings and lists of strings are always JSON.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads it back.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: StoredMeta = serde_json::from_slice(bytes).ok()?;
        let origin = Origin {
            source: stored.source.into(),
            host: stored.host.into(),
            fields: stored.fields,
            attributes: stored.attributes.into(),
            labels: stored.labels.map(Arc::new),
        };
        Some(Self { origin: Arc::new(origin), shared: stored.shared.into() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::Field;

    #[track_caller]
    fn check(origin: &Origin) {
        let shared = [Box::from("owner")];
        let read = RecordMeta::decode(&RecordMeta::encode(origin, &shared)).unwrap();
        assert_eq!((&*read.origin, &*read.shared), (origin, &shared[..]));
    }

    #[test]
    fn an_origin_reads_back_whatever_it_holds() {
        check(&Origin::default());
        check(&Origin::new("app", "").with(Field::File, "/a \"b\" \u{1}.log"));
        check(&subscriptions());
        let labels = BTreeMap::from([(Box::from("fields.team"), Box::from("a \"b\""))]);
        check(&Origin { labels: Some(Arc::new(labels.into())), ..subscriptions() });
    }

    fn subscriptions() -> Origin {
        let origin = Origin::new("subscriptions", "web-1")
            .with(Field::Owner, "111122223333")
            .with(Field::LogGroup, "/aws/lambda/f")
            .with(Field::LogStream, "s");
        Origin { attributes: [("team".into(), "web".into())].into(), ..origin }
    }

    #[test]
    fn an_origin_is_stored_as_before() {
        let encoded = RecordMeta::encode(&Origin::new("app", "h").with(Field::File, "/a"), &[]);
        assert_eq!(encoded, br#"{"source":"app","host":"h","file":"/a"}"#);
        let encoded = RecordMeta::encode(&subscriptions(), &["owner".into()]);
        let expected = r#"{"source":"subscriptions","host":"web-1","owner":"111122223333","log_group":"/aws/lambda/f","log_stream":"s","attributes":[["team","web"]],"shared":["owner"]}"#;
        assert_eq!(String::from_utf8(encoded).unwrap(), expected);
    }

    #[test]
    fn what_a_later_version_stored_beside_is_left_out() {
        let stored = br#"{"source":"app","host":"h","planet":{"of":["mars"]},"file":"/a","attributes":[]}"#;
        let origin = Origin::new("app", "h").with(Field::File, "/a");
        assert_eq!(*RecordMeta::decode(stored).unwrap().origin, origin);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bytes in [&b""[..], b"{", b"{}", b"[]", b"{\"source\":1,\"host\":\"\"}", b"\xff"] {
            assert_eq!(RecordMeta::decode(bytes), None);
        }
    }
}
