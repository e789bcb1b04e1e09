//! What delivers one destination's records: its client is made, for as long as that takes, and then the sink's loop runs.

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::key::{DestinationKey, DestinationKind};
use super::queue::DestinationQueue;
use crate::aws::FirehoseClients;
use crate::config::Compression;
use crate::metrics::{DestinationTally, DestinationTrouble, SinkMetrics};
use crate::sink::{
    DeliveryLoop, DeliverySettings, DestinationName, Directory, Firehose, RateCap, RecordQueue,
    SinkResources, SinkService,
};

/// How long to wait before a client is made again; the environment or a profile may have changed.
const CONNECT_AGAIN: Duration = Duration::from_secs(30);

/// What a delivery is made of.
pub(crate) struct DeliveryParts {
    /// Where its records come from.
    pub(crate) queue: Arc<DestinationQueue>,
    /// What all destinations share.
    pub(crate) shared: SinkResources,
    /// What is counted.
    pub(crate) metrics: SinkMetrics,
    /// How records are compressed.
    pub(crate) compression: Compression,
    /// The sink's own limit.
    pub(crate) cap: Option<Arc<RateCap>>,
    /// The sink's and the destination's name, for people.
    pub(crate) label: DestinationName,
    /// What the destination counts.
    pub(crate) tally: Arc<DestinationTally>,
}

/// The reason of a hold since no client can be made.
const NO_CLIENT: &str = "no_client";

impl DeliveryParts {
    /// Delivers until the queue has ended and every record has, or what is left is handed over.
    pub(crate) async fn run(self, kind: DestinationKind, key: DestinationKey) {
        match kind {
            DestinationKind::Firehose(clients, sink) => {
                self.deliver_to_firehose(clients, key, sink.max_concurrency).await;
            }
            DestinationKind::Directory(directory) => {
                let extension = self.compression.extension();
                self.deliver(Directory::new(directory.path, key.stream, extension), 1).await;
            }
        }
    }

    async fn deliver<S: SinkService>(self, service: S, window: usize) {
        let Self { compression, cap, label, tally, .. } = self;
        let settings = DeliverySettings { compression, window, cap, label, tally };
        DeliveryLoop::new(Arc::new(service), self.queue, self.shared, self.metrics, settings).run().await;
    }

    async fn deliver_to_firehose(self, clients: FirehoseClients, key: DestinationKey, window: usize) {
        loop {
            match clients.client(key.region.clone(), key.roles.clone()).await {
                Ok(client) => {
                    let service = Firehose::new(client, self.shared.clone(), key.stream);
                    self.tally.found_region(service.region());
                    self.tally.clear_trouble();
                    self.shared.status.report_issue(&self.label.to_string(), None);
                    return self.deliver(service, window).await;
                }
                Err(fault) => {
                    error!(sink = self.label.sink, stream = self.label.stream, error = %fault, "held; data is kept");
                    self.shared.status.report_issue(&self.label.to_string(), Some(fault.to_string()));
                    let (reason, message) = (Some(NO_CLIENT), fault.to_string());
                    self.tally.set_trouble(DestinationTrouble { reason, message, fix: None });
                    tokio::select! {
                        () = tokio::time::sleep(CONNECT_AGAIN) => {}
                        () = self.queue.handed_over() => return,
                    }
                }
            }
        }
    }
}
