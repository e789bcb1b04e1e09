//! The threads, memory and buffers that all destinations share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::digester::Digester;
use super::offload::Offload;
use crate::deadletter::DeadLetters;
use crate::event::Buffers;
use crate::health::Status;

/// What all destinations of a generation share.
#[derive(Clone, Debug)]
pub struct SinkResources {
    /// The worker threads.
    pub offload: Offload,
    /// Memory for requests under way, in KiB.
    pub request_memory: Arc<Semaphore>,
    /// All of it, in KiB.
    pub request_memory_kib: u32,
    /// Buffers for the bodies of requests.
    pub bodies: Arc<Buffers>,
    /// Hashes the bodies of requests.
    pub digester: Arc<Digester>,
    /// Where refused records go.
    pub dead_letters: Arc<DeadLetters>,
    /// Where issues are shown.
    pub status: Arc<Status>,
}
