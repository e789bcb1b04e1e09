//! What the objects of a source are read with.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tracing::warn;

use super::notification::ObjectName;
use super::open::ObjectClient;
use super::progress::ObjectProgress;
use super::resumable::ResumableObjects;
use crate::ack::Checkpoints;
use crate::config::{Decoding, ObjectContents, S3Source};
use crate::event::{Chunk, Field, Origin, Piece, Timestamp};
use crate::pipeline::Intake;
use crate::source::holds::Holds;

/// What every object of a source is read with.
pub(super) struct ObjectReading {
    pub(super) intake: Intake,
    pub(super) client: Arc<ObjectClient>,
    pub(super) contents: ObjectContents,
    pub(super) decoding: Decoding,
    /// Of the source.
    pub(super) origin: Origin,
    pub(super) holds: Arc<Holds>,
    pub(super) positions: ResumableObjects,
    /// One object at a time may have an event that is larger than most are.
    pub(super) large: Arc<Semaphore>,
}

/// Contents at hand that most objects keep below.
pub(super) const USUAL: usize = 2 << 20;

/// What an open object takes: a connection's buffer, the windows of its compression, and contents at hand.
pub(super) const ROOM: usize = 1 << 20;

impl ObjectReading {
    /// For the objects of a source.
    pub(super) fn new(
        config: &S3Source,
        intake: Intake,
        client: Arc<ObjectClient>,
        origin: Origin,
        holds: &Arc<Holds>,
        checkpoints: Arc<Checkpoints>,
    ) -> Self {
        let positions = ResumableObjects::of(Arc::clone(&origin.source), checkpoints, Timestamp::now());
        Self {
            intake,
            client,
            contents: config.contents,
            decoding: config.decoding.clone(),
            origin,
            holds: Arc::clone(holds),
            positions,
            large: Arc::new(Semaphore::new(1)),
        }
    }

    /// As many objects at once as are configured, and as the memory has room for.
    pub(super) fn concurrency(&self, configured: usize) -> usize {
        let room = usize::try_from(self.intake.memory() / 4).unwrap_or(usize::MAX) / ROOM;
        configured.min(room).max(1)
    }

    pub(super) fn origin_of(&self, name: &ObjectName) -> Origin {
        self.origin.clone().with(Field::Bucket, &*name.bucket).with(Field::Key, &*name.key)
    }

    /// What says in the dead letters which object could not be read.
    pub(super) async fn refusal(
        &self,
        name: &ObjectName,
        why: &str,
        progress: &Arc<ObjectProgress>,
    ) -> Chunk {
        let source = &*self.origin.source;
        warn!(source, object = name.to_string(), why, "the object cannot be read; a dead letter names it");
        let said = serde_json::json!({ "bucket": name.bucket, "key": name.key, "etag": name.etag, "versionId": name.version, "error": why });
        let payload = Bytes::from(said.to_string());
        let (held, read_at) = (self.intake.admit(payload.len()).await, Timestamp::now());
        let ack = progress.begin(None, read_at);
        Chunk { origin: Arc::new(self.origin_of(name)), payload, piece: Piece::default(), read_at, ack, held }
    }

    /// Most bytes of an event.
    pub(super) fn longest(&self) -> usize {
        let half = usize::try_from(self.intake.memory() / 2).unwrap_or(usize::MAX);
        self.decoding.max_inflated.min(half.max(USUAL))
    }
}
