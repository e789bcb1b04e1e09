//! The border of the source: a thread that follows files, with what all such sources share.

use std::sync::Arc;

use super::descriptors::{DescriptorShare, FileDescriptors};
use super::follower;
use super::reader::read_buffers;
use super::setup::FileSetup;
use crate::config;
use crate::event::Buffers;
use crate::health::Activity;
use crate::pipeline::Intake;
use crate::source::carryover::Carried;
use crate::source::lifecycle::{Source, SourceContext, SourceFuture};
use crate::source::stop::Stop;
use crate::source::thread::{on_thread, watched};

/// A source of type `file`, as the daemon sees it.
pub struct LocalFiles {
    config: config::FileSource,
    context: SourceContext,
    buffers: Arc<ReadBuffers>,
    descriptors: Arc<FileDescriptors>,
}

/// Buffers that files are read into, shared by all sources: what one keeps at rest is of use to the others.
struct ReadBuffers(Arc<Buffers>);

impl Carried for ReadBuffers {}

impl LocalFiles {
    /// A source that is ready to run.
    #[must_use]
    pub fn prepare(config: config::FileSource, context: SourceContext) -> Self {
        let buffers = context.carryover.get_or("", || Arc::new(ReadBuffers(read_buffers())));
        let descriptors = context.carryover.get("");
        Self { config, context, buffers, descriptors }
    }
}

impl Source for LocalFiles {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        self.buffers.0.keep_at_most(usize::try_from(intake.memory() / 4).unwrap_or(usize::MAX));
        let SourceContext { name, host, once, checkpoints, status, linger, .. } = &self.context;
        let activity = Arc::<Activity>::default();
        status.watch(&format!("source {name}"), "its thread hangs in a call of the file system", &activity);
        let setup = FileSetup {
            name: Arc::clone(name),
            host: Arc::clone(host),
            config: self.config.clone(),
            intake,
            checkpoints: Arc::clone(checkpoints),
            buffers: Arc::clone(&self.buffers.0),
            descriptors: DescriptorShare::new(Arc::clone(&self.descriptors), self.config.max_open),
            once: *once,
            linger: *linger,
            activity: Arc::clone(&activity),
            status: Arc::clone(status),
        };
        Box::pin(on_thread(name, watched(activity, follower::run(setup, stop))))
    }
}
