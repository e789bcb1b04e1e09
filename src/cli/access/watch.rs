//! `standpipe access apply --watch`: subscribes log groups that match a topology's patterns, as they come, until it is stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{ca_file, planned};
use crate::access::apply::{ApplyEvent, ApplyStep, ChangeAction, StepError, StepRunner, changes};
use crate::access::live::{AccountAccess, AccountClients, MatchingGroups, ObservedState, matching, read_one};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceKind, SubscriptionFilter, plan};
use crate::cli::exit;
use crate::config::topology::{AwsAccount, Topology};

/// What to watch, and how often.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The topology's file.
    pub topology: PathBuf,
    /// Only these accounts; all when empty.
    pub accounts: Vec<String>,
    /// How long to wait between two looks.
    pub every: Duration,
    /// A line of JSON for each thing that is done.
    pub json: bool,
    /// Say only what is wrong.
    pub quiet: bool,
}

/// Between two log groups: five filters a second may be put.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const PAUSE: Duration = Duration::from_millis(400);

/// A log group that cannot be subscribed is tried again after so many looks at the most.
const MOST_LOOKS: u32 = 64;

/// Watches until a signal to stop; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    options: &WatchOptions,
    environment: &BTreeMap<String, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some((mut topology, _)) = planned(&options.topology, environment, err)? else {
        return Ok(exit::CONFIG);
    };
    for name in &options.accounts {
        if !topology.accounts.iter().any(|account| account.name == *name) {
            writeln!(err, "standpipe: `{name}` is not an account of {}", options.topology.display())?;
            return Ok(exit::USAGE);
        }
    }
    let is_meant = |name: &String| options.accounts.is_empty() || options.accounts.contains(name);
    topology.subscriptions.retain(|subscription| is_meant(&subscription.account.name));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let accounts = accounts(&topology);
    if accounts.is_empty() {
        let file = options.topology.display();
        writeln!(err, "{file}: nothing to watch; give a subscription `match = [\"/aws/lambda/*\"]`")?;
        return Ok(exit::CONFIG);
    }
    let (stop, stopped) = watch::channel(false);
    let mut watch = SubscriptionWatch {
        options,
        topology,
        accounts,
        ca_file: ca_file(environment),
        stop: stopped,
        known: BTreeMap::new(),
        told: BTreeSet::new(),
        looks: 0,
    };
    runtime.block_on(async {
        let stopped = stop_on_signals(stop)?;
        watch.begin(out)?;
        loop {
            watch.look(out, err).await?;
            tokio::select! {
                () = sleep(options.every) => {}
                Ok(_) = watch.stop.wait_for(|stop| *stop) => break,
            }
        }
        stopped.abort();
        watch.say(&json!({ "event": "stopped" }), "stopped", out)
    })?;
    Ok(exit::DONE)
}

/// The accounts that have something to be found.
fn accounts(topology: &Topology) -> Vec<Arc<AwsAccount>> {
    let mut accounts: Vec<Arc<AwsAccount>> = Vec::new();
    for (subscription, _) in topology.matching() {
        if !accounts.iter().any(|account| account.name == subscription.account.name) {
            accounts.push(Arc::clone(&subscription.account));
        }
    }
    accounts
}

/// Tells of SIGTERM and SIGINT.
fn stop_on_signals(stop: watch::Sender<bool>) -> io::Result<tokio::task::AbortHandle> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let task = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
        // Whoever waits for it waits as long as there is somebody to tell.
        std::future::pending::<()>().await;
    });
    Ok(task.abort_handle())
}

/// What was done for a log group.
#[derive(Clone, Debug, Default)]
struct KnownGroup {
    /// When it was made: another of the same name has another time.
    created: i64,
    /// Why it has no filter; none: it has its filters.
    fault: Option<String>,
    /// How often it failed.
    failures: u32,
    /// The look at which it is tried again.
    again: u32,
}

