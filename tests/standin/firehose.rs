//! `PutRecordBatch`: limits, refusals, partial failures.

use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use super::body::{self, Put};
use super::errors::{self, AwsError};
use super::faults::{Fate, Faults, Refusal};
use super::oracle::{Examined, Kept};
use super::quota::{Quota, Verdict};
use super::settings::Scrutiny;
use super::sigv4;
use super::state::{Caller, State, lock};
use super::traffic::Second;

/// What becomes of a call.
pub(crate) enum Answer {
    Reply(Response<Bytes>),
    /// The connection is to be cut.
    Cut,
}

/// Answers a call of Firehose. Waits here while its stream hangs.
pub(crate) async fn answer(state: &State, parts: &Parts, body: Bytes) -> Answer {
    let arrived = Instant::now();
    state.oracle().plain.calls += 1;
    let put = body::parse(&body);
    let stream = put.as_ref().map_or("", |put| put.stream);
    let faults = wait_while_hanging(state, stream).await;
    if faults.delay_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(faults.delay_ms)).await;
    }
    if let Some(proxy) = faults.proxy.filter(|proxy| body.len() > proxy.over) {
        state.oracle().error("Proxy");
        return Answer::Reply(errors::page(proxy.status));
    }
    let fate = faults.fate(&mut lock(&state.rng));
    let done = match fate {
        Fate::CutBefore => None,
        Fate::Throttled => Some(Err(AwsError::slow_down())),
        Fate::Internal => {
            Some(Err(AwsError::new(500, "InternalFailure", "The request processing has failed.")))
        }
        Fate::Served | Fate::CutAfter => Some(serve(state, parts, &body, put.as_ref(), (&faults, arrived))),
    };
    match done {
        Some(Ok((_, lines))) if fate == Fate::CutAfter => {
            state.oracle().plain.unanswered += lines;
            cut(state)
        }
        Some(Ok((reply, _))) => Answer::Reply(reply),
        Some(Err(error)) => {
            state.oracle().error(error.code);
            Answer::Reply(error.json())
        }
        None => cut(state),
    }
}

fn cut(state: &State) -> Answer {
    state.oracle().error("Cut");
    Answer::Cut
}

async fn wait_while_hanging(state: &State, stream: &str) -> Faults {
    loop {
        let changed = state.faults_changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let faults = state.faults(stream);
        if !faults.hang {
            return faults;
        }
        changed.await;
    }
}

/// The answer, and how many lines were accepted.
fn serve(
    state: &State,
    parts: &Parts,
    body: &[u8],
    put: Option<&Put<'_>>,
    (faults, arrived): (&Faults, Instant),
) -> Result<(Response<Bytes>, u64), AwsError> {
    if let (Scrutiny::CountOnly, Some(put)) = (state.scrutiny, put) {
        return Ok((count(state, put), 0));
    }
    let caller = sigv4::verify(state, parts, body, "firehose")?;
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if target != Some("Firehose_20150804.PutRecordBatch") {
        return Err(AwsError::new(404, "UnknownOperationException", format!("unknown target {target:?}")));
    }
    let json = parts.headers.get("content-type").is_some_and(|is| is == "application/x-amz-json-1.1");
    let put = put
        .filter(|_| json)
        .ok_or_else(|| AwsError::new(400, "SerializationException", "not a PutRecordBatch"))?;
    let records = decode(put)?;
    check_limits(put, &records).inspect_err(|error| {
        state.oracle().violation(format!("{}: {}", error.code, error.message));
    })?;
    authorize(state, &caller, put)?;
    let quota = state.stream(&caller.account, put.stream).ok_or_else(|| not_found(&caller, put))?;
    refuse(faults, &caller, put)?;
    check_poison(faults, &records)?;
    let chosen = choose(state, faults, &mut lock(&quota), &records);
    let none = vec![false; records.ends.len()];
    note(state, &caller, &records, chosen.as_ref().unwrap_or(&none));
    let accepted = chosen.ok_or_else(AwsError::slow_down)?;
    let examined = accept(state, &caller, put, &records, &accepted);
    state.oracle().arrived(&examined, arrived);
    Ok((reply(&accepted), examined.lines()))
}

/// Accepts all of it unseen.
fn count(state: &State, put: &Put<'_>) -> Response<Bytes> {
    let mut oracle = state.oracle();
    put.records.iter().for_each(|data| oracle.count(put.stream, data.len() / 4 * 3));
    reply(&vec![true; put.records.len()])
}

/// Every record's bytes, one after the other.
struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

fn decode(put: &Put<'_>) -> Result<Records, AwsError> {
    let size = put.records.iter().map(|data| data.len() / 4 * 3).sum();
    let mut records =
        Records { bytes: Vec::with_capacity(size), ends: Vec::with_capacity(put.records.len()) };
    for data in &put.records {
        base64_simd::STANDARD
            .decode_append(data, &mut records.bytes)
            .map_err(|_| AwsError::new(400, "SerializationException", "a blob is not base64"))?;
        records.ends.push(records.bytes.len());
    }
    Ok(records)
}

/// Most records in a request.
const MAX_RECORDS: usize = 500;
/// Most bytes in a record, before base64.
pub(crate) const MAX_RECORD_BYTES: usize = 1_024_000;
/// Most bytes in a request's records, before base64.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

