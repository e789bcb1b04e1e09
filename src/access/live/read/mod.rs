//! Looks at every resource of a plan: calls that change nothing, a few of an account at a time.

mod reader;
mod counts;
mod flow;
mod identity;
mod matching;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use self::matching::{MatchingGroups, matching};
use self::reader::{AccountReader, KeyAliases, Unread};
use super::{AccountClients, Observation, ObservedState, Prerequisite, ResourceState, extra};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceKind};
use crate::aws::ApiClient;
use crate::config::topology::AwsAccount;

/// Most resources of an account that are looked at side by side: IAM and `CloudWatch` Logs answer a few calls a second.
const SIDE_BY_SIDE: usize = 4;

/// Something to look at.
#[derive(Clone, Debug)]
enum ReadTarget {
    Planned(PlannedResource),
    Prerequisite(Prerequisite),
}

/// Looks at all resources of a plan, and at what it rests on.
pub async fn read(
    plan: &AccessPlan,
    beside: &[(Arc<AwsAccount>, Prerequisite)],
    clients: &AccountClients,
) -> ObservedState {
    let mut seen = ObservedState { accounts: clients.accounts().clone(), resources: BTreeMap::new() };
    let planned = plan.stages.iter().flat_map(|stage| {
        stage.resources.iter().map(|resource| (&stage.account, ReadTarget::Planned(resource.clone())))
    });
    let beside = beside.iter().map(|(account, beside)| (account, ReadTarget::Prerequisite(beside.clone())));
    let is_key = |thing: &ReadTarget| matches!(thing, ReadTarget::Planned(resource) if matches!(resource.kind, ResourceKind::Key { .. }));
    let (keys, rest): (Vec<_>, Vec<_>) = planned.chain(beside).partition(|(_, thing)| is_key(thing));
    // Keys come first: others tell theirs by its ARN.
    look(keys, clients, &Arc::default(), &mut seen).await;
    let aliases = Arc::new(aliases(plan, &seen));
    look(rest, clients, &aliases, &mut seen).await;
    seen
}

/// Looks at one resource anew.
pub async fn read_one(
    plan: &AccessPlan,
    stage: &PlanStage,
    resource: &PlannedResource,
    clients: &AccountClients,
    seen: &ObservedState,
) -> Observation {
    match clients.caller(&stage.account.name) {
        Some(caller) => one(caller, &aliases(plan, seen), &stage.account, resource).await,
        None => Observation::Unseen(nobody(&stage.account.name)),
    }
}

/// Why each bucket of a plan cannot be deleted, by account and name; those that can are left out.
pub async fn held_buckets(plan: &AccessPlan, clients: &AccountClients) -> BTreeMap<(String, String), String> {
    let mut held = BTreeMap::new();
    for stage in &plan.stages {
        let Some(caller) = clients.caller(&stage.account.name) else { continue };
        let asker = AccountReader { caller, aliases: &KeyAliases::new(), place: &stage.account.place };
        for resource in &stage.resources {
            let ResourceKind::Bucket { name, .. } = &resource.kind else { continue };
            let why = asker.held(name).await;
            held.extend(why.map(|why| ((stage.account.name.clone(), name.clone()), why)));
        }
    }
    held
}

async fn look(
    things: Vec<(&Arc<AwsAccount>, ReadTarget)>,
    clients: &AccountClients,
    aliases: &Arc<KeyAliases>,
    seen: &mut ObservedState,
) {
    let mut tasks = JoinSet::new();
    let mut permits: BTreeMap<&str, Arc<Semaphore>> = BTreeMap::new();
    for (account, thing) in things {
        let name = account.name.as_str();
        let id = match &thing {
            ReadTarget::Planned(resource) => resource.id.clone(),
            ReadTarget::Prerequisite(beside) => beside.id(),
        };
        let key = (name.to_owned(), id);
        let Some(caller) = clients.caller(name).map(Arc::clone) else {
            seen.resources.insert(key, Observation::Unseen(nobody(name)));
            continue;
        };
        let permits = permits.entry(name).or_insert_with(|| Arc::new(Semaphore::new(SIDE_BY_SIDE)));
        let (permits, aliases, account) = (Arc::clone(permits), Arc::clone(aliases), Arc::clone(account));
        let own = clients.arn(name).unwrap_or_default().to_owned();
        tasks.spawn(async move {
            // Nobody closes the semaphore.
            let _permit = permits.acquire().await.ok();
            let look = match &thing {
                ReadTarget::Planned(resource) => one(&caller, &aliases, &account, resource).await,
                ReadTarget::Prerequisite(beside) => {
                    one_prerequisite(&caller, &aliases, &account, beside, &own).await
                }
            };
            (key, look)
        });
    }
    while let Some(Ok((key, look))) = tasks.join_next().await {
        seen.resources.insert(key, look);
    }
}

