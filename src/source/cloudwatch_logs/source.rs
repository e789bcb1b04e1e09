//! The border of the source.

use std::sync::Arc;

use super::puller::Puller;
use super::service::CloudWatchLogs;
use crate::aws::{ApiClient, AwsConnection, ResolvedRole};
use crate::config::{AwsSettings, PullSource};
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
        let service = connect(whose, &config, &origin).await?;
        Puller::new(service, config, context).map(Self)
    }
}

async fn connect(whose: String, config: &PullSource, origin: &Origin) -> Result<CloudWatchLogs, SourceError> {
    let other = |error: crate::aws::AwsError| SourceError::Other(Box::new(error));
    let settings = config.aws.clone();
    let AwsSettings { region, assume_role, endpoint_url, request_timeout, .. } = settings.clone();
    let connection = AwsConnection::new(whose, settings).map_err(other)?;
    let region = region.and_then(|region| region.render(origin));
    let roles = assume_role.iter().filter_map(|role| ResolvedRole::of(role, origin)).collect();
    let client = ApiClient::new(&connection, region, roles).await.map_err(other)?.at(endpoint_url);
    Ok(CloudWatchLogs::new(client, request_timeout, config.linked_accounts))
}

impl Source for CloudWatchPull {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        Box::pin(async move { self.0.run(&intake, stop).await })
    }

    fn finish(mut self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move { self.0.finish().await })
    }
}