fn check_limits(put: &Put<'_>, records: &Records) -> Result<(), AwsError> {
    let constraint = |what: &str, rule: &str| {
        let message = format!(
            "1 validation error detected: Value at '{what}' failed to satisfy constraint: Member must {rule}"
        );
        Err(AwsError::new(400, "ValidationException", message))
    };
    let named = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !(1..=64).contains(&put.stream.len()) || !put.stream.chars().all(named) {
        return constraint("deliveryStreamName", "satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    }
    let count = put.records.len();
    if count == 0 {
        return constraint("records", "have length greater than or equal to 1");
    }
    if count > MAX_RECORDS {
        return constraint(
            "records",
            &format!("have length less than or equal to {MAX_RECORDS}, not {count}"),
        );
    }
    if let Some(large) = records.iter().find(|record| record.len() > MAX_RECORD_BYTES) {
        let rule = format!("have length less than or equal to {MAX_RECORD_BYTES}, not {}", large.len());
        return constraint("records.member.data", &rule);
    }
    if records.bytes.len() > MAX_REQUEST_BYTES {
        let size = records.bytes.len();
        return Err(AwsError::invalid_argument(format!("Records size exceeds 4 MB limit: {size} bytes")));
    }
    Ok(())
}

fn authorize(state: &State, caller: &Caller, put: &Put<'_>) -> Result<(), AwsError> {
    let Some(session) = &caller.session else { return Ok(()) };
    let allowed = state.role(&session.role).is_some_and(|role| role.may_put);
    if allowed { Ok(()) } else { Err(denied(caller, put)) }
}

fn refuse(faults: &Faults, caller: &Caller, put: &Put<'_>) -> Result<(), AwsError> {
    let Some(refusal) = faults.refusal else { return Ok(()) };
    Err(match refusal {
        Refusal::AccessDenied => denied(caller, put),
        Refusal::NotFound => not_found(caller, put),
        Refusal::Expired => {
            let message = "The security token included in the request is expired";
            AwsError::new(403, "ExpiredTokenException", message)
        }
        Refusal::InvalidKms => {
            let message = "KMS was unable to use the key of the stream because it is disabled";
            AwsError::new(400, "InvalidKMSResourceException", message)
        }
        Refusal::InvalidSource => {
            let message = "Only requests from CloudWatch Logs are supported when CloudWatch Logs decompression is enabled.";
            AwsError::new(400, "InvalidSourceException", message)
        }
        Refusal::TooLarge => {
            AwsError::new(413, "RequestEntityTooLargeException", "The request is too large.")
        }
    })
}

fn denied(caller: &Caller, put: &Put<'_>) -> AwsError {
    let message = format!(
        "User: {} is not authorized to perform: firehose:PutRecordBatch on resource: \
         arn:aws:firehose:us-east-1:{}:deliverystream/{} because no identity-based policy allows the \
         firehose:PutRecordBatch action",
        caller.principal, caller.account, put.stream
    );
    AwsError::new(403, "AccessDeniedException", message)
}

fn not_found(caller: &Caller, put: &Put<'_>) -> AwsError {
    let message = format!("Firehose {} under account {} not found.", put.stream, caller.account);
    AwsError::new(400, "ResourceNotFoundException", message)
}

fn check_poison(faults: &Faults, records: &Records) -> Result<(), AwsError> {
    let Some(poison) = &faults.poison else { return Ok(()) };
    let poisoned = records.iter().any(|record| memchr::memmem::find(record, poison.as_bytes()).is_some());
    if poisoned { Err(AwsError::invalid_argument("Invalid record data.")) } else { Ok(()) }
}

/// Which records are accepted; none when the call itself is too much.
fn choose(state: &State, faults: &Faults, quota: &mut Quota, records: &Records) -> Option<Vec<bool>> {
    quota.fill(faults, Instant::now());
    let mut rng = lock(&state.rng);
    if quota.admit(faults.quota_mode, records.bytes.len(), records.ends.len(), rng.bool()) == Verdict::None {
        return None;
    }
    let fails = |rng: &mut fastrand::Rng| faults.record_failures > 0.0 && rng.f64() < faults.record_failures;
    Some(records.iter().map(|record| !fails(&mut rng) && quota.take(record.len())).collect())
}

/// Counts what the quota did, for who signed.
fn note(state: &State, caller: &Caller, records: &Records, accepted: &[bool]) {
    let mut second = Second { calls: 1, sent_records: accepted.len() as u64, ..Second::default() };
    for (record, accepted) in records.iter().zip(accepted) {
        if *accepted {
            second.accepted_bytes += record.len() as u64;
        } else {
            second.refused_records += 1;
        }
    }
    let at = state.started.elapsed().as_secs();
    state.oracle().plain.traffic.entry(caller.key.clone()).or_default().add(at, &second);
}

fn accept(state: &State, caller: &Caller, put: &Put<'_>, records: &Records, accepted: &[bool]) -> Examined {
    let stream = format!("{}/{}", caller.account, put.stream);
    let mut examined = Examined::default();
    let taken = || records.iter().zip(accepted).filter(|(_, accepted)| **accepted).map(|(record, _)| record);
    taken().for_each(|record| examined.add(record));
    let mut oracle = state.oracle();
    oracle.accept(&stream, &examined);
    oracle.signed(&caller.principal, &caller.account, &caller.key);
    oracle.plain.refused_records += accepted.iter().filter(|accepted| !**accepted).count() as u64;
    if state.keep_records {
        taken().for_each(|record| {
            oracle.keep(Kept { stream: put.stream.to_owned(), data: Bytes::copy_from_slice(record) });
        });
    }
    examined
}

fn reply(accepted: &[bool]) -> Response<Bytes> {
    let failed = accepted.iter().filter(|accepted| !**accepted).count();
    let mut body = format!("{{\"FailedPutCount\":{failed},\"Encrypted\":false,\"RequestResponses\":[");
    for (index, accepted) in accepted.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(if *accepted {
            r#"{"RecordId":"0000000000000000000000000000000000000000"}"#
        } else {
            r#"{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}"#
        });
    }
    body.push_str("]}");
    Response::builder().header("content-type", "application/x-amz-json-1.1").body(Bytes::from(body)).unwrap()
}
