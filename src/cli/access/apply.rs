//! `standpipe access apply`: makes or repairs what a topology needs, or takes it away again, after it has shown what.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::consent::{ApplyWords, Consent};
use super::found::{FoundPlan, with_found};
use super::render::{show, write_all};
use super::{ca_file, planned};
use crate::access::apply::{
    ApplyEvent, ApplyStep, ChangeAction, RemovalAction, StepError, StepRunner, change_json, changes,
    removal_json, removals, show_change, show_removal,
};
use crate::access::live::{AccountAccess, AccountClients, ObservedState, held_buckets, read};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceKind};
use crate::access::render::{RenderFormat, RenderedFile, render};
use crate::cli::exit;
use crate::cli::table::count;
use crate::config::topology::AwsAccount;

/// What to apply, and how.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// The topology's file.
    pub topology: PathBuf,
    /// Whether it may be done.
    pub consent: Consent,
    /// Take away instead of making.
    pub destroy: bool,
    /// Only these accounts; all when empty.
    pub accounts: Vec<String>,
    /// What is said.
    pub words: ApplyWords,
    /// Where scripts for the owners of accounts without credentials go; without it they are printed.
    pub out: Option<PathBuf>,
    /// In colour.
    pub colour: bool,
}

/// Shows what is to be done, asks, and does it; returns the exit code, which is 1 when something failed or could not be seen.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    apply: &ApplyOptions,
    environment: &BTreeMap<String, String>,
    input: &mut impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some((topology, plan)) = planned(&apply.topology, environment, err)? else { return Ok(exit::CONFIG) };
    for name in &apply.accounts {
        if !topology.accounts.iter().any(|account| account.name == *name) {
            writeln!(err, "standpipe: `{name}` is not an account of {}", apply.topology.display())?;
            return Ok(exit::USAGE);
        }
    }
    let accounts: Vec<Arc<AwsAccount>> =
        topology.accounts.iter().filter(|account| apply.is_about(account)).map(Arc::clone).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clients = runtime.block_on(AccountClients::connect(&accounts, ca_file(environment).as_ref()));
    let FoundPlan { plan, faults } = match runtime.block_on(with_found(&topology, plan, &clients)) {
        Ok(found) => found,
        Err(why) => return writeln!(err, "{}: {why}", apply.topology.display()).map(|()| exit::CONFIG),
    };
    let seen = runtime.block_on(read(&plan, &[], &clients));
    let tasks = if apply.destroy {
        let held = runtime.block_on(held_buckets(&plan, &clients));
        to_remove(apply, &plan, &seen, &held)
    } else {
        to_change(apply, &plan, &seen)
    };
    let unlisted =
        |(account, why)| json!({ "account": account, "resource": "log groups that match", "why": why });
    let failures = faults.iter().map(unlisted).collect();
    let mut session = ApplySession { apply, plan: &plan, seen: &seen, done: Vec::new(), failures };
    // Nobody agrees to what they have not seen.
    let shows = match apply.words {
        ApplyWords::All => true,
        ApplyWords::Failures => apply.consent != Consent::Given,
        ApplyWords::Json => false,
    };
    if apply.words != ApplyWords::Json {
        for (account, why) in &faults {
            writeln!(err, "account {account}: log groups could not be listed: {why}")?;
        }
    }
    if shows {
        session.show(&tasks, out)?;
    }
    let is_wanted = tasks.iter().any(|task| task.is_change) && session.may(&tasks, input, out, err)?;
    if is_wanted {
        runtime.block_on(session.work(&clients, tasks.as_slice(), out))?;
    }
    session.end(&tasks, is_wanted, out, err)
}

/// One resource, and what is to be done to it.
struct ApplyTask<'p> {
    act: ApplyStep<'p>,
    /// For people.
    text: String,
    /// For machines.
    json: Value,
    /// Something is done, or waited for.
    is_change: bool,
    /// It could not be seen, or needs a person.
    is_open: bool,
}

fn to_change<'p>(apply: &ApplyOptions, plan: &'p AccessPlan, seen: &ObservedState) -> Vec<ApplyTask<'p>> {
    let all = changes(plan, seen, |stage| apply.is_about(&stage.account));
    all.iter()
        .map(|change| ApplyTask {
            act: ApplyStep {
                stage: change.stage,
                resource: change.resource,
                calls: change.calls(plan, seen),
                stays: true,
            },
            text: show_change(change, change.is_foreign(plan, seen) == Some(true), apply.colour),
            json: change_json(change),
            is_change: change.is_change(),
            is_open: matches!(change.action, ChangeAction::Unseen(_) | ChangeAction::ByHand(_)),
        })
        .collect()
}

