//! Looks at every resource of a plan: calls that change nothing, a few of an account at a time.

mod ask;
mod flow;
mod identity;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::ask::{Asker, Gap};
use super::{Access, Clients, Look, Seen, State, extra};
use crate::access::plan::{Kind, Plan, Resource, Stage};
use crate::aws::Caller;
use crate::config::topology::Account;

/// Most resources of an account that are looked at side by side: IAM and `CloudWatch` Logs answer a few calls a second.
const SIDE_BY_SIDE: usize = 4;

/// The names in the plan of keys that it makes, by all that others may call them.
type Aliases = BTreeMap<String, String>;

/// Looks at all resources of a plan.
pub async fn read(plan: &Plan, clients: &Clients) -> Seen {
    let mut seen = Seen { accounts: clients.accounts().clone(), resources: BTreeMap::new() };
    let is_key = |resource: &Resource| matches!(resource.kind, Kind::Key { .. });
    // Keys come first: others tell theirs by its ARN.
    look(plan, clients, &Arc::default(), is_key, &mut seen).await;
    let aliases = Arc::new(aliases(plan, &seen));
    look(plan, clients, &aliases, |resource| !is_key(resource), &mut seen).await;
    seen
}

/// Looks at one resource anew.
pub async fn read_one(
    plan: &Plan,
    stage: &Stage,
    resource: &Resource,
    clients: &Clients,
    seen: &Seen,
) -> Look {
    match clients.caller(&stage.account.name) {
        Some(caller) => one(caller, &aliases(plan, seen), &stage.account, resource).await,
        None => Look::Unseen("there are no credentials".to_owned()),
    }
}

/// Why each bucket of a plan cannot be deleted, by account and name; those that can are left out.
pub async fn held_buckets(plan: &Plan, clients: &Clients) -> BTreeMap<(String, String), String> {
    let mut held = BTreeMap::new();
    for stage in &plan.stages {
        let Some(caller) = clients.caller(&stage.account.name) else { continue };
        let asker = Asker { caller, aliases: &Aliases::new(), place: &stage.account.place };
        for resource in &stage.resources {
            let Kind::Bucket { name, .. } = &resource.kind else { continue };
            let why = asker.held(name).await;
            held.extend(why.map(|why| ((stage.account.name.clone(), name.clone()), why)));
        }
    }
    held
}

async fn look(
    plan: &Plan,
    clients: &Clients,
    aliases: &Arc<Aliases>,
    is_wanted: impl Fn(&Resource) -> bool,
    seen: &mut Seen,
) {
    let mut tasks = JoinSet::new();
    let mut permits: BTreeMap<&str, Arc<Semaphore>> = BTreeMap::new();
    for stage in &plan.stages {
        let name = stage.account.name.as_str();
        for resource in stage.resources.iter().filter(|resource| is_wanted(resource)) {
            let key = (name.to_owned(), resource.id.clone());
            let Some(caller) = clients.caller(name).map(Arc::clone) else {
                let why = match clients.accounts().get(name) {
                    Some(Access::Denied(why)) => why.clone(),
                    Some(Access::As(_)) | None => "there are no credentials".to_owned(),
                };
                seen.resources.insert(key, Look::Unseen(why));
                continue;
            };
            let permits = permits.entry(name).or_insert_with(|| Arc::new(Semaphore::new(SIDE_BY_SIDE)));
            let (permits, aliases) = (Arc::clone(permits), Arc::clone(aliases));
            let (account, resource) = (Arc::clone(&stage.account), resource.clone());
            tasks.spawn(async move {
                // Nobody closes the semaphore.
                let _permit = permits.acquire().await.ok();
                (key, one(&caller, &aliases, &account, &resource).await)
            });
        }
    }
    while let Some(Ok((key, look))) = tasks.join_next().await {
        seen.resources.insert(key, look);
    }
}

async fn one(caller: &Caller, aliases: &Aliases, account: &Account, resource: &Resource) -> Look {
    let asker = Asker { caller, aliases, place: &account.place };
    let state = match &resource.kind {
        Kind::Key { alias, .. } => asker.key(alias).await,
        Kind::LogGroup { name, stream, .. } => asker.log_group(name, stream.as_deref()).await,
        Kind::Bucket { name, queue, .. } => asker.bucket(name, queue.as_deref()).await,
        Kind::Notification { bucket, queue, .. } => asker.notification(bucket, queue).await,
        Kind::Queue { name, .. } => asker.queue(name).await,
        Kind::Role { name, .. } => asker.role(name).await,
        Kind::RolePolicy { role, name, .. } => asker.role_policy(role, name).await,
        Kind::ManagedPolicy { name, .. } => asker.managed_policy(name).await,
        Kind::DeliveryStream(stream) => asker.delivery_stream(&stream.name).await,
        Kind::DataStream { name, .. } => asker.data_stream(name).await,
        Kind::LeaseTable { name } => asker.table(name).await,
        Kind::Destination { name, .. } => asker.destination(name).await,
        Kind::LogsPolicy { name, .. } => asker.logs_policy(name).await,
        Kind::Filter(filter) => asker.filter(&filter.group, &filter.name).await,
        Kind::AccountFilter { filter, .. } => asker.account_filter(&filter.name).await,
    };
    match state {
        Ok(state) => Look::Found(state),
        Err(Gap::Absent) => Look::Absent,
        Err(Gap::Unseen(why)) => Look::Unseen(why),
    }
}

/// Every key that is there: its ARN and its id, and the ARN of its alias.
fn aliases(plan: &Plan, seen: &Seen) -> Aliases {
    let mut aliases = Aliases::new();
    for stage in &plan.stages {
        for resource in &stage.resources {
            let Kind::Key { alias, .. } = &resource.kind else { continue };
            let Some(Look::Found(state)) = seen.look(&stage.account.name, &resource.id) else { continue };
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
