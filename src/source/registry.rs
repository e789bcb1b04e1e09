//! From a configured source to one that can run: one line a kind.

use std::pin::Pin;
use std::sync::Arc;

use tracing::info;

use super::cloudwatch_logs::CloudWatchPull;
use super::file::LocalFiles;
use super::firehose_http::FirehoseHttp;
use super::fluent_forward::FluentForward;
use super::journald::JournalFollower;
use super::kinesis::KinesisShards;
use super::lifecycle::{Source, SourceContext, SourceError};
use super::s3;
use super::stdin::StandardInput;
use crate::config;

/// What prepares the sources of a generation; a test may bring its own.
pub type PrepareSource = Arc<dyn Fn(config::SourceConfig, SourceContext) -> PreparedSource + Send + Sync>;

/// A source on its way to be prepared.
pub type PreparedSource = Pin<Box<dyn Future<Output = Result<Option<Box<dyn Source>>, SourceError>> + Send>>;

/// Prepares a source of any kind.
#[must_use]
pub fn prepare(config: config::SourceConfig, context: SourceContext) -> PreparedSource {
    Box::pin(by_kind(config, context))
}

/// None where there is nothing to do for the source in this run.
async fn by_kind(
    config: config::SourceConfig,
    context: SourceContext,
) -> Result<Option<Box<dyn Source>>, SourceError> {
    Ok(match config {
        config::SourceConfig::File(files) => Some(Box::new(LocalFiles::prepare(files, context))),
        config::SourceConfig::Stdin(stdin) => Some(Box::new(StandardInput::prepare(stdin, context))),
        config::SourceConfig::Journald(journald) => {
            Some(Box::new(JournalFollower::prepare(*journald, context)))
        }
        config::SourceConfig::CloudwatchLogs(pull) => {
            Some(Box::new(CloudWatchPull::prepare(*pull, context).await?))
        }
        config::SourceConfig::FirehoseHttp(_) | config::SourceConfig::FluentForward(_) if context.once => {
            let source = &*context.name;
            info!(source, "not started: a run with --once does not listen for requests");
            None
        }
        config::SourceConfig::FluentForward(forward) => {
            Some(Box::new(FluentForward::prepare(*forward, context).await?))
        }
        config::SourceConfig::FirehoseHttp(http) => {
            Some(Box::new(FirehoseHttp::prepare(http, context).await?))
        }
        config::SourceConfig::Kinesis(stream) => {
            Some(Box::new(KinesisShards::prepare(*stream, context).await?))
        }
        config::SourceConfig::S3(objects) => Some(s3::prepare(*objects, context).await?),
    })
}
