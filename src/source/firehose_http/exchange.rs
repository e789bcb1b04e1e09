//! One request and its answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::answer::{Answer, answer, plain};
use super::delivery::{Broken, Delivery, discard};
use super::ledger::Key;
use super::progress::Progress;
use super::request::{self, Refusal, Sender};
use crate::event::{Origin, Outcome};

/// Answers any request.
pub(super) async fn exchange(shared: &Shared, request: Request<Incoming>) -> Answer {
    match *request.method() {
        Method::POST => post(shared, request).await,
        Method::GET | Method::HEAD if matches!(request.uri().path(), "/" | "/healthz") => {
            plain(StatusCode::OK)
        }
        Method::GET | Method::HEAD => plain(StatusCode::NOT_FOUND),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED),
    }
}

async fn post(shared: &Shared, request: Request<Incoming>) -> Answer {
    let deadline = Instant::now() + shared.timeout;
    let (head, mut body) = request.into_parts();
    let sender = match shared.admission.check(&head.headers) {
        Ok(sender) => sender,
        Err(refusal) => {
            read_past(&mut body).await;
            return refuse(shared, &head.headers, refusal);
        }
    };
    let key = sender
        .request_id
        .as_deref()
        .map(|id| Key { id: id.into(), source_arn: sender.source_arn.as_str().into() });
    // Without an id nothing ties two deliveries together.
    let progress = match &key {
        Some(key) => shared.ledger.progress(key, Instant::now()),
        None => Arc::default(),
    };
    let mut id = sender.request_id.clone();
    let read = read(shared, &head.headers, &sender, &progress, &mut body, &mut id);
    let end = match timeout_at(deadline, read).await {
        Ok(Ok(())) => timeout_at(deadline, progress.ended()).await.map_or(End::Late, End::from),
        Ok(Err(broken)) => End::Broken(broken),
        Err(_) => End::Full,
    };
    if !matches!(end, End::Delivered) {
        read_past(&mut body).await;
    }
    if let (End::Broken(Broken::Mismatch), Some(key)) = (&end, &key) {
        shared.ledger.forget(key);
    }
    end.answer(shared, &id.unwrap_or_default())
}

/// For so long the rest of a body that is not wanted is read: a sender that is still sending would not read the answer.
const COURTESY: Duration = Duration::from_secs(5);

async fn read_past(body: &mut Incoming) {
    timeout(COURTESY, discard(body)).await.ok();
}

/// Reads the delivery, or past it where another delivery of the same request is being read.
async fn read(
    shared: &Shared,
    headers: &HeaderMap,
    sender: &Sender,
    progress: &Arc<Progress>,
    body: &mut Incoming,
    id: &mut Option<String>,
) -> Result<(), Broken> {
    let Some(reader) = progress.begin() else {
        discard(body).await;
        return Ok(());
    };
    let attributes = request::attributes(headers).unwrap_or_else(|_| {
        shared.intake.metrics.error("attributes");
        request::Attributes::default()
    });
    let origin = Origin {
        source: Arc::clone(&shared.name),
        host: Arc::clone(&shared.host),
        attributes,
        ..Origin::default()
    };
    Delivery::new(shared, Arc::new(origin), sender.is_gzip, reader).read(body, id).await
}

fn refuse(shared: &Shared, headers: &HeaderMap, refusal: Refusal) -> Answer {
    let (status, reason, message) = match refusal {
        Refusal::Unauthorized => (
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the access key is missing or not one of this endpoint's",
        ),
        Refusal::Forbidden => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "the stream's ARN is not one of this endpoint's `source_arns`",
        ),
        Refusal::Encoding => {
            (StatusCode::BAD_REQUEST, "bad_request", "the content encoding is neither `gzip` nor `identity`")
        }
    };
    shared.intake.metrics.error(reason);
    tracing::warn!(source = &*shared.name, reason, "a request was refused");
    let id = request::request_id(headers).unwrap_or_default();
    answer(status, &id, Some(message))
}

/// How a delivery ended.
enum End {
    Delivered,
    /// A record was given up, by a destination that has no room.
    GivenUp,
    /// Delivery takes longer than the sender waits.
    Late,
    /// It was not read to its end in time, mostly for want of memory.
    Full,
    Broken(Broken),
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Delivered,
            Outcome::Abandoned => Self::GivenUp,
        }
    }
}

impl End {
    fn answer(self, shared: &Shared, id: &str) -> Answer {
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
                    Broken::Mismatch => (again, "mismatch"),
                    Broken::Closed => (again, "closed"),
                    Broken::Aborted => (StatusCode::BAD_REQUEST, "aborted"),
                    Broken::Body(_) | Broken::Gzip(_) | Broken::TooLong => {
                        (StatusCode::BAD_REQUEST, "bad_request")
                    }
                };
                (status, reason, broken.to_string())
            }
        };
        shared.intake.metrics.error(reason);
        tracing::warn!(source = &*shared.name, reason, "a request was not taken");
        answer(status, id, Some(&message))
    }
}
