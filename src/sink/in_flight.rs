//! One request under way: compressed, given memory, sent in its turn.

use std::sync::Arc;

use tokio::time::Instant;

use super::answer::Answer;
use super::compressed::compressed;
use super::pending_request::PendingRequest;
use super::resources::SinkResources;
use super::send_order::{OrderSlot, ReservedSend};
use super::service::{ServiceReply, SinkService};
use crate::config::Compression;

/// A request that is under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) request: PendingRequest,
    /// Its slot in the order in which requests take memory.
    pub(super) memory_slot: OrderSlot,
    /// Its slot in the order in which requests leave.
    pub(super) departure_slot: OrderSlot,
    pub(super) started: Instant,
}

/// A request that has its answer.
#[derive(Debug)]
pub(super) struct Completed {
    pub(super) request: PendingRequest,
    pub(super) answer: Answer,
    pub(super) times: RequestTimes,
}

/// When a request was on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTimes {
    /// When it was taken from the queue.
    pub(super) started: Instant,
    /// When it left this host.
    pub(super) sent: Instant,
}

impl InFlight {
    /// Sends the request and waits for its answer.
    pub(super) async fn send<S: SinkService>(
        self,
        service: &S,
        compression: Compression,
        resources: &SinkResources,
    ) -> Completed {
        let Self { mut request, memory_slot, departure_slot, started } = self;
        let compressed = compress(&mut request, resources, compression).await;
        let kib = u32::try_from(service.request_bytes(request.bytes()).div_ceil(1024)).unwrap_or(u32::MAX);
        let memory_permit = memory_slot.wait().await;
        // More than all of it would wait for ever; a closed semaphore cannot be: nobody closes it.
        let kib = kib.min(resources.request_memory_kib);
        let memory = Arc::clone(&resources.request_memory).acquire_many_owned(kib).await.ok();
        let ServiceReply { answer, sent } = match compressed {
            Ok(()) => {
                let reserved = ReservedSend::new(memory_permit, departure_slot, memory);
                service.put(request.parts(), reserved).await
            }
            Err(message) => ServiceReply::unsent(message),
        };
        Completed { request, answer, times: RequestTimes { started, sent } }
    }
}

/// Makes each record one gzip member or one frame of Zstandard, once.
async fn compress(
    request: &mut PendingRequest,
    resources: &SinkResources,
    compression: Compression,
) -> Result<(), String> {
    if compression == Compression::None {
        return Ok(());
    }
    for record in request.records.iter_mut().filter(|record| !record.compressed) {
        let parts = record.parts.clone();
        let packed = resources.offload.run(move || compressed(&parts, compression)).await;
        let packed = packed.map_err(|closed| closed.to_string())?.ok_or("compression failed")?;
        record.len = packed.len();
        record.parts = vec![packed];
        record.compressed = true;
    }
    Ok(())
}
