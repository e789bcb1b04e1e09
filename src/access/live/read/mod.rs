//! Looks at every resource of a plan: calls that change nothing, a few of an account at a time.

mod ask;
mod counts;
mod flow;
mod identity;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::ask::{Asker, Gap};
use super::{Access, Beside, Clients, Look, Seen, State, extra};
use crate::access::plan::{Kind, Plan, Resource, Stage};
use crate::aws::Caller;
use crate::config::topology::Account;

/// Most resources of an account that are looked at side by side: IAM and `CloudWatch` Logs answer a few calls a second.
const SIDE_BY_SIDE: usize = 4;

/// The names in the plan of keys that it makes, by all that others may call them.
type Aliases = BTreeMap<String, String>;

/// Something to look at.
#[derive(Clone, Debug)]
enum Thing {
    Planned(Resource),
    Beside(Beside),
}

/// Looks at all resources of a plan, and at what it rests on.
pub async fn read(plan: &Plan, beside: &[(Arc<Account>, Beside)], clients: &Clients) -> Seen {
    let mut seen = Seen { accounts: clients.accounts().clone(), resources: BTreeMap::new() };
    let planned = plan.stages.iter().flat_map(|stage| {
        stage.resources.iter().map(|resource| (&stage.account, Thing::Planned(resource.clone())))
    });
    let beside = beside.iter().map(|(account, beside)| (account, Thing::Beside(beside.clone())));
    let is_key = |thing: &Thing| matches!(thing, Thing::Planned(resource) if matches!(resource.kind, Kind::Key { .. }));
    let (keys, rest): (Vec<_>, Vec<_>) = planned.chain(beside).partition(|(_, thing)| is_key(thing));
    // Keys come first: others tell theirs by its ARN.
    look(keys, clients, &Arc::default(), &mut seen).await;
    let aliases = Arc::new(aliases(plan, &seen));
    look(rest, clients, &aliases, &mut seen).await;
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
        None => Look::Unseen(nobody(clients, &stage.account.name)),
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
    things: Vec<(&Arc<Account>, Thing)>,
    clients: &Clients,
    aliases: &Arc<Aliases>,
    seen: &mut Seen,
) {
    let mut tasks = JoinSet::new();
    let mut permits: BTreeMap<&str, Arc<Semaphore>> = BTreeMap::new();
    for (account, thing) in things {
        let name = account.name.as_str();
        let id = match &thing {
            Thing::Planned(resource) => resource.id.clone(),
            Thing::Beside(beside) => beside.id(),
        };
        let key = (name.to_owned(), id);
        let Some(caller) = clients.caller(name).map(Arc::clone) else {
            seen.resources.insert(key, Look::Unseen(nobody(clients, name)));
            continue;
        };
        let permits = permits.entry(name).or_insert_with(|| Arc::new(Semaphore::new(SIDE_BY_SIDE)));
        let (permits, aliases, account) = (Arc::clone(permits), Arc::clone(aliases), Arc::clone(account));
        let own = clients.arn(name).unwrap_or_default().to_owned();
        tasks.spawn(async move {
            // Nobody closes the semaphore.
            let _permit = permits.acquire().await.ok();
            let look = match &thing {
                Thing::Planned(resource) => one(&caller, &aliases, &account, resource).await,
                Thing::Beside(beside) => one_beside(&caller, &aliases, &account, (beside, &own)).await,
            };
            (key, look)
        });
    }
    while let Some(Ok((key, look))) = tasks.join_next().await {
        seen.resources.insert(key, look);
    }
}

/// Why nobody can look at an account.
fn nobody(clients: &Clients, account: &str) -> String {
    match clients.accounts().get(account) {
        Some(Access::Denied(why)) => why.clone(),
        Some(Access::As(_)) | None => "there are no credentials".to_owned(),
    }
}

/// Looks at what is beside a plan; `own` is the ARN of whoever looks.
async fn one_beside(
    caller: &Caller,
    aliases: &Aliases,
    account: &Account,
    (beside, own): (&Beside, &str),
) -> Look {
    let asker = Asker { caller, aliases, place: &account.place };
    found(match beside {
        Beside::Caller => asker.itself(own).await,
        Beside::LogGroup(name) => asker.log_group_beside(name).await,
        Beside::Deliveries(name) => asker.deliveries(name).await,
        Beside::Quota(name) => asker.quota(name).await,
        Beside::LogsPolicies => {
            asker.logs_policies().await.map(|all| State::from([(extra::OTHERS, all.into())]))
        }
        Beside::Bucket(name) => asker.bucket(name, None).await,
        Beside::Key(arn) => asker.key(arn).await,
    })
}

fn found(state: Result<State, Gap>) -> Look {
    match state {
        Ok(state) => Look::Found(state),
        Err(Gap::Absent) => Look::Absent,
        Err(Gap::Unseen(why)) => Look::Unseen(why),
    }
}

async fn one(caller: &Caller, aliases: &Aliases, account: &Account, resource: &Resource) -> Look {
    let asker = Asker { caller, aliases, place: &account.place };
    found(match &resource.kind {
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
    })
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
