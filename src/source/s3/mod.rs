//! Objects of S3, announced by the messages of a queue, or found by listing a bucket: `type = "s3"`.

mod announced;
mod begun;
mod cut;
mod done;
mod error;
mod held;
mod listed;
mod listed_bucket;
mod message;
mod notification;
mod object;
mod open;
mod position;
mod progress;
mod queue;
mod reading;
mod receive;
mod resumable;
mod seen;
mod stream;
mod sweep;
mod unpack;

use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};

use self::announced::AnnouncedObjects;
pub use self::done::DoneSummary;
use self::listed::ListedObjects;
pub use self::listed_bucket::ListedBucket;
use self::open::ObjectClient;
pub use self::position::ObjectPosition;
use self::queue::SqsQueue;
use crate::aws::{ApiClient, AwsError};
use crate::config::{ObjectFeed, S3Source};
use crate::event::Origin;
use crate::source::lifecycle::{Source, SourceContext, SourceError};

/// A source that is ready to run; nothing is asked yet.
///
/// # Errors
/// When a client cannot be built, a glob is none, or what was done before cannot be read.
pub async fn prepare(config: S3Source, context: SourceContext) -> Result<Box<dyn Source>, SourceError> {
    let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
    let whose = format!("source `{}`", context.name);
    let wrong = |error: AwsError| SourceError::Other(Box::new(error));
    let exclude = globs(&config.exclude)?;
    let of_buckets = ApiClient::with(&whose, &config.aws, None, &origin).await.map_err(wrong)?;
    let mut client = of_buckets.at(config.aws.endpoint_url.clone());
    if let Some(owner) = &config.bucket_owner {
        client = client.owning(owner);
    }
    let (requester_pays, patience) = (config.requester_pays, config.aws.request_timeout);
    let objects = ObjectClient { client, requester_pays, patience };
    match config.feed.clone() {
        ObjectFeed::Queue(feed) => {
            let region = feed.region().map(str::to_owned);
            let of_queue = ApiClient::with(&whose, &feed.aws, region, &origin).await.map_err(wrong)?;
            let of_queue = of_queue.at(Some(feed.endpoint().to_owned()));
            let queue = SqsQueue::new(of_queue, feed.url, feed.visibility);
            Ok(Box::new(AnnouncedObjects::with(config, context, exclude, queue, objects)))
        }
        ObjectFeed::Listing(feed) => {
            Ok(Box::new(ListedObjects::with(config, feed, context, exclude, objects)?))
        }
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, SourceError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let wrong = |source| SourceError::Glob { pattern: pattern.clone(), source };
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map_err(|source| SourceError::Glob { pattern: patterns.join("`, `"), source })
}

#[cfg(test)]
mod tests;