/// Why nobody can look at an account; what is wrong with its credentials is said once, of the account.
fn nobody(account: &str) -> String {
    format!("there are no credentials of account `{account}` that can be used")
}

/// Looks at what is beside a plan; `own` is the ARN of whoever looks.
async fn one_prerequisite(
    caller: &ApiClient,
    aliases: &KeyAliases,
    account: &AwsAccount,
    beside: &Prerequisite,
    own: &str,
) -> Observation {
    let asker = AccountReader { caller, aliases, place: &account.place };
    found(match beside {
        Prerequisite::Caller => asker.itself(own).await,
        Prerequisite::LogGroup(name) => asker.subscribed_log_group(name).await,
        Prerequisite::Deliveries(name) => asker.deliveries(name).await,
        Prerequisite::Quota(name) => asker.quota(name).await,
        Prerequisite::LogsPolicies => {
            asker.logs_policies().await.map(|all| ResourceState::from([(extra::OTHERS, all.into())]))
        }
        Prerequisite::Bucket(name) => asker.bucket(name, None).await,
        Prerequisite::Key(arn) => asker.key(arn).await,
    })
}

fn found(state: Result<ResourceState, Unread>) -> Observation {
    match state {
        Ok(state) => Observation::Found(state),
        Err(Unread::Absent) => Observation::Absent,
        Err(Unread::Unseen(why)) => Observation::Unseen(why),
    }
}

async fn one(
    caller: &ApiClient,
    aliases: &KeyAliases,
    account: &AwsAccount,
    resource: &PlannedResource,
) -> Observation {
    let asker = AccountReader { caller, aliases, place: &account.place };
    found(match &resource.kind {
        ResourceKind::Key { alias, .. } => asker.key(alias).await,
        ResourceKind::LogGroup { name, stream, .. } => asker.log_group(name, stream.as_deref()).await,
        ResourceKind::Bucket { name, queue, .. } => asker.bucket(name, queue.as_deref()).await,
        ResourceKind::Notification { bucket, queue, .. } => asker.notification(bucket, queue).await,
        ResourceKind::Queue { name, .. } => asker.queue(name).await,
        ResourceKind::Role { name, .. } => asker.role(name).await,
        ResourceKind::RolePolicy { role, name, .. } => asker.role_policy(role, name).await,
        ResourceKind::ManagedPolicy { name, .. } => asker.managed_policy(name).await,
        ResourceKind::DeliveryStream(stream) => asker.delivery_stream(&stream.name).await,
        ResourceKind::DataStream { name, .. } => asker.data_stream(name).await,
        ResourceKind::LeaseTable { name } => asker.table(name).await,
        ResourceKind::Destination { name, .. } => asker.destination(name).await,
        ResourceKind::LogsPolicy { name, .. } => asker.logs_policy(name).await,
        ResourceKind::Filter(filter) => asker.filter(&filter.group, &filter.name).await,
        ResourceKind::AccountFilter { filter, .. } => asker.account_filter(&filter.name).await,
    })
}

/// Every key that is there: its ARN and its id, and the ARN of its alias.
fn aliases(plan: &AccessPlan, seen: &ObservedState) -> KeyAliases {
    let mut aliases = KeyAliases::new();
    for stage in &plan.stages {
        for resource in &stage.resources {
            let ResourceKind::Key { alias, .. } = &resource.kind else { continue };
            let Some(Observation::Found(state)) = seen.look(&stage.account.name, &resource.id) else {
                continue;
            };
            let Some(arn) = state.get(extra::ARN).and_then(|arn| arn.as_str()) else { continue };
            aliases.insert(arn.to_owned(), alias.clone());
            if let Some((before, id)) = arn.rsplit_once("key/") {
                aliases.insert(id.to_owned(), alias.clone());
                aliases.insert(format!("{before}{alias}"), alias.clone());
            }
        }
    }
    aliases
}