fn to_remove<'p>(
    apply: &ApplyOptions,
    plan: &'p AccessPlan,
    seen: &ObservedState,
    held: &BTreeMap<(String, String), String>,
) -> Vec<ApplyTask<'p>> {
    let why = |stage: &PlanStage, resource: &PlannedResource| {
        let ResourceKind::Bucket { name, .. } = &resource.kind else { return None };
        held.get(&(stage.account.name.clone(), name.clone())).cloned()
    };
    let all = removals(plan, seen, |stage| apply.is_about(&stage.account), why);
    all.iter()
        .map(|removal| ApplyTask {
            act: ApplyStep {
                stage: removal.stage,
                resource: removal.resource,
                calls: removal.calls(seen),
                stays: false,
            },
            text: show_removal(removal, apply.colour),
            json: removal_json(removal),
            is_change: removal.is_change(),
            is_open: matches!(removal.action, RemovalAction::Unseen(_)),
        })
        .collect()
}

impl ApplyOptions {
    fn is_about(&self, account: &AwsAccount) -> bool {
        self.accounts.is_empty() || self.accounts.contains(&account.name)
    }
}

/// One run.
struct ApplySession<'a> {
    apply: &'a ApplyOptions,
    plan: &'a AccessPlan,
    seen: &'a ObservedState,
    /// Calls that were made: the account, the resource, the call.
    done: Vec<Value>,
    failures: Vec<Value>,
}

