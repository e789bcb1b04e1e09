//! `DescribeDeliveryStream`: what a stream is, as its settings say.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::json;

use super::errors::AwsError;
use super::sigv4;
use super::state::State;

/// The status of a stream whose description ends before its end, as no answer of AWS's does.
pub(crate) const UNREADABLE: &str = "UNREADABLE";

/// Whether a call is one.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    parts.headers.get("x-amz-target").is_some_and(|is| is == "Firehose_20150804.DescribeDeliveryStream")
}

/// Answers it.
pub(crate) fn answer(state: &State, parts: &Parts, body: &[u8]) -> Response<Bytes> {
    match describe(state, parts, body) {
        Ok(reply) => Response::builder()
            .header("content-type", "application/x-amz-json-1.1")
            .body(Bytes::from(cut(reply.to_string())))
            .unwrap(),
        Err(error) => {
            state.oracle().error(error.code);
            error.json()
        }
    }
}

fn cut(mut reply: String) -> String {
    if reply.contains(UNREADABLE) {
        reply.truncate(reply.len() / 2);
    }
    reply
}

fn describe(state: &State, parts: &Parts, body: &[u8]) -> Result<serde_json::Value, AwsError> {
    let caller = sigv4::verify(state, parts, body, "firehose")?;
    let request: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| AwsError::new(400, "SerializationException", "not JSON"))?;
    let name = request["DeliveryStreamName"].as_str().unwrap_or_default();
    let account = &caller.account;
    let role = caller.session.as_ref().and_then(|session| state.role(&session.role));
    if role.is_some_and(|role| !role.may_describe) {
        let message = format!(
            "User: {} is not authorized to perform: firehose:DescribeDeliveryStream on resource: \
             arn:aws:firehose:us-east-1:{account}:deliverystream/{name}",
            caller.principal
        );
        return Err(AwsError::new(403, "AccessDeniedException", message));
    }
    let stream = state.description(account, name).ok_or_else(|| {
        let message = format!("Firehose {name} under account {account} not found.");
        AwsError::new(400, "ResourceNotFoundException", message)
    })?;
    let processors = if stream.decompresses { json!([{ "Type": "Decompression" }]) } else { json!([]) };
    Ok(json!({ "DeliveryStreamDescription": {
        "DeliveryStreamName": name,
        "DeliveryStreamARN": format!("arn:aws:firehose:us-east-1:{account}:deliverystream/{name}"),
        "DeliveryStreamStatus": stream.status,
        "DeliveryStreamType": stream.source,
        "VersionId": "1",
        "Destinations": [{
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationDescription": {
                "RoleARN": format!("arn:aws:iam::{account}:role/firehose"),
                "BucketARN": "arn:aws:s3:::logs",
                "BufferingHints": {},
                "CompressionFormat": "UNCOMPRESSED",
                "EncryptionConfiguration": {},
                "ProcessingConfiguration": { "Enabled": stream.decompresses, "Processors": processors },
            },
        }],
        "HasMoreDestinations": false,
    }}))
}