struct SubscriptionWatch<'a> {
    options: &'a WatchOptions,
    topology: Topology,
    accounts: Vec<Arc<AwsAccount>>,
    ca_file: Option<PathBuf>,
    stop: watch::Receiver<bool>,
    /// By account and name.
    known: BTreeMap<(String, String), KnownGroup>,
    /// What was said to be wrong, and still is.
    told: BTreeSet<String>,
    looks: u32,
}

/// A filter that is to be there.
struct FilterTask<'p> {
    plan: &'p AccessPlan,
    stage: &'p PlanStage,
    resource: &'p PlannedResource,
    filter: &'p SubscriptionFilter,
}

impl SubscriptionWatch<'_> {
    fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        for (subscription, patterns) in self.topology.matching() {
            let (account, groups) = (&subscription.account.name, patterns.patterns.join(", "));
            let json = json!({ "event": "watching", "account": account, "match": patterns.patterns,
                "exclude": patterns.exclude });
            let every = crate::config::show_duration(self.options.every);
            self.say(
                &json,
                &format!("watching account {account} every {every} for log groups {groups}"),
                out,
            )?;
        }
        Ok(())
    }

    /// Lists the log groups, and subscribes those that have not been.
    async fn look(&mut self, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
        self.looks = self.looks.saturating_add(1);
        let mut wrong = BTreeSet::new();
        let stop = self.stop.clone();
        let clients = AccountClients::connect(&self.accounts, self.ca_file.as_ref());
        let Some(clients) = until_stopped(stop.clone(), clients).await else { return Ok(()) };
        for (name, access) in clients.accounts() {
            if let AccountAccess::Denied(why) = access {
                self.blame(format!("account {name} could not be read: {why}"), &mut wrong, err)?;
            }
        }
        let Some(found) = until_stopped(stop, matching(&self.topology, &clients)).await else {
            return Ok(());
        };
        for (name, why) in &found.faults {
            if clients.caller(name).is_some() {
                self.blame(
                    format!("account {name}: log groups could not be listed: {why}"),
                    &mut wrong,
                    err,
                )?;
            }
        }
        // What is gone may come again; of an account that could not be listed nothing is known to be gone.
        self.known.retain(|(account, group), known| {
            found.groups.get(account).is_none_or(|groups| groups.get(group) == Some(&known.created))
        });
        self.subscribe(&found, &clients, &mut wrong, out, err).await?;
        self.told = wrong;
        Ok(())
    }

    async fn subscribe(
        &mut self,
        found: &MatchingGroups,
        clients: &AccountClients,
        wrong: &mut BTreeSet<String>,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<()> {
        let due = self.due(found);
        if due.is_empty() {
            return Ok(());
        }
        let plan = match plan(&self.topology.with_found(&due)) {
            Ok(plan) => plan,
            Err(why) => return self.blame(why.to_string(), wrong, err),
        };
        let mut faults: BTreeMap<(String, String), String> = BTreeMap::new();
        for task in tasks(&plan, &due) {
            if *self.stop.borrow() {
                return Ok(());
            }
            let (account, group) = (&task.stage.account.name, &task.filter.group);
            match self.one(&task, clients, out).await {
                Ok(()) => {}
                Err(StepError::Signal) => return Ok(()),
                Err(StepError::Failed(why)) => {
                    let key = (account.clone(), group.clone());
                    let before = self.known.get(&key).and_then(|known| known.fault.as_ref());
                    if before != Some(&why) {
                        writeln!(err, "not subscribed: log group `{group}` of account {account}: {why}")?;
                        err.flush()?;
                    }
                    faults.insert(key, why);
                }
            }
            if until_stopped(self.stop.clone(), sleep(PAUSE)).await.is_none() {
                return Ok(());
            }
        }
        for (account, groups) in &due {
            for group in groups {
                let created = found.groups.get(account).and_then(|groups| groups.get(group)).copied();
                let key = (account.clone(), group.clone());
                let fault = faults.remove(&key);
                self.note(key, created.unwrap_or_default(), fault);
            }
        }
        Ok(())
    }

    /// Notes that a log group has its filters, or why not: then it is tried again after more and more looks.
    fn note(&mut self, key: (String, String), created: i64, fault: Option<String>) {
        let known = self.known.entry(key).or_default();
        let failures = if fault.is_some() { known.failures.saturating_add(1) } else { 0 };
        let wait = 2_u32.saturating_pow(failures.saturating_sub(1)).min(MOST_LOOKS);
        *known = KnownGroup { created, fault, failures, again: self.looks.saturating_add(wait) };
    }

    /// The log groups that are to be looked at now, by account.
    fn due(&self, found: &MatchingGroups) -> BTreeMap<String, Vec<String>> {
        let mut due: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (account, groups) in &found.groups {
            for group in groups.keys() {
                let known = self.known.get(&(account.clone(), group.clone()));
                if known.is_none_or(|known| known.fault.is_some() && known.again <= self.looks) {
                    due.entry(account.clone()).or_default().push(group.clone());
                }
            }
        }
        due
    }

    /// Makes a filter, or puts it right.
    async fn one(
        &self,
        task: &FilterTask<'_>,
        clients: &AccountClients,
        out: &mut impl Write,
    ) -> Result<(), StepError> {
        let FilterTask { plan, stage, resource, filter } = task;
        let mut seen = ObservedState::default();
        let look = read_one(plan, stage, resource, clients, &seen);
        let look = until_stopped(self.stop.clone(), look).await.ok_or(StepError::Signal)?;
        let account = &stage.account.name;
        seen.resources.insert((account.clone(), resource.id.clone()), look);
        let all = changes(plan, &seen, |other| std::ptr::eq(other, *stage));
        let Some(change) = all.iter().find(|change| std::ptr::eq(change.resource, *resource)) else {
            return Ok(());
        };
        let word = match &change.action {
            ChangeAction::Keep => return Ok(()),
            ChangeAction::Create => "subscribed",
            ChangeAction::Change(_) => "changed",
            ChangeAction::Unseen(why) | ChangeAction::ByHand(why) => {
                return Err(StepError::Failed(why.clone()));
            }
        };
        let calls = change.calls(plan, &seen);
        let step = ApplyStep { stage, resource, calls, stays: true };
        let mut runner = StepRunner { plan, clients, seen: &seen, stop: self.stop.clone() };
        runner.act(&step, &mut |_: ApplyEvent| {}).await?;
        let SubscriptionFilter { group, name, to, .. } = filter;
        let json = json!({ "event": word, "account": account, "log_group": group, "filter": name, "destination": to });
        let text = format!("{word}: log group `{group}` of account {account}: filter `{name}` to {to}");
        self.say(&json, &text, out).map_err(|error| StepError::Failed(error.to_string()))
    }

    fn say(&self, json: &Value, text: &str, out: &mut impl Write) -> io::Result<()> {
        if self.options.quiet {
            return Ok(());
        }
        if self.options.json {
            writeln!(out, "{json}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()
    }

    /// Says what is wrong, once for as long as it is.
    fn blame(&self, text: String, wrong: &mut BTreeSet<String>, err: &mut impl Write) -> io::Result<()> {
        if !self.told.contains(&text) && !wrong.contains(&text) {
            writeln!(err, "{text}")?;
            err.flush()?;
        }
        wrong.insert(text);
        Ok(())
    }
}

/// The filters of these log groups.
fn tasks<'p>(plan: &'p AccessPlan, due: &BTreeMap<String, Vec<String>>) -> Vec<FilterTask<'p>> {
    let is_due = |stage: &PlanStage, filter: &SubscriptionFilter| {
        due.get(&stage.account.name).is_some_and(|groups| groups.contains(&filter.group))
    };
    let mut tasks = Vec::new();
    for stage in &plan.stages {
        for resource in &stage.resources {
            if let ResourceKind::Filter(filter) = &resource.kind
                && is_due(stage, filter)
            {
                tasks.push(FilterTask { plan, stage, resource, filter });
            }
        }
    }
    tasks
}

/// What it is to wait for; none once it is to stop.
async fn until_stopped<T>(mut stop: watch::Receiver<bool>, awaited: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = awaited => Some(done),
        Ok(_) = stop.wait_for(|stop| *stop) => None,
    }
}
