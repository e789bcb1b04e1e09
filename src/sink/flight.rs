//! One request on its way: compressed, given memory and its turn, sent.

use std::sync::Arc;

use tokio::time::Instant;

use super::parcel::Parcel;
use super::succession::{Passage, Place};
use super::{Answer, Reply, Service, Shared, gzip};
use crate::config::Compression;

/// A request's places in its destination's orders.
pub(super) struct Places {
    pub(super) memory: Place,
    pub(super) departure: Place,
}

/// A request to be sent.
pub(super) struct Flight {
    pub(super) parcel: Parcel,
    pub(super) places: Places,
    pub(super) launched: Instant,
}

/// A request that has its answer.
pub(super) struct Flown {
    pub(super) parcel: Parcel,
    pub(super) answer: Answer,
    /// When it was launched, and when it left.
    pub(super) launched: Instant,
    pub(super) sent: Instant,
}

/// Sends one request.
pub(super) async fn fly<S: Service>(
    Flight { mut parcel, places, launched }: Flight,
    (service, compression): (&S, Compression),
    shared: &Shared,
) -> Flown {
    let compressed = compress(&mut parcel, shared, compression).await;
    let kib = u32::try_from(service.request_bytes(parcel.bytes()).div_ceil(1024)).unwrap_or(u32::MAX);
    let first = places.memory.turn().await;
    // More than all of it would wait for ever; a closed semaphore cannot be: nobody closes it.
    let kib = kib.min(shared.request_memory_kib);
    let memory = Arc::clone(&shared.request_memory).acquire_many_owned(kib).await.ok();
    let Reply { answer, sent } = match compressed {
        Ok(()) => service.put(parcel.parts(), Passage::new(first, places.departure, memory)).await,
        Err(message) => Reply::unsent(message),
    };
    Flown { parcel, answer, launched, sent }
}

/// Makes each record one gzip member, once.
async fn compress(parcel: &mut Parcel, shared: &Shared, compression: Compression) -> Result<(), String> {
    let Compression::Gzip(level) = compression else { return Ok(()) };
    for record in parcel.records.iter_mut().filter(|record| !record.compressed) {
        let parts = record.parts.clone();
        let gzipped = shared.offload.run(move || gzip::member(&parts, level)).await;
        let gzipped = gzipped.map_err(|closed| closed.to_string())?.ok_or("gzip failed")?;
        record.len = gzipped.len();
        record.parts = vec![gzipped];
        record.compressed = true;
    }
    Ok(())
}
