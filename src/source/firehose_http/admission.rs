//! The protocol's headers: who sends, whether it may, and what it says of itself.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde::Deserialize;

use super::limits::{MAX_REQUEST_ID, MAX_SOURCE_ARN};
use crate::config::{HttpSource, Secret};
use crate::event::RequestNames;

const REQUEST_ID: &str = "x-amz-firehose-request-id";
const SOURCE_ARN: &str = "x-amz-firehose-source-arn";

/// Who may send.
#[derive(Debug)]
pub(super) struct Admission {
    /// Digests of the keys, so that comparing tells nothing of their lengths either. None: any request is admitted.
    keys: Vec<Digest>,
    /// None: any stream may send.
    source_arns: Option<GlobSet>,
}

/// What the headers of an admitted request say.
#[derive(Debug, Default)]
pub(super) struct RequestHeaders {
    pub(super) request_id: Option<String>,
    pub(super) is_gzip: bool,
}

/// Why a request is not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RefusalReason {
    Unauthorized,
    Forbidden,
    Encoding,
    RequestId,
    SourceArn,
}

/// Common attributes in the order in which they came.
pub(super) type Attributes = Arc<[(Box<str>, Box<str>)]>;

impl Admission {
    pub(super) fn new(config: &HttpSource) -> Result<Self, globset::Error> {
        let keys = config
            .access_keys
            .iter()
            .map(Secret::expose)
            .map(|key| digest(&SHA256, key.as_bytes()))
            .collect();
        if config.source_arns.is_empty() {
            return Ok(Self { keys, source_arns: None });
        }
        let mut globs = GlobSetBuilder::new();
        for arn in &config.source_arns {
            globs.add(GlobBuilder::new(arn).literal_separator(false).backslash_escape(false).build()?);
        }
        Ok(Self { keys, source_arns: Some(globs.build()?) })
    }

    /// Checks the headers in the order in which a sender would fix them.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<RequestHeaders, RefusalReason> {
        let key = headers.get("x-amz-firehose-access-key").map_or(&[][..], |key| key.as_bytes());
        if !self.knows(key) {
            return Err(RefusalReason::Unauthorized);
        }
        let source_arn = text(headers, SOURCE_ARN).unwrap_or_default();
        if source_arn.len() > MAX_SOURCE_ARN {
            return Err(RefusalReason::SourceArn);
        }
        let matches = |allowed: &GlobSet| is_stream(source_arn) && allowed.is_match(source_arn);
        if self.source_arns.as_ref().is_some_and(|allowed| !matches(allowed)) {
            return Err(RefusalReason::Forbidden);
        }
        if text(headers, REQUEST_ID).is_some_and(|id| id.len() > MAX_REQUEST_ID) {
            return Err(RefusalReason::RequestId);
        }
        let is_gzip =
            match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes().to_ascii_lowercase()) {
                None => false,
                Some(encoding) if encoding.is_empty() || encoding == b"identity" => false,
                // RFC 9110, 8.4.1.3: the two are the same.
                Some(encoding) if encoding == b"gzip" || encoding == b"x-gzip" => true,
                Some(_) => return Err(RefusalReason::Encoding),
            };
        Ok(RequestHeaders { request_id: request_id(headers), is_gzip })
    }

    /// Whether the key is one of ours. Every key is compared, so that time does not tell which one matched.
    fn knows(&self, key: &[u8]) -> bool {
        let key = digest(&SHA256, key);
        let matches = |known: &Digest| verify_slices_are_equal(known.as_ref(), key.as_ref()).is_ok();
        let admitting = self.keys.iter().filter(|known| matches(known)).count();
        self.keys.is_empty() || admitting > 0
    }
}

/// The request's id, which an answer must repeat.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    text(headers, REQUEST_ID).filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID).map(str::to_owned)
}

/// What a request says of itself, whether it is admitted or not; what is too long is cut.
pub(super) fn names(headers: &HeaderMap) -> RequestNames {
    let cut = |name, most| {
        let value = text(headers, name).unwrap_or_default();
        value.get(..most).unwrap_or(value).into()
    };
    RequestNames { source_arn: cut(SOURCE_ARN, MAX_SOURCE_ARN), request_id: cut(REQUEST_ID, MAX_REQUEST_ID) }
}

/// Whether it is the ARN of a delivery stream: a `*` of a pattern then stands for one part of it, and never for several.
fn is_stream(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let [_, _, _, _, _, resource] = parts.as_slice() else { return false };
    resource.strip_prefix("deliverystream/").is_some_and(|name| !name.contains('/'))
}

/// The common attributes; an error when the header is not what Firehose writes.
pub(super) fn attributes(headers: &HeaderMap) -> Result<Attributes, serde_json::Error> {
    #[derive(Deserialize)]
    struct CommonAttributes {
        #[serde(rename = "commonAttributes", default)]
        common: AttributePairs,
    }
    let Some(header) = headers.get("x-amz-firehose-common-attributes") else {
        return Ok(Attributes::default());
    };
    let header: CommonAttributes = serde_json::from_slice(header.as_bytes())?;
    Ok(header.common.0.into())
}

