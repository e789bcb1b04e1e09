//! Amazon Data Firehose: one `PutRecordBatch` call, and what its answer means.

mod answer;
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

use self::answer::StreamTarget;
use self::request::{BodyInterceptor, PutBody};
use super::answer::Hold;
use super::body_size::most_bytes;
use super::resources::SinkResources;
use super::send_order::{ClearedSend, ReservedSend, SendPermit};
use super::service::{RecordParts, ServiceReply, SinkService};
use crate::aws::FirehoseClient;
use crate::event::Closed;

/// One delivery stream, as one principal.
#[derive(Debug)]
pub struct Firehose {
    client: Arc<FirehoseClient>,
    resources: SinkResources,
    target: StreamTarget,
}

impl Firehose {
    /// The stream `stream` in the client's region.
    #[must_use]
    pub fn new(client: Arc<FirehoseClient>, resources: SinkResources, stream: String) -> Self {
        let region = client.region.clone();
        Self { client, resources, target: StreamTarget { stream, region } }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.target.region
    }
}

impl Firehose {
    /// Makes a body and hashes it at once; then waits for its turn.
    async fn hashed_alone(
        &self,
        records: Vec<RecordParts>,
        reserved: ReservedSend,
    ) -> Result<(PutBody, ClearedSend), Closed> {
        let (stream, buffers) = (self.target.stream.clone(), Arc::clone(&self.resources.bodies));
        let body = self.resources.offload.run(move || PutBody::new(&stream, &records, &buffers)).await?;
        Ok((body, reserved.wait().await))
    }

    /// Makes a body, and hashes it when its turn has come, together with those that wait behind it.
    async fn hashed_in_group(
        &self,
        records: Vec<RecordParts>,
        mut reserved: ReservedSend,
    ) -> Result<(PutBody, ClearedSend), Closed> {
        let SinkResources { offload, digester, bodies, .. } = &self.resources;
        reserved.give_way();
        let (stream, buffers) = (self.target.stream.clone(), Arc::clone(bodies));
        let encoded = offload.run(move || request::encode(&stream, &records, &buffers)).await?;
        let (number, mut hashed) = digester.enter(encoded);
        let cleared = reserved.wait().await;
        let body = if let Ok(body) = hashed.try_recv() {
            body
        } else {
            let digester = Arc::clone(digester);
            offload.run(move || digester.hash(number)).await?;
            hashed.await.map_err(|_| Closed)?
        };
        Ok((PutBody::hashed(body, bodies), cleared))
    }
}

impl SinkService for Firehose {
    async fn put(&self, records: Vec<RecordParts>, reserved: ReservedSend) -> ServiceReply {
        let count = records.len();
        // First of all, since their source may take longer than a request has.
        if let Err(fault) = self.client.credentials.ready().await {
            return ServiceReply { answer: answer::from_credentials(&fault), sent: Instant::now() };
        }
        let made = if self.resources.digester.is_grouped() {
            self.hashed_in_group(records, reserved).await
        } else {
            self.hashed_alone(records, reserved).await
        };
        let (body, ClearedSend { permit, memory }) = match made {
            Ok(made) => made,
            Err(closed) => return ServiceReply::unsent(closed.to_string()),
        };
        let (ready_made, written) = BodyInterceptor::new(body, memory);
        let answer = call(&self.client.client, &self.target.stream, ready_made);
        let sent = Instant::now();
        let answer = match leave(answer, written, permit).await {
            Ok(output) => answer::accepted(&output, count),
            Err(error) => answer::failed(&error, &self.target, &self.client.credentials),
        };
        ServiceReply { answer, sent }
    }

    fn refresh_credentials(&self, hold: &Hold) {
        let credentials = &self.client.credentials;
        if hold.is_of_credentials() { credentials.forget() } else { credentials.renew() }
    }

    /// Most of the memory that a request takes is its body.
    fn request_bytes(&self, payload: usize) -> usize {
        most_bytes(payload, 0)
    }

    fn best_request(&self, concurrency: usize, is_compressed: bool) -> Option<usize> {
        let digester = &self.resources.digester;
        // Records that are compressed on their way make small requests anyway.
        digester.most_request().or_else(|| digester.best_request(concurrency).filter(|_| !is_compressed))
    }

    fn billed(&self, record: usize) -> usize {
        crate::limits::billed(record)
    }
}

/// The SDK's call, with the body that is ready.
fn call(
    client: &Client,
    stream: &str,
    ready_made: BodyInterceptor,
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
async fn leave<T>(answer: impl Future<Output = T>, written: oneshot::Receiver<()>, permit: SendPermit) -> T {
    let mut answer = pin!(answer);
    let had_its_start = async {
        // The body is dropped once it is written: the end of the channel is the message.
        written.await.ok();
        sleep(HEAD_START).await;
    };
    tokio::select! {
        answered = answer.as_mut() => return answered,
        () = had_its_start => drop(permit),
    }
    answer.await
}
