//! A call as the request that its service takes, and the answer as JSON by the API's names.

use serde_json::{Value, json};

use super::api_call::{ApiCall, AwsService};
use super::unsigned::UnsignedRequest;
use super::{query, rest, xml};
use crate::aws::probe::CallError;

/// How a service is spoken to.
///
/// Source: the services' models.
#[derive(Clone, Copy, Debug)]
enum ServiceProtocol {
    /// JSON, of a version, with the operation in a header after this.
    Json(&'static str, &'static str),
    /// A form of a version of the API; the answer is XML.
    Query(&'static str),
    /// S3's own.
    Rest,
}

const fn protocol(service: AwsService) -> ServiceProtocol {
    match service {
        AwsService::Logs => ServiceProtocol::Json("1.1", "Logs_20140328"),
        AwsService::Firehose => ServiceProtocol::Json("1.1", "Firehose_20150804"),
        AwsService::Kinesis => ServiceProtocol::Json("1.1", "Kinesis_20131202"),
        AwsService::Kms => ServiceProtocol::Json("1.1", "TrentService"),
        AwsService::DynamoDb => ServiceProtocol::Json("1.0", "DynamoDB_20120810"),
        AwsService::Sqs => ServiceProtocol::Json("1.0", "AmazonSQS"),
        AwsService::Iam => ServiceProtocol::Query("2010-05-08"),
        AwsService::Sts => ServiceProtocol::Query("2011-06-15"),
        AwsService::CloudWatch => ServiceProtocol::Query("2010-08-01"),
        AwsService::S3 => ServiceProtocol::Rest,
    }
}

/// The request of a call; a bucket has to be `owner`'s. None for an operation of S3 that is not known.
pub(super) fn request(call: &ApiCall, owner: Option<&str>) -> Option<UnsignedRequest> {
    let post = |headers, body| UnsignedRequest {
        method: "POST",
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body,
    };
    match protocol(call.service) {
        ServiceProtocol::Json(version, target) => {
            let headers = vec![
                ("content-type", format!("application/x-amz-json-{version}")),
                ("x-amz-target", format!("{target}.{}", call.operation)),
            ];
            Some(post(headers, call.input.to_string().into_bytes()))
        }
        ServiceProtocol::Query(version) => {
            let content = "application/x-www-form-urlencoded; charset=utf-8".to_owned();
            let body = query::form(call.operation, version, &call.input);
            Some(post(vec![("content-type", content)], body.into_bytes()))
        }
        ServiceProtocol::Rest => rest::request(call.operation, &call.input, owner),
    }
}

/// What a successful answer says.
pub(super) fn answer(call: &ApiCall, body: &str) -> Result<Value, CallError> {
    let read = match protocol(call.service) {
        ServiceProtocol::Json(..) if body.trim().is_empty() => Some(json!({})),
        ServiceProtocol::Json(..) => serde_json::from_str(body).ok(),
        ServiceProtocol::Query(_) => xml::read(body).map(|(_, mut root)| {
            let result = root.get_mut(format!("{}Result", call.operation)).map(Value::take);
            result.filter(Value::is_object).unwrap_or_else(|| json!({}))
        }),
        ServiceProtocol::Rest => rest::answer(call.operation, body),
    };
    read.ok_or_else(|| CallError::Unreadable(format!("the answer to `{call}` cannot be read")))
}

/// The code and the words of an answer that says no, in whichever form it comes: proxies and emulators mix them.
pub(super) fn refusal(status: u16, header: Option<&str>, body: &str) -> CallError {
    let (code, message) = match serde_json::from_str::<Value>(body) {
        Ok(json) => said(&json, ["__type", "code", "Code"], ["message", "Message", "errorMessage"]),
        Err(_) => xml::read(body).map_or((None, None), |(_, root)| {
            let below = |value: &Value, name: &str| value.get(name).cloned();
            let inner = below(&root, "Errors").unwrap_or(root);
            let error = below(&inner, "Error").unwrap_or(inner);
            said(&error, ["Code", "code", "__type"], ["Message", "message", "errorMessage"])
        }),
    };
    let code = header.map(str::to_owned).or(code);
    let code = code.as_deref().map_or_else(|| status.to_string(), bare);
    let message = message.unwrap_or_else(|| {
        let start: String = body.trim().chars().take(200).collect();
        if start.is_empty() || start.starts_with('<') { format!("status {status}") } else { start }
    });
    CallError::Answered { code, message }
}

/// The region that S3 names in an error, for a bucket that is elsewhere.
pub(super) fn bucket_region(body: &str) -> Option<String> {
    let (_, error) = xml::read(body)?;
    Some(error.get("Region")?.as_str()?.to_owned())
}

fn said(error: &Value, codes: [&str; 3], messages: [&str; 3]) -> (Option<String>, Option<String>) {
    let first = |names: [&str; 3]| names.iter().find_map(|name| Some(error.get(name)?.as_str()?.to_owned()));
    (first(codes), first(messages))
}

/// `com.amazonaws.sqs#QueueDoesNotExist` and `AccessDenied:http://..` without what is around the code.
fn bare(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.split([':', ';']).next().unwrap_or(code).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(service: AwsService, operation: &'static str, input: Value, header: (&str, &str), body: &str) {
        let wire = request(&ApiCall::new(service, operation, input), None).unwrap();
        let found = wire.headers.iter().find(|(name, _)| *name == header.0).map(|(_, value)| value.as_str());
        assert_eq!(found, Some(header.1), "{operation}");
        assert_eq!(String::from_utf8(wire.body).unwrap(), body);
        assert_eq!((wire.method, wire.path.as_str()), ("POST", "/"));
    }

    #[test]
    fn each_service_is_spoken_to_in_its_way() {
        let target = "x-amz-target";
        let content = "content-type";
        let name = json!({ "logGroupName": "a" });
        check(
            AwsService::Logs,
            "CreateLogGroup",
            name,
            (target, "Logs_20140328.CreateLogGroup"),
            r#"{"logGroupName":"a"}"#,
        );
        check(AwsService::Kms, "CreateKey", json!({}), (target, "TrentService.CreateKey"), "{}");
        check(AwsService::Kms, "CreateKey", json!({}), (content, "application/x-amz-json-1.1"), "{}");
        check(
            AwsService::Sqs,
            "GetQueueUrl",
            json!({ "QueueName": "q" }),
            (target, "AmazonSQS.GetQueueUrl"),
            r#"{"QueueName":"q"}"#,
        );
        check(AwsService::Sqs, "GetQueueUrl", json!({}), (content, "application/x-amz-json-1.0"), "{}");
        check(
            AwsService::DynamoDb,
            "DescribeTable",
            json!({}),
            (target, "DynamoDB_20120810.DescribeTable"),
            "{}",
        );
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let body = "Action=GetCallerIdentity&Version=2011-06-15";
        check(AwsService::Sts, "GetCallerIdentity", json!({}), (content, form), body);
    }

    #[track_caller]
    fn says(status: u16, header: Option<&str>, body: &str, code: &str, message: &str) {
        let expected = CallError::Answered { code: code.to_owned(), message: message.to_owned() };
        assert_eq!(refusal(status, header, body), expected);
    }

    #[test]
    fn a_refusal_is_read_in_every_form() {
        says(
            400,
            None,
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}"#,
            "QueueDoesNotExist",
            "no",
        );
        says(
            400,
            Some("ResourceNotFoundException:http://internal/"),
            r#"{"Message":"no"}"#,
            "ResourceNotFoundException",
            "no",
        );
        let iam = "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
                   <Code>NoSuchEntity</Code><Message>The role with name r cannot be found.</Message></Error>\
                   <RequestId>1</RequestId></ErrorResponse>";
        says(404, None, iam, "NoSuchEntity", "The role with name r cannot be found.");
        let s3 = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>";
        says(404, None, s3, "NoSuchBucket", "none");
        let odd = "<ErrorResponse><Errors><Error><Code>AccessDenied</Code><Message>User: x</Message></Error></Errors></ErrorResponse>";
        says(403, None, odd, "AccessDenied", "User: x");
        says(502, None, "Bad Gateway", "502", "Bad Gateway");
        says(500, None, "", "500", "status 500");
        says(500, None, "<!doctype html>\n<html>\n<title>Internal</title>", "500", "status 500");
    }

    #[test]
    fn a_role_is_read_from_iams_answer() {
        let body = "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role><RoleName>r</RoleName>\
                    <Tags><member><Key>k</Key><Value>v</Value></member></Tags></Role></GetRoleResult>\
                    <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetRoleResponse>";
        let call = ApiCall::new(AwsService::Iam, "GetRole", json!({}));
        let role = json!({ "Role": { "RoleName": "r", "Tags": [{ "Key": "k", "Value": "v" }] } });
        assert_eq!(answer(&call, body), Ok(role));
        assert!(answer(&call, "<html").is_err());
    }
}