/// A JSON object of strings, in its own order.
#[derive(Default)]
struct AttributePairs(Vec<(Box<str>, Box<str>)>);

impl<'de> Deserialize<'de> for AttributePairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> serde::de::Visitor<'de> for PairsVisitor {
            type Value = AttributePairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<AttributePairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(AttributePairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Decoding, Format, TooLong};

    fn admission(keys: &[&str], arns: &[&str]) -> Admission {
        let decoding = Decoding {
            format: Format::Envelope,
            charset: crate::event::Charset::UTF8,
            multiline: None,
            max_line: 1,
            too_long: TooLong::Split,
            max_inflated: 1,
        };
        let config = HttpSource {
            listen: "127.0.0.1:0".parse().unwrap(),
            access_keys: keys.iter().map(|key| Secret::new((*key).to_owned())).collect(),
            source_arns: arns.iter().map(|arn| (*arn).to_owned()).collect(),
            tls: None,
            decoding,
            timeout: Duration::from_secs(1),
            max_connections: 1,
            idle_timeout: Duration::from_secs(1),
        };
        Admission::new(&config).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[track_caller]
    fn check(admission: &Admission, pairs: &[(&'static str, &str)], refusal: Option<RefusalReason>) {
        assert_eq!(admission.check(&headers(pairs)).err(), refusal, "{pairs:?}");
    }

    const KEY: &str = "x-amz-firehose-access-key";
    const ARN: &str = "x-amz-firehose-source-arn";

    #[test]
    fn any_of_the_keys_admits() {
        let admission = admission(&["old", "new"], &[]);
        check(&admission, &[(KEY, "old")], None);
        check(&admission, &[(KEY, "new")], None);
        check(&admission, &[(KEY, "newer")], Some(RefusalReason::Unauthorized));
        check(&admission, &[(KEY, "")], Some(RefusalReason::Unauthorized));
        check(&admission, &[], Some(RefusalReason::Unauthorized));
    }

    #[test]
    fn without_keys_any_request_is_admitted() {
        check(&admission(&[], &[]), &[], None);
        check(&admission(&[], &[]), &[(KEY, "x")], None);
    }

    #[test]
    fn only_listed_streams_may_send() {
        let admission = admission(&[], &["arn:aws:firehose:*:111122223333:deliverystream/*"]);
        check(&admission, &[(ARN, "arn:aws:firehose:eu-west-1:111122223333:deliverystream/a")], None);
        check(
            &admission,
            &[(ARN, "arn:aws:firehose:eu-west-1:999922223333:deliverystream/a")],
            Some(RefusalReason::Forbidden),
        );
        check(&admission, &[], Some(RefusalReason::Forbidden));
    }

    #[test]
    fn a_star_stands_for_one_part_of_an_arn() {
        let admission = admission(&[], &["arn:aws:firehose:*:111122223333:deliverystream/prod-*"]);
        check(&admission, &[(ARN, "arn:aws:firehose:eu-west-1:111122223333:deliverystream/prod-a")], None);
        for other in [
            "arn:aws:firehose:us-east-1:999999999999:deliverystream/x:111122223333:deliverystream/prod-a",
            "arn:aws:firehose:us-east-1:111122223333:deliverystream/prod-a/b",
            "arn:aws:firehose:us-east-1:111122223333:deliverystream/prod-a:b",
        ] {
            check(&admission, &[(ARN, other)], Some(RefusalReason::Forbidden));
        }
    }

    #[test]
    fn ids_and_arns_have_a_longest() {
        let admission = admission(&[], &[]);
        let longest = ("x".repeat(MAX_REQUEST_ID), "x".repeat(MAX_SOURCE_ARN));
        check(&admission, &[("x-amz-firehose-request-id", &longest.0), (ARN, &longest.1)], None);
        let (id, arn) = (longest.0 + "x", longest.1 + "x");
        check(&admission, &[("x-amz-firehose-request-id", &id)], Some(RefusalReason::RequestId));
        check(&admission, &[(ARN, &arn)], Some(RefusalReason::SourceArn));
        let said = names(&headers(&[(ARN, &arn), ("x-amz-firehose-request-id", &id)]));
        assert_eq!((said.source_arn.len(), said.request_id.len()), (MAX_SOURCE_ARN, MAX_REQUEST_ID));
    }

    #[test]
    fn a_body_is_plain_or_gzipped() {
        let admission = admission(&[], &[]);
        check(&admission, &[("content-encoding", "GZIP")], None);
        check(&admission, &[("content-encoding", "x-gzip")], None);
        check(&admission, &[("content-encoding", "identity")], None);
        check(&admission, &[("content-encoding", "br")], Some(RefusalReason::Encoding));
    }

    #[test]
    fn attributes_keep_their_order() {
        let name = "x-amz-firehose-common-attributes";
        let parsed = attributes(&headers(&[(name, r#"{"commonAttributes":{"z":"1","a":"2"}}"#)])).unwrap();
        let pairs: Vec<(&str, &str)> = parsed.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("z", "1"), ("a", "2")]);
        assert!(attributes(&headers(&[])).unwrap().is_empty());
        assert!(attributes(&headers(&[(name, "{")])).is_err());
    }
}
