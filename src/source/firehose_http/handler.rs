//! One request and its answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::{self, RefusalReason, RequestHeaders};
use super::answer::{HttpAnswer, answer, plain};
use super::limits::{MAX_REQUEST_ID, MAX_SOURCE_ARN};
use super::pace::discard;
use super::recent::RequestKey;
use super::request_reader::{ReadError, RequestReader};
use super::request_state::RequestState;
use super::session::HttpSession;
use crate::event::{Origin, Outcome, RequestNames};

/// Answers any request.
pub(super) async fn handle(session: &HttpSession, request: Request<Incoming>) -> HttpAnswer {
    match *request.method() {
        Method::POST => post(session, request).await,
        Method::GET | Method::HEAD if matches!(request.uri().path(), "/" | "/healthz") => {
            plain(StatusCode::OK)
        }
        Method::GET | Method::HEAD => plain(StatusCode::NOT_FOUND),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED),
    }
}

async fn post(session: &HttpSession, request: Request<Incoming>) -> HttpAnswer {
    let context = &*session.context;
    let deadline = Instant::now() + context.timeout;
    let (head, mut body) = request.into_parts();
    let names = Arc::new(admission::names(&head.headers));
    let sender = match context.admission.check(&head.headers) {
        Ok(sender) => sender,
        Err(refusal) => {
            read_past(session, &mut body).await;
            return refuse(session, &names, refusal);
        }
    };
    session.state.admit();
    session.slot.work();
    // Without an id nothing ties two deliveries together.
    let key = sender.request_id.as_ref().map(|_| RequestKey::new(&names));
    let state = match &key {
        Some(key) => context.recent.state(key, Instant::now()),
        None => context.recent.nameless(),
    };
    let mut id = sender.request_id.clone();
    let delivery =
        IncomingDelivery { session, headers: &head.headers, sender: &sender, names: &names, state: &state };
    let end = match timeout_at(deadline, delivery.read(&mut body, &mut id)).await {
        Ok(Ok(())) => {
            timeout_at(deadline, state.ended()).await.map_or(RequestOutcome::Late, RequestOutcome::from)
        }
        Ok(Err(error)) => RequestOutcome::Broken(error),
        Err(_) => RequestOutcome::Full,
    };
    // One that comes too slowly is not waited for once more.
    if !matches!(end, RequestOutcome::Delivered | RequestOutcome::Broken(ReadError::TooSlow)) {
        read_past(session, &mut body).await;
    }
    if let (RequestOutcome::Broken(ReadError::Mismatch), Some(key)) = (&end, &key) {
        context.recent.forget(key);
    }
    end.answer(session, &names, &id.unwrap_or_default())
}

/// For so long the rest of a body that is not wanted is read: a sender that is still sending would not read the answer.
const COURTESY: Duration = Duration::from_secs(5);

async fn read_past(session: &HttpSession, body: &mut Incoming) {
    timeout(COURTESY, discard(body, session.context.limits)).await.ok();
}

/// One delivery of a request that was admitted.
struct IncomingDelivery<'a> {
    session: &'a HttpSession,
    headers: &'a HeaderMap,
    sender: &'a RequestHeaders,
    names: &'a Arc<RequestNames>,
    state: &'a Arc<RequestState>,
}

impl IncomingDelivery<'_> {
    /// Reads the delivery, or past it where another delivery of the same request is being read.
    async fn read(&self, body: &mut Incoming, id: &mut Option<String>) -> Result<(), ReadError> {
        let context = &*self.session.context;
        let Some(reader) = self.state.begin(self.names) else {
            return Ok(discard(body, context.limits).await?);
        };
        let attributes = admission::attributes(self.headers).unwrap_or_else(|_| {
            context.intake.metrics.error("attributes");
            admission::Attributes::default()
        });
        let origin = Origin {
            source: Arc::clone(&context.name),
            host: Arc::clone(&context.host),
            attributes,
            ..Origin::default()
        };
        RequestReader::new(context, Arc::new(origin), self.sender.is_gzip, reader).read(body, id).await
    }
}

fn refuse(session: &HttpSession, names: &RequestNames, refusal: RefusalReason) -> HttpAnswer {
    let (status, reason, message) = match refusal {
        RefusalReason::Unauthorized => (
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the access key is missing or not one of this endpoint's".to_owned(),
        ),
        RefusalReason::Forbidden => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "the stream's ARN is not one of this endpoint's `source_arns`".to_owned(),
        ),
        RefusalReason::Encoding => (
            StatusCode::BAD_REQUEST,
            "bad_request",
            "the content encoding is neither `gzip` nor `identity`".to_owned(),
        ),
        RefusalReason::RequestId => (
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("the request id is longer than {MAX_REQUEST_ID} bytes"),
        ),
        RefusalReason::SourceArn => (
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("the stream's ARN is longer than {MAX_SOURCE_ARN} bytes"),
        ),
    };
    session.refused(names, reason, &message);
    answer(status, &names.request_id, Some(&message))
}

/// How a delivery ended.
enum RequestOutcome {
    Delivered,
    /// A record was given up, by a destination that has no room.
    GivenUp,
    /// Delivery takes longer than the sender waits.
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
    fn answer(self, session: &HttpSession, names: &RequestNames, id: &str) -> HttpAnswer {
        let again = StatusCode::SERVICE_UNAVAILABLE;
        let (status, reason, message) = match self {
            Self::Delivered => return answer(StatusCode::OK, id, None),
            Self::GivenUp => {
                (again, "given_up", "a destination has no room; send the request again".to_owned())
            }
            Self::Late => (again, "timeout", "not delivered yet; send the request again".to_owned()),
            Self::Full => {
                (again, "full", "could not read the whole request in time; send it again".to_owned())
            }
            Self::Broken(error) => {
                let (status, reason) = match error {
                    ReadError::Mismatch => (again, "mismatch"),
                    ReadError::Closed => (again, "closed"),
                    ReadError::Aborted => (StatusCode::BAD_REQUEST, "aborted"),
                    ReadError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
                    ReadError::Body(_)
                    | ReadError::Gzip(_)
                    | ReadError::TooLong
                    | ReadError::TooManyRecords(_) => (StatusCode::BAD_REQUEST, "bad_request"),
                };
                (status, reason, error.to_string())
            }
        };
        session.refused(names, reason, &message);
        answer(status, id, Some(&message))
    }
}
