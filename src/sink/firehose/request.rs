//! The body of a `PutRecordBatch` request, made in one pass: one copy from what was read, encoded and hashed while it is hot.
//!
//! The SDK would serialise, encode and hash the payload again with slower code. An interceptor gives it this body and its hash
//! instead; credentials, endpoint, signature and errors stay the SDK's.
//! Wire format: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_lc_rs::digest::{Context as Hash, SHA256};
use aws_runtime::auth::PayloadSigningOverride;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use base64_simd::STANDARD;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::event::Buffers;
use crate::sink::body_size::most_bytes;
use crate::sink::digester::{HashedBody, hex};
use crate::sink::service::RecordParts;

/// A request body and its SHA-256.
#[derive(Clone, Debug)]
pub(super) struct PutBody {
    pub(super) bytes: Bytes,
    /// In lower-case hexadecimal.
    pub(super) sha256: String,
}

/// Payload bytes encoded and hashed at a time: fits the cache, and is whole groups of three.
const STEP: usize = 48 * 1024;

const BEFORE_RECORD: &[u8] = b"{\"Data\":\"";
const AFTER_RECORD: &[u8] = b"\"}";

impl PutBody {
    /// Encodes records for a stream, into one of `buffers`, and hashes them while they are in the cache.
    pub(super) fn new(stream: &str, records: &[RecordParts], buffers: &Arc<Buffers>) -> Self {
        let mut encoder = BodyEncoder::for_records(stream, records, buffers, Some(Hash::new(&SHA256)));
        encoder.hash_on();
        let sha256 = encoder.hash.map(|hash| hex(hash.finish().as_ref())).unwrap_or_default();
        Self { bytes: buffers.share(encoder.out), sha256 }
    }

    /// The same, hashed already.
    pub(super) fn hashed(HashedBody { body, sha256 }: HashedBody, buffers: &Arc<Buffers>) -> Self {
        Self { bytes: buffers.share(body), sha256 }
    }
}

/// Encodes records for a stream, into one of `buffers`, to be hashed later.
pub(super) fn encode(stream: &str, records: &[RecordParts], buffers: &Arc<Buffers>) -> Vec<u8> {
    BodyEncoder::for_records(stream, records, buffers, None).out
}

struct BodyEncoder {
    out: Vec<u8>,
    hash: Option<Hash>,
    /// How much of `out` was hashed.
    hashed: usize,
}

impl BodyEncoder {
    fn for_records(
        stream: &str,
        records: &[RecordParts],
        buffers: &Arc<Buffers>,
        hash: Option<Hash>,
    ) -> Self {
        let payload = records.iter().flatten().map(Bytes::len).sum();
        let out = buffers.take(most_bytes(payload, records.len()));
        let mut encoder = Self { out, hash, hashed: 0 };
        // Stream names hold no character that JSON would have to escape.
        encoder.put(format!("{{\"DeliveryStreamName\":\"{stream}\",\"Records\":[").as_bytes());
        for (index, parts) in records.iter().enumerate() {
            if index > 0 {
                encoder.put(b",");
            }
            encoder.put(BEFORE_RECORD);
            encoder.base64(parts);
            encoder.put(AFTER_RECORD);
        }
        encoder.put(b"]}");
        encoder
    }

    fn put(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// The base64 of the pieces as if they were one.
    fn base64(&mut self, parts: &[Bytes]) {
        let mut carried = Vec::with_capacity(3);
        for part in parts {
            let missing = if carried.is_empty() { 0 } else { 3usize.saturating_sub(carried.len()) };
            let (head, rest) = part.split_at_checked(missing).unwrap_or((part, &[]));
            carried.extend_from_slice(head);
            if carried.len() == 3 {
                STANDARD.encode_append(&carried, &mut self.out);
                carried.clear();
            }
            let whole = rest.len().saturating_sub(rest.len() % 3);
            let (groups, tail) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
            for step in groups.chunks(STEP) {
                STANDARD.encode_append(step, &mut self.out);
                self.hash_on();
            }
            carried.extend_from_slice(tail);
        }
        STANDARD.encode_append(&carried, &mut self.out);
    }

    fn hash_on(&mut self) {
        if let Some(hash) = &mut self.hash {
            hash.update(self.out.get(self.hashed..).unwrap_or_default());
            self.hashed = self.out.len();
        }
    }
}

/// Puts the body into the request in place of the SDK's, before it is signed.
#[derive(Debug)]
pub(super) struct BodyInterceptor {
    /// Given to the request: the only attempt, since the SDK's retries are off. The lock covers the handing over.
    body: Mutex<Option<(OutgoingBody, String)>>,
}

impl BodyInterceptor {
    /// The interceptor, and a channel that ends when all of the body was taken by the connection. `memory` is given back when the
    /// connection has written it.
    pub(super) fn new(body: PutBody, memory: Option<OwnedSemaphorePermit>) -> (Self, oneshot::Receiver<()>) {
        let (sender, written) = oneshot::channel();
        let rest = Bytes::from_owner(CountedBody { bytes: body.bytes, _memory: memory });
        let outgoing = OutgoingBody { rest, _written: sender };
        (Self { body: Mutex::new(Some((outgoing, body.sha256))) }, written)
    }
}

impl Intercept for BodyInterceptor {
    fn name(&self) -> &'static str {
        "BodyInterceptor"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (outgoing, sha256) = body.ok_or("the body was sent already")?;
        let request = context.request_mut();
        request.headers_mut().insert("content-length", outgoing.rest.len().to_string());
        *request.body_mut() = SdkBody::from_body_1_x(outgoing);
        bag.interceptor_state().store_put(PayloadSigningOverride::Precomputed(sha256));
        Ok(())
    }
}

