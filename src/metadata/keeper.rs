//! Asks whoever tells where standpipe runs: at the start, for a bounded time, and rarely from then on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::ec2::ec2;
use super::ecs::ecs;
use super::endpoints::MetadataEndpoints;
use super::facts::{FactValues, FactsFault, HostFacts};
use super::pod::pod;
use crate::config::{LabelName, MetadataKind, MetadataNeeds};
use crate::sync::Lock;

/// How long an answer may take, and so a start.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Who has not answered is asked again after so long, then after twice as long, and so on.
const FIRST: Duration = Duration::from_secs(1);

/// At the latest after so long.
const LATEST: Duration = Duration::from_mins(5);

/// Who has answered is asked again after so long.
const RARELY: Duration = Duration::from_hours(1);

/// Keeps what is known up to date. One for the life of the process.
#[derive(Debug)]
pub(crate) struct FactsKeeper {
    endpoints: MetadataEndpoints,
    facts: Arc<HostFacts>,
    /// Names of which was said that nobody tells them. The lock covers a look.
    told: Lock<BTreeSet<LabelName>>,
}

impl FactsKeeper {
    /// Nothing is asked yet.
    pub(crate) fn new(endpoints: MetadataEndpoints) -> Arc<Self> {
        Arc::new(Self { endpoints, facts: Arc::default(), told: Lock::default() })
    }

    /// What is known.
    pub(crate) fn facts(&self) -> &Arc<HostFacts> {
        &self.facts
    }

    /// Asks those that have not answered, or not for all that is used by now, side by side, and waits no longer than for one attempt.
    pub(crate) async fn begin(self: &Arc<Self>, needs: &MetadataNeeds) {
        let mut asked = JoinSet::new();
        let known = self.facts.values();
        // Tags are asked for by their names: a reload may bring new ones.
        let lacks = |kind: MetadataKind| {
            needs.uses.iter().any(|name| name.kind() == Some(kind) && !known.contains_key(name.as_str()))
        };
        for kind in needs.kinds.iter().copied().filter(|kind| !self.facts.has(*kind) || lacks(*kind)) {
            let (keeper, needs) = (Arc::clone(self), needs.clone());
            asked.spawn(async move {
                if let Err(fault) = keeper.attempt(kind, &needs).await {
                    say(kind, &fault);
                }
            });
        }
        while asked.join_next().await.is_some() {}
    }

    /// Asks one of them again and again; ends only where that is of no use.
    pub(crate) async fn keep(self: Arc<Self>, kind: MetadataKind, needs: MetadataNeeds) {
        let mut is_failing = !self.facts.has(kind);
        let mut wait = if is_failing { FIRST } else { RARELY };
        loop {
            sleep(wait).await;
            match self.attempt(kind, &needs).await {
                Ok(()) => {
                    if is_failing {
                        info!(metadata = kind.name(), "where standpipe runs is known now");
                    }
                    (is_failing, wait) = (false, RARELY);
                }
                Err(fault) if fault.is_final => return,
                Err(fault) => {
                    if !is_failing {
                        say(kind, &fault);
                    }
                    (is_failing, wait) = (true, LATEST.min(wait.saturating_mul(2)));
                }
            }
        }
    }

    async fn attempt(&self, kind: MetadataKind, needs: &MetadataNeeds) -> Result<(), FactsFault> {
        let late = || FactsFault {
            text: format!("no answer within {} s", ATTEMPT.as_secs()),
            fix: "see what keeps it from answering",
            is_final: false,
        };
        let values = timeout(ATTEMPT, self.ask(kind, &needs.uses)).await.unwrap_or_else(|_| Err(late()))?;
        self.say_what_is_missing(kind, &values, needs);
        self.facts.set(kind, values);
        Ok(())
    }

    async fn ask(&self, kind: MetadataKind, uses: &BTreeSet<LabelName>) -> Result<FactValues, FactsFault> {
        let unset = |text: &str, fix| FactsFault { text: text.to_owned(), fix, is_final: true };
        match kind {
            MetadataKind::Ec2 => match &self.endpoints.ec2 {
                Some(endpoint) => ec2(endpoint, uses).await,
                None => Err(unset(
                    "AWS_EC2_METADATA_DISABLED turns the instance's metadata off",
                    "unset it, or take `ec2` out of `metadata`",
                )),
            },
            MetadataKind::Ecs => match &self.endpoints.ecs {
                Some(endpoint) => ecs(endpoint).await,
                None => Err(unset(
                    "ECS_CONTAINER_METADATA_URI_V4 is not set",
                    "run standpipe in a task of ECS, whose agent sets it, or take `ecs` out of `metadata`",
                )),
            },
            MetadataKind::Kubernetes => {
                let endpoints = self.endpoints.clone();
                // Only the end of the process cuts it short.
                Ok(tokio::task::spawn_blocking(move || pod(&endpoints)).await.unwrap_or_default())
            }
        }
    }

    /// Says once of each name that it is not told.
    fn say_what_is_missing(&self, kind: MetadataKind, values: &FactValues, needs: &MetadataNeeds) {
        // A file may tell of its pod.
        let of_kind = |name: &&LabelName| name.kind() == Some(kind) && kind != MetadataKind::Kubernetes;
        for name in needs.needs.iter().filter(of_kind) {
            if values.contains_key(name.as_str()) || !self.told.lock().insert(name.clone()) {
                continue;
            }
            let fix = if name.as_str().starts_with("ec2.tags.") {
                "give the instance this tag, and let its metadata tell tags: `aws ec2 modify-instance-metadata-options --instance-metadata-tags enabled --instance-id ..`"
            } else {
                "write what stands for it, such as `{ec2.zone:-unknown}`"
            };
            warn!(name = name.as_str(), fix, "nobody tells this: events lack it");
        }
    }
}

fn say(kind: MetadataKind, FactsFault { text, fix, is_final }: &FactsFault) {
    let then =
        if *is_final { "events lack it" } else { "events lack it until it is told; it is asked again" };
    warn!(metadata = kind.name(), error = text, fix, then, "where standpipe runs is not known");
}
