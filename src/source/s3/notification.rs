//! What a message of the queue announces, told by its shape. Pure.
//!
//! S3's own events come bare, wrapped by SNS, or as `EventBridge` has them; `CloudTrail` sends an SNS message of its own.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// An object that is to be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ObjectName {
    pub(super) bucket: Box<str>,
    pub(super) key: Box<str>,
    /// The key as it was written, where that is another one.
    pub(super) written: Option<Box<str>>,
    /// Of the content that is announced.
    pub(super) etag: Option<Box<str>>,
    pub(super) version: Option<Box<str>>,
    pub(super) size: Option<u64>,
}

impl ObjectName {
    /// The same key with another content than was announced; none: it is the one that was.
    pub(super) fn with_content(&self, etag: Option<&str>) -> Option<Self> {
        let etag = etag.filter(|etag| self.etag.as_deref() != Some(etag))?;
        Some(Self { etag: Some(etag.into()), version: None, ..self.clone() })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What a message says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Announcement {
    /// These objects are there; and so many things happened that make nothing readable.
    Objects(Vec<ObjectName>, u64),
    /// The queue was tried out.
    Test,
    /// It is none of these forms.
    Foreign,
}

/// What `CloudTrail` sends to a topic that it is given.
const CLOUDTRAIL_TEST: &str = "CloudTrail validation message.";

/// Reads the body of a message.
pub(super) fn read(body: &str) -> Announcement {
    let Ok(json) = serde_json::from_str::<Value>(body) else { return Announcement::Foreign };
    let is_sns = json.get("Type").and_then(Value::as_str) == Some("Notification");
    let inside = json.get("Message").and_then(Value::as_str).filter(|_| is_sns);
    match inside {
        Some(CLOUDTRAIL_TEST) => Announcement::Test,
        Some(message) => match serde_json::from_str(message) {
            Ok(json) => of_json(&json),
            Err(_) => Announcement::Foreign,
        },
        None => of_json(&json),
    }
}

fn of_json(json: &Value) -> Announcement {
    let known = of_s3(json).or_else(|| of_event_bridge(json)).or_else(|| of_cloudtrail(json));
    known.unwrap_or_else(|| match json.get("Event").and_then(Value::as_str) {
        Some("s3:TestEvent") => Announcement::Test,
        Some(_) | None => Announcement::Foreign,
    })
}

fn of_s3(json: &Value) -> Option<Announcement> {
    let records = json.get("Records")?.as_array()?;
    let (mut objects, mut passed) = (Vec::new(), 0);
    for record in records {
        let is_s3 = record.get("eventSource").and_then(Value::as_str).is_none_or(|from| from == "aws:s3");
        let event = text(record, "eventName").filter(|_| is_s3)?;
        let s3 = record.get("s3")?;
        let object = s3.get("object")?;
        let written = text(object, "key")?;
        let name = ObjectName {
            bucket: text(s3.get("bucket")?, "name")?.into(),
            ..of_object(object, "eTag", "versionId")
        };
        if is_readable(event.strip_prefix("s3:").unwrap_or(event)) {
            objects.push(of_written_key(name, written));
        } else {
            passed += 1;
        }
    }
    (!records.is_empty()).then_some(Announcement::Objects(objects, passed))
}

fn of_event_bridge(json: &Value) -> Option<Announcement> {
    let kind = text(json, "detail-type").filter(|_| text(json, "source") == Some("aws.s3"))?;
    let detail = json.get("detail")?;
    let object = detail.get("object")?;
    let (bucket, key) = (text(detail.get("bucket")?, "name")?.into(), text(object, "key")?.into());
    let name = ObjectName { bucket, key, ..of_object(object, "etag", "version-id") };
    Some(match kind {
        "Object Created" | "Object Restore Completed" => Announcement::Objects(vec![name], 0),
        _ => Announcement::Objects(Vec::new(), 1),
    })
}

fn of_cloudtrail(json: &Value) -> Option<Announcement> {
    let bucket = text(json, "s3Bucket")?;
    let keys = match json.get("s3ObjectKey")? {
        Value::Array(keys) => keys.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?,
        Value::String(key) => vec![key.as_str()],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    let name = |key: &str| ObjectName { bucket: bucket.into(), key: key.into(), ..ObjectName::default() };
    Some(Announcement::Objects(keys.into_iter().map(name).collect(), 0))
}

/// Whether an event says that an object can be read from now on.
fn is_readable(event: &str) -> bool {
    event.starts_with("ObjectCreated:") || event == "ObjectRestore:Completed"
}

fn of_object(object: &Value, etag: &str, version: &str) -> ObjectName {
    ObjectName {
        etag: text(object, etag)
            .map(|etag| etag.trim_matches('"'))
            .filter(|etag| !etag.is_empty())
            .map(Box::from),
        version: text(object, version).filter(|version| !version.is_empty()).map(Box::from),
        size: object.get("size").and_then(Value::as_u64),
        ..ObjectName::default()
    }
}

/// Sets the key that S3 wrote as forms have it: a blank as `+`, and what is special as `%` and two digits.
fn of_written_key(name: ObjectName, written: &str) -> ObjectName {
    let key = decoded(written);
    let other = (key != written).then(|| Box::from(written));
    ObjectName { key: key.into(), written: other, ..name }
}

fn decoded(written: &str) -> Cow<'_, str> {
    let blanks = written.replace('+', " ");
    let decoded = percent_decode_str(&blanks).decode_utf8();
    decoded.map_or(Cow::Borrowed(written), |key| Cow::Owned(key.into_owned()))
}

fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member)?.as_str()
}

