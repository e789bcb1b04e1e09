//! The border of the source.

use std::sync::Arc;

use super::puller::Puller;
use super::service::CloudWatchLogs;
use crate::aws::ApiClient;
use crate::config::PullSource;
use crate::event::Origin;
use crate::pipeline::Intake;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;

/// A source of type `cloudwatch_logs`, as the daemon sees it.
pub struct CloudWatchPull(Puller<CloudWatchLogs>);

impl CloudWatchPull {
    /// Prepares calls; nothing is asked yet.
    ///
    /// # Errors
    /// When the configuration cannot be used, or there is no region.
    pub async fn prepare(config: PullSource, context: SourceContext) -> Result<Self, SourceError> {
        let whose = format!("source `{}`", context.name);
        let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        let client = ApiClient::with(&whose, &config.aws, None, &origin).await;
        let client = client.map_err(|error| SourceError::Other(Box::new(error)))?;
        let client = client.at(config.aws.endpoint_url.clone());
        let service = CloudWatchLogs::new(client, config.aws.request_timeout, config.linked_accounts);
        Puller::new(service, config, context).map(Self)
    }
}

impl Source for CloudWatchPull {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        Box::pin(async move { self.0.run(&intake, stop).await })
    }

    fn finish(mut self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move { self.0.finish().await })
    }
}
