//! The few operations of S3: where each goes, and what of it is the body.

use aws_lc_rs::digest;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde_json::{Value, json};

use super::object::ObjectRequest;
use super::query::ESCAPED;
use super::unsigned::UnsignedRequest;
use super::xml;

/// An operation of a bucket.
struct S3Operation {
    name: &'static str,
    method: &'static str,
    /// What of the bucket, as the query says it.
    part: &'static str,
    /// The member of the input that is the body.
    body: Option<&'static str>,
    /// The member of the output that the answer is; without it, the answer's members are the output's.
    answer: Option<&'static str>,
}

const fn get(name: &'static str, part: &'static str, answer: Option<&'static str>) -> S3Operation {
    S3Operation { name, method: "GET", part, body: None, answer }
}

const fn put(name: &'static str, part: &'static str, body: &'static str) -> S3Operation {
    S3Operation { name, method: "PUT", part, body: Some(body), answer: None }
}

const fn delete(name: &'static str, part: &'static str) -> S3Operation {
    S3Operation { name, method: "DELETE", part, body: None, answer: None }
}

/// Source: S3's service model, 2006-03-01.
const OPERATIONS: &[S3Operation] = &[
    put("CreateBucket", "", "CreateBucketConfiguration"),
    delete("DeleteBucket", ""),
    delete("DeleteBucketPolicy", "policy"),
    get("GetBucketEncryption", "encryption", Some("ServerSideEncryptionConfiguration")),
    get("GetBucketLocation", "location", Some("LocationConstraint")),
    get("GetBucketNotificationConfiguration", "notification", None),
    get("GetBucketOwnershipControls", "ownershipControls", Some("OwnershipControls")),
    get("GetBucketPolicy", "policy", Some("Policy")),
    get("GetBucketTagging", "tagging", None),
    get("GetPublicAccessBlock", "publicAccessBlock", Some("PublicAccessBlockConfiguration")),
    S3Operation { name: "HeadBucket", method: "HEAD", part: "", body: None, answer: None },
    get("ListObjectVersions", "versions", None),
    // Keys may hold what XML cannot.
    get("ListObjectsV2", "list-type=2&encoding-type=url", None),
    put("PutBucketEncryption", "encryption", "ServerSideEncryptionConfiguration"),
    put("PutBucketNotificationConfiguration", "notification", "NotificationConfiguration"),
    put("PutBucketOwnershipControls", "ownershipControls", "OwnershipControls"),
    put("PutBucketPolicy", "policy", "Policy"),
    put("PutBucketTagging", "tagging", "Tagging"),
    put("PutPublicAccessBlock", "publicAccessBlock", "PublicAccessBlockConfiguration"),
];

/// A bucket that is another account's is refused, though its policy lets in.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html>.
const OWNER: &str = "x-amz-expected-bucket-owner";

/// Whoever asks pays for it.
const PAYER: &str = "x-amz-request-payer";

/// Members of the input that the query has.
const PARAMETERS: &[(&str, &str)] = &[
    ("ContinuationToken", "continuation-token"),
    ("Delimiter", "delimiter"),
    ("Prefix", "prefix"),
    ("StartAfter", "start-after"),
];

/// A key in a path: what separates folders stays.
const KEY: &AsciiSet = &ESCAPED.remove(b'/');

/// The request for an object.
pub(super) fn get_object(request: &ObjectRequest<'_>, owner: Option<&str>) -> UnsignedRequest {
    let bucket = utf8_percent_encode(request.bucket, ESCAPED);
    let path = format!("/{bucket}/{}", utf8_percent_encode(request.key, KEY));
    let version = request.version.map(|version| utf8_percent_encode(version, ESCAPED));
    let query = version.map_or_else(String::new, |version| format!("versionId={version}"));
    let mut headers = Vec::new();
    if request.from > 0 {
        headers.push(("range", format!("bytes={}-", request.from)));
    }
    headers.extend(request.if_match.map(|etag| ("if-match", format!("\"{etag}\""))));
    headers.extend(request.requester_pays.then(|| (PAYER, "requester".to_owned())));
    headers.extend(owner.map(|owner| (OWNER, owner.to_owned())));
    UnsignedRequest { method: "GET", path, query, headers, body: Vec::new() }
}

fn operation(name: &str) -> Option<&'static S3Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

