//! The sources of a generation, running.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::error;

use super::error::RunError;
use crate::causes::with_causes;
use crate::pipeline::Intake;
use crate::source::{Source, SourceError, Stop};

/// A source that is ready to run, with its name.
pub(crate) struct ReadySource {
    pub(crate) name: Arc<str>,
    pub(crate) source: Box<dyn Source>,
}

/// Sources at work, and those that have ended and are still to be finished.
pub(crate) struct RunningSources {
    tasks: JoinSet<EndedSource>,
    ended: Vec<ReadySource>,
    /// Cuts their runs short.
    cut: watch::Sender<bool>,
}

struct EndedSource {
    source: ReadySource,
    result: Result<(), SourceError>,
}

impl RunningSources {
    /// No source yet.
    pub(crate) fn new() -> Self {
        Self { tasks: JoinSet::new(), ended: Vec::new(), cut: watch::Sender::new(false) }
    }

    /// Starts a source.
    pub(crate) fn start(&mut self, mut source: ReadySource, intake: Intake, stop: Stop) {
        let mut cut = self.cut.subscribe();
        self.tasks.spawn(async move {
            let result = tokio::select! {
                result = source.source.run(intake, stop) => result,
                // An error would say that nobody is left to cut it short.
                Ok(_) = cut.wait_for(|cut| *cut) => Ok(()),
            };
            EndedSource { source, result }
        });
    }

    /// Waits until every source has ended by itself, or one has failed. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Option<RunError> {
        while let Some(ended) = self.tasks.join_next().await {
            // A panic aborts the process.
            let Ok(EndedSource { source, result }) = ended else { continue };
            let name = source.name.to_string();
            self.ended.push(source);
            if let Err(source) = result {
                return Some(RunError::Source { name, source });
            }
        }
        None
    }

    /// Waits until every source has ended, however. Cancel-safe.
    pub(crate) async fn all_ended(&mut self) {
        while self.ended().await.is_some() {}
    }

    /// Ends every run at its next await.
    pub(crate) async fn cut_short(&mut self) {
        self.cut.send_replace(true);
        self.all_ended().await;
    }

    /// Finishes the sources, side by side: everything that they handed out has ended.
    pub(crate) async fn finish(self, within: Duration) {
        let mut finishing = JoinSet::new();
        for ReadySource { name, source } in self.ended {
            finishing.spawn(async move {
                match timeout(within, source.finish()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(failed)) => {
                        error!(source = &*name, error = with_causes(&failed), "the source could not finish");
                    }
                    Err(_) => error!(source = &*name, "the source did not finish in time"),
                }
            });
        }
        while finishing.join_next().await.is_some() {}
    }
}