/// A body and what it counts for. The connection may hold its last frame for long: whoever had the memory before the buffer is
/// back would make another, and so there would be more of them than are counted.
struct CountedBody {
    // What is declared first is dropped first.
    bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body on its way out, a frame at a time; dropped by the connection when it has taken the last.
#[derive(Debug)]
struct OutgoingBody {
    rest: Bytes,
    _written: oneshot::Sender<()>,
}

/// How much is handed to the connection at a time.
const FRAME: usize = 256 * 1024;

impl hyper::body::Body for OutgoingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let len = self.rest.len().min(FRAME);
        let frame = self.rest.split_to(len);
        Poll::Ready((len > 0).then(|| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::limits::TARGET_REQUEST_BYTES;
    use crate::sink::body_size::BODY_BYTES;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_body_is_what_serde_json_would_write(
            records in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6), 0..5),
        ) {
            let parts: Vec<RecordParts> =
                records.iter().map(|parts| parts.iter().cloned().map(Bytes::from).collect()).collect();
            let body = PutBody::new("logs", &parts, &Buffers::new(BODY_BYTES, 1));
            prop_assert_eq!(&encode("logs", &parts, &Buffers::new(BODY_BYTES, 1)), &body.bytes);
            let expected = serde_json::json!({
                "DeliveryStreamName": "logs",
                "Records": records
                    .iter()
                    .map(|parts| serde_json::json!({ "Data": STANDARD.encode_to_string(parts.concat()) }))
                    .collect::<Vec<_>>(),
            });
            prop_assert_eq!(&serde_json::from_slice::<serde_json::Value>(&body.bytes).unwrap(), &expected);
            let hash = aws_lc_rs::digest::digest(&SHA256, &body.bytes);
            let mut read = vec![0; 32];
            for (byte, digits) in read.iter_mut().zip(body.sha256.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
            }
            prop_assert_eq!(&read, hash.as_ref());
            let payload = records.iter().flatten().map(Vec::len).sum();
            prop_assert!(body.bytes.len() <= most_bytes(payload, records.len()));
        }
    }

    #[test]
    fn memory_is_given_back_after_the_buffer_and_not_before_the_last_frame() {
        let (buffers, memory) = (Buffers::new(BODY_BYTES, 1), Arc::new(Semaphore::new(1)));
        let parts = vec![Bytes::from(vec![7; TARGET_REQUEST_BYTES])];
        let body = PutBody::new("logs", &[parts], &buffers);
        let place = body.bytes.as_ptr();
        let permit = Arc::clone(&memory).try_acquire_owned().unwrap();
        let (ready_made, mut written) = BodyInterceptor::new(body, Some(permit));
        let (mut outgoing, _) = ready_made.body.lock().unwrap().take().unwrap();
        let mut last = None;
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(frame)) =
            hyper::body::Body::poll_frame(Pin::new(&mut outgoing), &mut context)
        {
            last = Some(frame.unwrap());
        }
        drop(outgoing);
        assert_eq!(written.try_recv(), Err(oneshot::error::TryRecvError::Closed), "all of it was taken");
        assert_eq!(memory.available_permits(), 0, "the connection has not written the last frame");
        drop(last);
        assert_eq!(memory.available_permits(), 1);
        let again = buffers.take(BODY_BYTES);
        assert_eq!(again.as_ptr(), place, "no other buffer is made");
    }

    #[test]
    fn large_pieces_are_encoded_in_steps() {
        let parts =
            vec![Bytes::from(vec![1; 100_001]), Bytes::from(vec![2; 2]), Bytes::from(vec![3; 200_000])];
        let body = PutBody::new("s", std::slice::from_ref(&parts), &Buffers::new(BODY_BYTES, 1));
        let encoded = STANDARD.encode_to_string(parts.concat());
        let text = String::from_utf8(body.bytes.to_vec()).unwrap();
        assert_eq!(
            text,
            format!("{{\"DeliveryStreamName\":\"s\",\"Records\":[{{\"Data\":\"{encoded}\"}}]}}")
        );
    }
}
