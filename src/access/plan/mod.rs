//! From a topology to all that has to be there for it: one model, from which every form is printed.
//!
//! Pure: no file, no network, no clock. What each policy grants follows `CloudWatch` Logs'
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions.html>) and Firehose's
//! (<https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html>) own pages, less what is not needed.

mod assumed;
mod draft;
mod keys;
mod limits;
mod log_readers;
mod resource;
mod senders;
mod stages;
mod statements;
mod storage;
mod streams;
mod vended;

#[cfg(test)]
mod tests;

use self::draft::PlanDraft;
pub use limits::PlanError;
pub(crate) use limits::{limit, selection};
pub use resource::{
    AccessPlan, DeliveryStream, DocumentPurpose, ERROR_STREAM, KeyUse, ManualStep, PlanStage,
    PlannedResource, ResourceDocument, ResourceKind, SubscriptionFilter,
};
pub(crate) use streams::errors as error_log_group;

use crate::config::topology::Topology;

/// Works out the resources of a topology, and checks them against AWS's limits.
pub fn plan(topology: &Topology) -> Result<AccessPlan, PlanError> {
    let mut draft = PlanDraft { topology, parts: Vec::new(), by_hand: Vec::new() };
    keys::keys(&mut draft);
    senders::log_groups(&mut draft);
    storage::bucket(&mut draft);
    streams::delivery_stream(&mut draft);
    streams::data_stream(&mut draft);
    streams::destination(&mut draft);
    vended::vended(&mut draft)?;
    assumed::writer(&mut draft);
    assumed::consumer(&mut draft);
    assumed::readers(&mut draft);
    log_readers::log_readers(&mut draft);
    senders::subscriptions(&mut draft);
    let mut tags: Vec<(String, String)> =
        topology.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    tags.push(("standpipe-topology".to_owned(), topology.name.clone()));
    let region = topology.region.clone();
    let plan = AccessPlan { region, tags, stages: stages::stages(draft) };
    limits::check(&plan)?;
    Ok(plan)
}