/// The request: with the bucket in the path, which a caller may move into the host's name. None for an operation that is not known.
pub(super) fn request(name: &str, input: &Value, owner: Option<&str>) -> Option<UnsignedRequest> {
    let S3Operation { method, part, body, .. } = operation(name)?;
    let bucket = input.get("Bucket")?.as_str()?;
    let body = body.and_then(|member| Some((member, input.get(member)?)));
    let body = body.map(|(member, value)| match value.as_str() {
        Some(document) => document.to_owned(),
        None => xml::write(member, value),
    });
    let mut query = vec![(*part).to_owned()];
    query.extend(input.get("MaxKeys").map(|most| format!("max-keys={most}")));
    let text = |(member, part): &(&str, &str)| {
        let value = input.get(*member)?.as_str()?;
        Some(format!("{part}={}", utf8_percent_encode(value, ESCAPED)))
    };
    query.extend(PARAMETERS.iter().filter_map(text));
    query.retain(|part| !part.is_empty());
    let mut headers = Vec::new();
    let payer = input.get("RequestPayer").and_then(Value::as_str);
    headers.extend(payer.map(|payer| (PAYER, payer.to_owned())));
    headers.extend(owner.filter(|_| name != "CreateBucket").map(|owner| (OWNER, owner.to_owned())));
    let body = body.unwrap_or_default().into_bytes();
    if !body.is_empty() {
        let hash = digest::digest(&digest::SHA256, &body);
        headers.push(("x-amz-checksum-sha256", base64_simd::STANDARD.encode_to_string(hash)));
        headers.push(("content-type", "application/xml".to_owned()));
    }
    let path = format!("/{}", utf8_percent_encode(bucket, ESCAPED));
    Some(UnsignedRequest { method, path, query: query.join("&"), headers, body })
}

/// The output of an operation by the API's names.
pub(super) fn answer(name: &str, body: &str) -> Option<Value> {
    let known = operation(name)?;
    if known.method != "GET" || body.is_empty() {
        // What changes something has nothing to tell.
        return Some(json!({}));
    }
    if name == "GetBucketPolicy" {
        return Some(json!({ "Policy": body }));
    }
    let (_, value) = xml::read(body)?;
    Some(match known.answer {
        Some(member) => json!({ member: value }),
        None => value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, input: &Value, line: &str, body: &str) {
        let wire = request(name, input, Some("222222222222")).unwrap();
        assert_eq!(format!("{} {}?{}", wire.method, wire.path, wire.query), line);
        assert_eq!(String::from_utf8(wire.body).unwrap(), body);
        assert_eq!(wire.headers.iter().any(|(name, _)| *name == OWNER), name != "CreateBucket");
        assert_eq!(wire.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum")), !body.is_empty());
    }

    #[test]
    fn each_operation_goes_where_s3_has_it() {
        let xmlns = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
        check("GetBucketPolicy", &json!({ "Bucket": "org-logs" }), "GET /org-logs?policy", "");
        check("CreateBucket", &json!({ "Bucket": "b" }), "PUT /b?", "");
        check(
            "CreateBucket",
            &json!({ "Bucket": "b", "CreateBucketConfiguration": { "LocationConstraint": "eu-west-1" } }),
            "PUT /b?",
            &format!(
                "<CreateBucketConfiguration {xmlns}><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
            ),
        );
        check("PutBucketPolicy", &json!({ "Bucket": "b", "Policy": "{}" }), "PUT /b?policy", "{}");
        check(
            "PutBucketOwnershipControls",
            &json!({ "Bucket": "b", "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] } }),
            "PUT /b?ownershipControls",
            &format!(
                "<OwnershipControls {xmlns}><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
            ),
        );
        check(
            "ListObjectVersions",
            &json!({ "Bucket": "b", "MaxKeys": 1 }),
            "GET /b?versions&max-keys=1",
            "",
        );
        assert!(request("GetObject", &json!({ "Bucket": "b" }), None).is_none());
    }

    #[test]
    fn answers_have_the_apis_members() {
        let check = |name, body, expected| assert_eq!(answer(name, body), Some(expected), "{name}");
        check("GetBucketLocation", "<LocationConstraint/>", json!({ "LocationConstraint": "" }));
        check(
            "GetBucketOwnershipControls",
            "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
            json!({ "OwnershipControls": { "Rules": [{ "ObjectOwnership": "ObjectWriter" }] } }),
        );
        check("GetBucketPolicy", "{\"a\":1}", json!({ "Policy": "{\"a\":1}" }));
        check("PutBucketPolicy", "{\"an\": \"echo\"}", json!({}));
    }
}
