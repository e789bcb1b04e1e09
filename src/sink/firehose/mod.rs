//! Amazon Data Firehose: one `PutRecordBatch` call, and what its answer means.

mod answer;
mod request;

use std::sync::Arc;

use aws_sdk_firehose::Client;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;

use self::answer::Target;
use self::request::{Body, ReadyMade};
use super::{Answer, Parts, Place, Service};
use crate::aws::Credentials;
use crate::event::Offload;

/// One delivery stream, as one principal.
#[derive(Debug)]
pub struct Firehose {
    client: Client,
    credentials: Arc<Credentials>,
    offload: Offload,
    target: Target,
}

impl Firehose {
    /// The stream `stream` in `region`, called with `client`, whose credentials are `credentials`.
    #[must_use]
    pub fn new(
        client: Client,
        credentials: Arc<Credentials>,
        offload: Offload,
        stream: String,
        region: String,
    ) -> Self {
        Self { client, credentials, offload, target: Target { stream, region } }
    }
}

impl Service for Firehose {
    async fn put(&self, records: Vec<Parts>, place: Place) -> Answer {
        let sent = records.len();
        let stream = self.target.stream.clone();
        let made = self.offload.run(move || Body::new(&stream, &records)).await;
        let body = match made {
            Ok(body) => body,
            Err(closed) => return Answer::TryLater { outcome: "failed", message: closed.to_string() },
        };
        // The SDK checks that there is a record; the body is replaced before it is signed.
        let placeholder = Record::builder().data(Blob::new(Vec::new())).build();
        let call = self.client.put_record_batch().delivery_stream_name(&self.target.stream);
        let call = call.set_records(placeholder.ok().map(|record| vec![record]));
        let front = place.turn().await;
        match call.customize().interceptor(ReadyMade::new(body, front)).send().await {
            Ok(output) => answer::accepted(&output, sent),
            Err(error) => answer::failed(&error, &self.target, &self.credentials),
        }
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
