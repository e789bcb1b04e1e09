//! Amazon Data Firehose: one `PutRecordBatch` call, and what its answer means.

mod answer;
mod request;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_firehose::Client;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use self::answer::Target;
pub use self::request::BODY_BYTES;
use self::request::{Body, ReadyMade};
use super::{Front, Parts, Passage, Reply, Service, Shared, Turn};
use crate::aws::Credentials;

/// One delivery stream, as one principal.
#[derive(Debug)]
pub struct Firehose {
    client: Client,
    credentials: Arc<Credentials>,
    shared: Shared,
    target: Target,
}

impl Firehose {
    /// The stream `stream` in `region`, called with `client`, whose credentials are `credentials`.
    #[must_use]
    pub fn new(
        client: Client,
        credentials: Arc<Credentials>,
        shared: Shared,
        stream: String,
        region: String,
    ) -> Self {
        Self { client, credentials, shared, target: Target { stream, region } }
    }
}

impl Service for Firehose {
    async fn put(&self, records: Vec<Parts>, passage: Passage) -> Reply {
        let count = records.len();
        let stream = self.target.stream.clone();
        let buffers = Arc::clone(&self.shared.bodies);
        let made = self.shared.offload.run(move || Body::new(&stream, &records, &buffers)).await;
        let body = match made {
            Ok(body) => body,
            Err(closed) => return Reply::unsent(closed.to_string()),
        };
        // The SDK checks that there is a record; the body is replaced before it is signed.
        let placeholder = Record::builder().data(Blob::new(Vec::new())).build();
        let call = self.client.put_record_batch().delivery_stream_name(&self.target.stream);
        let call = call.set_records(placeholder.ok().map(|record| vec![record]));
        let Turn { front, memory } = passage.turn().await;
        let (ready_made, written) = ReadyMade::new(body, memory);
        let answer = call.customize().interceptor(ready_made).send();
        let sent = Instant::now();
        let answer = match leave(answer, written, front).await {
            Ok(output) => answer::accepted(&output, count),
            Err(error) => answer::failed(&error, &self.target, &self.credentials),
        };
        Reply { answer, sent }
    }

    fn refresh_credentials(&self) {
        self.credentials.forget();
    }

    /// Most of the memory that a request takes is its body.
    fn request_bytes(&self, payload: usize) -> usize {
        request::most_bytes(payload, 0)
    }

    fn billed(&self, record: usize) -> usize {
        crate::limits::billed(record)
    }
}

/// A request leaves when the one before was answered, or was written so long ago: quick answers keep records in order, slow ones
/// do not keep the next request, nor hundreds of megabytes a second.
const HEAD_START: Duration = Duration::from_millis(10);

/// Waits for the answer, and lets the next request go by then or before.
async fn leave<T>(answer: impl Future<Output = T>, written: oneshot::Receiver<()>, front: Front) -> T {
    let mut answer = pin!(answer);
    let had_its_start = async {
        // The body is dropped once it is written: the end of the channel is the message.
        written.await.ok();
        sleep(HEAD_START).await;
    };
    tokio::select! {
        answered = answer.as_mut() => return answered,
        () = had_its_start => drop(front),
    }
    answer.await
}
