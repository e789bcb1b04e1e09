//! One request and its answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::{self, RefusalReason, RequestHeaders};
use super::answer::{HttpAnswer, answer, plain};
use super::context::HttpContext;
use super::recent::RequestKey;
use super::request_reader::{ReadError, RequestReader, discard};
use super::request_state::RequestState;
use crate::event::{Origin, Outcome};

/// Answers any request.
pub(super) async fn handle(context: &HttpContext, request: Request<Incoming>) -> HttpAnswer {
    match *request.method() {
        Method::POST => post(context, request).await,
        Method::GET | Method::HEAD if matches!(request.uri().path(), "/" | "/healthz") => {
            plain(StatusCode::OK)
        }
        Method::GET | Method::HEAD => plain(StatusCode::NOT_FOUND),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED),
    }
}

async fn post(context: &HttpContext, request: Request<Incoming>) -> HttpAnswer {
    let deadline = Instant::now() + context.timeout;
    let (head, mut body) = request.into_parts();
    let sender = match context.admission.check(&head.headers) {
        Ok(sender) => sender,
        Err(refusal) => {
            read_past(&mut body).await;
            return refuse(context, &head.headers, refusal);
        }
    };
    let key = sender
        .request_id
        .as_deref()
        .map(|id| RequestKey { id: id.into(), source_arn: sender.source_arn.as_str().into() });
    // Without an id nothing ties two deliveries together.
    let state = match &key {
        Some(key) => context.recent.state(key, Instant::now()),
        None => Arc::default(),
    };
    let mut id = sender.request_id.clone();
    let read = read(context, &head.headers, &sender, &state, &mut body, &mut id);
    let end = match timeout_at(deadline, read).await {
        Ok(Ok(())) => {
            timeout_at(deadline, state.ended()).await.map_or(RequestOutcome::Late, RequestOutcome::from)
        }
        Ok(Err(broken)) => RequestOutcome::Broken(broken),
        Err(_) => RequestOutcome::Full,
    };
    if !matches!(end, RequestOutcome::Delivered) {
        read_past(&mut body).await;
    }
    if let (RequestOutcome::Broken(ReadError::Mismatch), Some(key)) = (&end, &key) {
        context.recent.forget(key);
    }
    end.answer(context, &id.unwrap_or_default())
}

/// For so long the rest of a body that is not wanted is read: a sender that is still sending would not read the answer.
const COURTESY: Duration = Duration::from_secs(5);

async fn read_past(body: &mut Incoming) {
    timeout(COURTESY, discard(body)).await.ok();
}

/// Reads the delivery, or past it where another delivery of the same request is being read.
async fn read(
    context: &HttpContext,
    headers: &HeaderMap,
    sender: &RequestHeaders,
    state: &Arc<RequestState>,
    body: &mut Incoming,
    id: &mut Option<String>,
) -> Result<(), ReadError> {
    let Some(reader) = state.begin() else {
        discard(body).await;
        return Ok(());
    };
    let attributes = admission::attributes(headers).unwrap_or_else(|_| {
        context.intake.metrics.error("attributes");
        admission::Attributes::default()
    });
    let origin = Origin {
        source: Arc::clone(&context.name),
        host: Arc::clone(&context.host),
        attributes,
        ..Origin::default()
    };
    RequestReader::new(context, Arc::new(origin), sender.is_gzip, reader).read(body, id).await
}

fn refuse(context: &HttpContext, headers: &HeaderMap, refusal: RefusalReason) -> HttpAnswer {
    let (status, reason, message) = match refusal {
        RefusalReason::Unauthorized => (
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the access key is missing or not one of this endpoint's",
        ),
        RefusalReason::Forbidden => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "the stream's ARN is not one of this endpoint's `source_arns`",
        ),
        RefusalReason::Encoding => {
            (StatusCode::BAD_REQUEST, "bad_request", "the content encoding is neither `gzip` nor `identity`")
        }
    };
    context.intake.metrics.error(reason);
    tracing::warn!(source = &*context.name, reason, "a request was refused");
    let id = admission::request_id(headers).unwrap_or_default();
    answer(status, &id, Some(message))
}

/// How a delivery ended.
enum RequestOutcome {
    Delivered,
    /// A record was given up, by a destination that has no room.
    GivenUp,
    /// RequestReader takes longer than the sender waits.
    Late,
    /// It was not read to its end in time, mostly for want of memory.
    Full,
    Broken(ReadError),
}

impl From<Outcome> for RequestOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Delivered,
            Outcome::Abandoned => Self::GivenUp,
        }
    }
}

impl RequestOutcome {
    fn answer(self, context: &HttpContext, id: &str) -> HttpAnswer {
        let again = StatusCode::SERVICE_UNAVAILABLE;
        let (status, reason, message) = match self {
            Self::Delivered => return answer(StatusCode::OK, id, None),
            Self::GivenUp => {
                (again, "given_up", "a destination has no room; send the request again".to_owned())
            }
            Self::Late => (again, "timeout", "not delivered yet; send the request again".to_owned()),
            Self::Full => {
                (again, "full", "no room to take the whole request in time; send it again".to_owned())
            }
            Self::Broken(broken) => {
                let (status, reason) = match broken {
                    ReadError::Mismatch => (again, "mismatch"),
                    ReadError::Closed => (again, "closed"),
                    ReadError::Aborted => (StatusCode::BAD_REQUEST, "aborted"),
                    ReadError::Body(_) | ReadError::Gzip(_) | ReadError::TooLong => {
                        (StatusCode::BAD_REQUEST, "bad_request")
                    }
                };
                (status, reason, broken.to_string())
            }
        };
        context.intake.metrics.error(reason);
        tracing::warn!(source = &*context.name, reason, "a request was not taken");
        answer(status, id, Some(&message))
    }
}
