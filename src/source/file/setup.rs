//! What a source of type `file` is made of, and how long it waits for what.

use std::sync::Arc;
use std::time::Duration;

use super::descriptors::DescriptorShare;
use crate::ack::Checkpoints;
use crate::config::FileSource;
use crate::event::{Buffers, Field, Origin};
use crate::health::{Activity, Status};
use crate::metrics::SourceMetrics;
use crate::pipeline::Intake;

/// A source of type `file`, ready to run.
pub(super) struct FileSetup {
    /// The source's name.
    pub(super) name: Arc<str>,
    /// The name of the host.
    pub(super) host: Arc<str>,
    pub(super) config: FileSource,
    pub(super) intake: Intake,
    /// Where its files were read to.
    pub(super) checkpoints: Arc<Checkpoints>,
    /// What files are read into.
    pub(super) buffers: Arc<Buffers>,
    /// How many files may be open.
    pub(super) descriptors: DescriptorShare,
    /// Whether to read what is there, and to wait for nothing.
    pub(super) once: bool,
    /// The shortest time for which a sink lets events wait for others.
    pub(super) linger: Duration,
    /// Told of each look at a file.
    pub(super) activity: Arc<Activity>,
    /// Told how the files are.
    pub(super) status: Arc<Status>,
}

impl FileSetup {
    pub(super) const fn metrics(&self) -> &SourceMetrics {
        &self.intake.metrics
    }

    /// Whether each file is one object that is read whole.
    pub(super) fn is_object(&self) -> bool {
        self.intake.framing().is_object()
    }

    pub(super) fn timeouts(&self) -> FileTimeouts {
        FileTimeouts {
            rotated: if self.once { Duration::ZERO } else { self.config.rotate_wait },
            event: self.intake.framing().patience(),
            once: self.once,
        }
    }

    /// Where the events of a file come from that was first found at `path`.
    pub(super) fn origin(&self, path: Arc<str>) -> Arc<Origin> {
        let (source, host) = (Arc::clone(&self.name), Arc::clone(&self.host));
        Arc::new(Origin::new(source, host).with(Field::File, path))
    }
}

/// How long things are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileTimeouts {
    /// For late writers of a file that was rotated away.
    pub(super) rotated: Duration,
    /// For the continuation of an event.
    pub(super) event: Option<Duration>,
    /// Nothing is waited for.
    pub(super) once: bool,
}
