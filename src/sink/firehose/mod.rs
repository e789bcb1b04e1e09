//! Amazon Data Firehose: one `PutRecordBatch` call, and what its answer means.

mod answer;
mod digest;
mod request;

#[cfg(test)]
mod same_request;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_firehose::Client;
use aws_sdk_firehose::error::SdkError;
use aws_sdk_firehose::operation::put_record_batch::{PutRecordBatchError, PutRecordBatchOutput};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use self::answer::Target;
pub use self::digest::Digester;
pub use self::request::BODY_BYTES;
use self::request::{Body, ReadyMade};
use super::{Front, Hold, Parts, Passage, Reply, Service, Shared, Turn};
use crate::aws::FirehoseClient;
use crate::event::Closed;

/// One delivery stream, as one principal.
#[derive(Debug)]
pub struct Firehose {
    client: Arc<FirehoseClient>,
    shared: Shared,
    target: Target,
}

impl Firehose {
    /// The stream `stream` in the client's region.
    #[must_use]
    pub fn new(client: Arc<FirehoseClient>, shared: Shared, stream: String) -> Self {
        let region = client.region.clone();
        Self { client, shared, target: Target { stream, region } }
    }
}

impl Firehose {
    /// A body that is hashed when it is made; then its turn is waited for.
    async fn make_alone(&self, records: Vec<Parts>, passage: Passage) -> Result<(Body, Turn), Closed> {
        let (stream, buffers) = (self.target.stream.clone(), Arc::clone(&self.shared.bodies));
        let body = self.shared.offload.run(move || Body::new(&stream, &records, &buffers)).await?;
        Ok((body, passage.turn().await))
    }

    /// A body that is hashed when its turn has come, together with those that wait behind it.
    async fn make_in_company(
        &self,
        records: Vec<Parts>,
        mut passage: Passage,
    ) -> Result<(Body, Turn), Closed> {
        let Shared { offload, digester, bodies, .. } = &self.shared;
        passage.give_way();
        let (stream, buffers) = (self.target.stream.clone(), Arc::clone(bodies));
        let encoded = offload.run(move || request::encode(&stream, &records, &buffers)).await?;
        let (number, mut hashed) = digester.enter(encoded);
        let turn = passage.turn().await;
        let body = if let Ok(body) = hashed.try_recv() {
            body
        } else {
            let digester = Arc::clone(digester);
            offload.run(move || digester.hash(number)).await?;
            hashed.await.map_err(|_| Closed)?
        };
        Ok((Body::hashed(body, bodies), turn))
    }
}

impl Service for Firehose {
    async fn put(&self, records: Vec<Parts>, passage: Passage) -> Reply {
        let count = records.len();
        let made = if self.shared.digester.is_grouped() {
            self.make_in_company(records, passage).await
        } else {
            self.make_alone(records, passage).await
        };
        let (body, Turn { front, memory }) = match made {
            Ok(made) => made,
            Err(closed) => return Reply::unsent(closed.to_string()),
        };
        let (ready_made, written) = ReadyMade::new(body, memory);
        let answer = call(&self.client.client, &self.target.stream, ready_made);
        let sent = Instant::now();
        let answer = match leave(answer, written, front).await {
            Ok(output) => answer::accepted(&output, count),
            Err(error) => answer::failed(&error, &self.target, &self.client.credentials),
        };
        Reply { answer, sent }
    }

    fn refresh_credentials(&self, hold: &Hold) {
        let credentials = &self.client.credentials;
        if hold.is_of_credentials() { credentials.forget() } else { credentials.renew() }
    }

    /// Most of the memory that a request takes is its body.
    fn request_bytes(&self, payload: usize) -> usize {
        request::most_bytes(payload, 0)
    }

    fn best_request(&self, concurrency: usize) -> Option<usize> {
        self.shared.digester.best_request(concurrency)
    }

    fn billed(&self, record: usize) -> usize {
        crate::limits::billed(record)
    }
}

/// The SDK's call, with the body that is ready.
fn call(
    client: &Client,
    stream: &str,
    ready_made: ReadyMade,
) -> impl Future<Output = Result<PutRecordBatchOutput, SdkError<PutRecordBatchError>>> + use<> {
    // The SDK checks that there is a record; the body is replaced before it is signed.
    let placeholder = Record::builder().data(Blob::new(Vec::new())).build();
    let call = client.put_record_batch().delivery_stream_name(stream);
    let call = call.set_records(placeholder.ok().map(|record| vec![record]));
    call.customize().interceptor(ready_made).send()
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
