//! The border of the source, as the daemon sees it.

use std::sync::Arc;

use super::fault::JournaldFault;
use super::run::JournalRun;
use crate::config::JournaldSource;
use crate::pipeline::Intake;
use crate::source::holds::Holds;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;

/// A source of type `journald`: reads on from its position until a stop; once, to the journal's end.
pub(crate) struct JournalFollower {
    config: JournaldSource,
    context: SourceContext,
}

impl JournalFollower {
    /// A source that is ready to run.
    pub(crate) const fn prepare(config: JournaldSource, context: SourceContext) -> Self {
        Self { config, context }
    }
}

impl Source for JournalFollower {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        Box::pin(async move {
            let Self { config, context } = self;
            let (name, status) = (Arc::clone(&context.name), Arc::clone(&context.status));
            let holds = Holds::new(name, status, context.once);
            let mut run = JournalRun::new(config, context, intake, stop, holds.patience());
            tokio::select! {
                () = run.follow() => Ok(()),
                reason = holds.failed() => {
                    Err(SourceError::Other(Box::new(JournaldFault::Held(reason))))
                }
            }
        })
    }
}
