//! What Firehose is answered: exactly the form it asks for, or it would take a 200 for a failure.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::event::Timestamp;

/// An answer with its body at hand, so that `Content-Length` is set.
pub(super) type HttpAnswer = Response<Full<Bytes>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerBody<'a> {
    request_id: &'a str,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

/// An answer of the protocol's form.
pub(super) fn answer(status: StatusCode, request_id: &str, error: Option<&str>) -> HttpAnswer {
    let body = AnswerBody { request_id, timestamp: Timestamp::now().0, error_message: error };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut answer = with_type(status, "application/json", Bytes::from(body));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// An answer to anything that is not Firehose.
pub(super) fn plain(status: StatusCode) -> HttpAnswer {
    let text = match status {
        StatusCode::OK => "ok\n",
        StatusCode::METHOD_NOT_ALLOWED => "send records with POST\n",
        _ => "not found\n",
    };
    let mut answer = with_type(status, "text/plain", Bytes::from_static(text.as_bytes()));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    answer
}

fn with_type(status: StatusCode, content_type: &'static str, body: Bytes) -> HttpAnswer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