/// Why an object is passed over that its key tells to hold no events.
pub(super) fn is_passed_over(name: &ObjectName) -> bool {
    let key = &*name.key;
    let is_folder = key.ends_with('/') && name.size.unwrap_or(0) == 0;
    let file = key.rsplit('/').next().unwrap_or(key);
    let is_digest = key.split('/').any(|part| part == "CloudTrail-Digest");
    // What a load balancer, and an export of CloudWatch Logs, write to see whether they may.
    is_folder || is_digest || matches!(file, "ELBAccessLogTestFile" | "aws-logs-write-test")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn name(bucket: &str, key: &str) -> ObjectName {
        ObjectName { bucket: bucket.into(), key: key.into(), ..ObjectName::default() }
    }

    fn s3(event: &str, key: &str) -> Value {
        json!({ "Records": [{ "eventVersion": "2.6", "eventSource": "aws:s3", "eventName": event, "s3": {
            "bucket": { "name": "b" },
            "object": { "key": key, "size": 9, "eTag": "e", "versionId": "v", "sequencer": "00A" } } }] })
    }

    fn sns(message: &Value) -> Value {
        json!({ "Type": "Notification", "TopicArn": "arn", "Message": message.to_string() })
    }

    fn trail() -> Value {
        json!({ "s3Bucket": "b", "s3ObjectKey": ["a+b/1.json.gz", "2.json.gz"] })
    }

    #[track_caller]
    fn check(body: &Value, expected: &Announcement) {
        assert_eq!(read(&body.to_string()), *expected, "{body}");
    }

    #[test]
    fn every_form_names_its_objects() {
        let full =
            ObjectName { etag: Some("e".into()), version: Some("v".into()), size: Some(9), ..name("b", "k") };
        let objects = |objects: &[&ObjectName]| {
            Announcement::Objects(objects.iter().map(|name| (*name).clone()).collect(), 0)
        };
        let one = s3("ObjectCreated:Put", "k");
        check(&one, &objects(&[&full]));
        check(&sns(&one), &objects(&[&full]));
        check(&s3("ObjectRestore:Completed", "k"), &objects(&[&full]));
        let bridge = json!({ "version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": {
            "bucket": { "name": "b" }, "object": { "key": "k", "size": 9, "etag": "e", "version-id": "v" } } });
        check(&bridge, &objects(&[&full]));
        check(&sns(&bridge), &objects(&[&full]));
        let both = [&name("b", "a+b/1.json.gz"), &name("b", "2.json.gz")];
        check(&trail(), &objects(&both));
        check(&sns(&trail()), &objects(&both));
        let twice = json!({ "Records": [one["Records"][0], one["Records"][0]] });
        check(&twice, &objects(&[&full, &full]));
        // An emulator leaves out what is optional.
        let bare = json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": {
            "bucket": { "name": "b" }, "object": { "key": "k" } } }] });
        check(&bare, &objects(&[&name("b", "k")]));
    }

    #[test]
    fn what_makes_nothing_readable_is_passed_and_counted() {
        for event in
            ["ObjectRemoved:Delete", "ObjectRestore:Post", "LifecycleExpiration:Delete", "ObjectTagging:Put"]
        {
            check(&s3(event, "k"), &Announcement::Objects(Vec::new(), 1));
        }
        let deleted = json!({ "source": "aws.s3", "detail-type": "Object Deleted", "detail": {
            "bucket": { "name": "b" }, "object": { "key": "k" } } });
        check(&deleted, &Announcement::Objects(Vec::new(), 1));
    }

    #[test]
    fn a_test_is_told_from_what_is_foreign() {
        let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" });
        check(&test, &Announcement::Test);
        check(&sns(&test), &Announcement::Test);
        check(&json!({ "Type": "Notification", "Message": CLOUDTRAIL_TEST }), &Announcement::Test);
        for foreign in [
            json!({}),
            json!([]),
            json!({ "Records": [] }),
            json!({ "Records": [{ "eventSource": "aws:sns", "eventName": "ObjectCreated:Put" }] }),
            json!({ "Type": "Notification", "Message": "hello" }),
            json!({ "s3Bucket": "b", "s3ObjectKey": [1] }),
            json!({ "source": "aws.ec2", "detail-type": "Object Created", "detail": {} }),
        ] {
            check(&foreign, &Announcement::Foreign);
        }
        assert_eq!(read("no json"), Announcement::Foreign);
    }

    #[test]
    fn a_key_is_decoded_as_forms_are_and_kept_as_it_was_written() {
        let check = |written: &str, key: &str| {
            let found = of_written_key(ObjectName::default(), written);
            assert_eq!((&*found.key, found.written.as_deref()), (key, (key != written).then_some(written)));
        };
        check("a/b-c.gz", "a/b-c.gz");
        check("a+b/%C3%BC%2B.gz", "a b/ü+.gz");
        check("a%2Fb", "a/b");
        check("100%", "100%");
        check("%FF", "%FF");
    }

    #[test]
    fn folders_digests_and_tests_hold_no_events() {
        let check = |key: &str, size, expected| {
            assert_eq!(is_passed_over(&ObjectName { size, ..name("b", key) }), expected, "{key}");
        };
        check("AWSLogs/", Some(0), true);
        check("AWSLogs/", None, true);
        check("odd/", Some(5), false);
        check("AWSLogs/1/CloudTrail-Digest/us-east-1/x.json.gz", None, true);
        check("AWSLogs/1/CloudTrail/us-east-1/x.json.gz", None, false);
        check("AWSLogs/1/CloudTrail-Insight/us-east-1/x.json.gz", None, false);
        check("p/AWSLogs/1/ELBAccessLogTestFile", Some(1), true);
        check("export/aws-logs-write-test", Some(27), true);
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in "\\PC*", key in "\\PC*") {
            read(&body);
            let Announcement::Objects(objects, 0) = read(&s3("ObjectCreated:Put", &key).to_string()) else { panic!() };
            prop_assert_eq!(objects.len(), 1);
        }
    }
}