impl ApplySession<'_> {
    /// What is to be done, account by account.
    fn show(&self, tasks: &[ApplyTask<'_>], out: &mut impl Write) -> io::Result<()> {
        let mut before: Option<&PlanStage> = None;
        for task in tasks {
            let stage = task.act.stage;
            if !before.is_some_and(|before| std::ptr::eq(before, stage)) {
                self.show_account(&stage.account, out)?;
                before = Some(stage);
            }
            out.write_all(task.text.as_bytes())?;
        }
        if !self.apply.destroy {
            self.show_by_hand(out)?;
        }
        let n_changes = tasks.iter().filter(|task| task.is_change).count();
        let n_open = tasks.iter().filter(|task| task.is_open).count();
        let n_rest = tasks.len().saturating_sub(n_changes).saturating_sub(n_open);
        let verb = if self.apply.destroy { "to remove" } else { "to make or change" };
        writeln!(
            out,
            "{n_changes} {verb}, {n_rest} to keep, {n_open} that cannot be read or fixed from here"
        )?;
        out.flush()
    }

    fn show_account(&self, account: &AwsAccount, out: &mut impl Write) -> io::Result<()> {
        let AwsAccount { name, place, .. } = account;
        match self.seen.accounts.get(name) {
            Some(AccountAccess::As(arn)) => writeln!(out, "account {name} ({}), as {arn}", place.account),
            Some(AccountAccess::Denied(_)) | None => writeln!(out, "account {name} ({})", place.account),
        }
    }

    fn show_by_hand(&self, out: &mut impl Write) -> io::Result<()> {
        for stage in self.plan.stages.iter().filter(|stage| self.apply.is_about(&stage.account)) {
            for by_hand in &stage.by_hand {
                writeln!(out, "by hand, in account {}: {}", stage.account.name, by_hand.what)?;
                writeln!(out, "{}", by_hand.document.to_pretty_json())?;
            }
        }
        Ok(())
    }

    /// Whether it is to be done: with `--yes`, or when someone says so.
    fn may(
        &self,
        tasks: &[ApplyTask<'_>],
        input: &mut impl BufRead,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<bool> {
        if self.apply.consent == Consent::Given {
            return Ok(true);
        }
        if self.apply.words == ApplyWords::Json || self.apply.consent == Consent::Lacking {
            writeln!(err, "nothing was done: run it on a terminal and answer, or with --yes")?;
            return Ok(false);
        }
        out.flush()?;
        let n_changes = tasks.iter().filter(|task| task.is_change).count();
        let what = if self.apply.destroy { "remove" } else { "make or change" };
        write!(err, "{what} these {n_changes}? [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        let is_yes = matches!(answer.trim(), "y" | "Y" | "yes");
        if !is_yes {
            writeln!(err, "nothing was done")?;
        }
        Ok(is_yes)
    }

    /// Does one task after the other. After a failure the rest of that account's step is left; a signal to stop ends it between two
    /// resources.
    async fn work(
        &mut self,
        clients: &AccountClients,
        tasks: &[ApplyTask<'_>],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let mut worker = StepRunner { plan: self.plan, clients, seen: self.seen, stop: stopped };
        let signal = async {
            tokio::signal::ctrl_c().await.ok();
            stop.send_replace(true);
            // Whoever waits for it is told; this waits on, so that the other branch ends the run.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = signal => Ok(()),
            done = self.all(&mut worker, tasks, out) => done,
        }
    }

    async fn all(
        &mut self,
        worker: &mut StepRunner<'_>,
        tasks: &[ApplyTask<'_>],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut broken: Option<&PlanStage> = None;
        for task in tasks.iter().filter(|task| task.is_change) {
            let ApplyStep { stage, resource, .. } = &task.act;
            if broken.is_some_and(|broken| std::ptr::eq(broken, *stage)) {
                self.fail(task, "skipped, since an earlier one failed", out)?;
                continue;
            }
            if *worker.stop.borrow() {
                self.fail(task, "left: stopped", out)?;
                continue;
            }
            let (account, title) = (&stage.account.name, resource.title());
            let mut wrote = Ok(());
            let mut tell = |told| {
                let line = match told {
                    ApplyEvent::Done(call) => {
                        self.done.push(json!({ "account": account, "resource": title, "call": call }));
                        format!("done    {account}: {title}: {call}\n")
                    }
                    ApplyEvent::Waits(call, why) => format!("wait    {account}: {title}: `{call}`: {why}\n"),
                };
                if self.apply.words == ApplyWords::All && wrote.is_ok() {
                    wrote = out.write_all(line.as_bytes()).and_then(|()| out.flush());
                }
            };
            let done = worker.act(&task.act, &mut tell).await;
            wrote?;
            match done {
                Ok(()) => {}
                Err(StepError::Signal) => self.fail(task, "stopped, unfinished", out)?,
                Err(StepError::Failed(why)) => {
                    self.fail(task, &why, out)?;
                    // What is made rests on what is made before it; what is taken away does not.
                    broken = (!self.apply.destroy).then_some(*stage);
                }
            }
        }
        Ok(())
    }

    fn fail(&mut self, task: &ApplyTask<'_>, why: &str, out: &mut impl Write) -> io::Result<()> {
        let (account, title) = (&task.act.stage.account.name, task.act.resource.title());
        self.failures.push(json!({ "account": account, "resource": title, "why": why }));
        if self.apply.words == ApplyWords::Json {
            Ok(())
        } else {
            writeln!(out, "failed  {account}: {title}: {why}")
        }
    }

    /// What is left to say, with scripts for the owners of accounts without credentials; the exit code.
    fn end(
        &self,
        tasks: &[ApplyTask<'_>],
        is_applied: bool,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<u8> {
        let scripts = if self.apply.destroy { Vec::new() } else { self.scripts() };
        let is_ok = self.failures.is_empty() && !tasks.iter().any(|task| task.is_open);
        if self.apply.words == ApplyWords::Json {
            writeln!(out, "{:#}", self.report(tasks, is_applied, is_ok, &scripts))?;
        } else {
            if is_applied && self.apply.words == ApplyWords::All {
                writeln!(out, "{}", self.summary())?;
            }
            for (name, access) in &self.seen.accounts {
                if let AccountAccess::Denied(why) = access {
                    writeln!(err, "account {name} could not be read: {why}")?;
                }
            }
        }
        if !scripts.is_empty() {
            if let Some(folder) = &self.apply.out {
                writeln!(err, "for the owners of these accounts, scripts that make it:")?;
                write_all(&scripts, folder, err, &mut io::sink())?;
            } else if self.apply.words != ApplyWords::Json {
                writeln!(
                    err,
                    "for the owners of these accounts, scripts that make it follow; --out DIR writes them"
                )?;
                for script in &scripts {
                    show(script, true, out)?;
                }
            }
        }
        out.flush()?;
        Ok(if is_ok { exit::DONE } else { exit::FAILED })
    }

    /// What was done, in one line.
    fn summary(&self) -> String {
        let calls = count(self.done.len() as u64, "call");
        format!("{calls} made, {} failed or left", count(self.failures.len() as u64, "resource"))
    }

    /// The scripts of accounts that could not be looked at.
    fn scripts(&self) -> Vec<RenderedFile> {
        let is_denied = |stage: &PlanStage| {
            self.apply.is_about(&stage.account)
                && !matches!(self.seen.accounts.get(&stage.account.name), Some(AccountAccess::As(_)))
        };
        let files = render(self.plan, RenderFormat::Cli);
        let pairs = self.plan.stages.iter().zip(files);
        pairs.filter(|(stage, _)| is_denied(stage)).map(|(_, file)| file).collect()
    }

    fn report(
        &self,
        tasks: &[ApplyTask<'_>],
        is_applied: bool,
        is_ok: bool,
        scripts: &[RenderedFile],
    ) -> Value {
        let access = |access: &AccountAccess| match access {
            AccountAccess::As(arn) => json!({ "as": arn }),
            AccountAccess::Denied(why) => json!({ "denied": why }),
        };
        let accounts: Value =
            self.seen.accounts.iter().map(|(name, is)| (name.clone(), access(is))).collect();
        let by_hand = self.plan.stages.iter().flat_map(|stage| {
            stage.by_hand.iter().map(
                move |it| json!({ "account": stage.account.name, "what": it.what, "document": it.document }),
            )
        });
        json!({
            "ok": is_ok,
            "applied": is_applied,
            "accounts": accounts,
            "changes": tasks.iter().map(|task| task.json.clone()).collect::<Vec<_>>(),
            "by_hand": by_hand.collect::<Vec<_>>(),
            "done": self.done,
            "failures": self.failures,
            "scripts": scripts.iter().map(|file| json!({ "path": file.path, "text": file.text })).collect::<Vec<_>>(),
        })
    }
}
