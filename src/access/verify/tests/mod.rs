//! Breaks, each by itself: it is found as the first hop that fails, and its fix, applied to the letter, puts it right.

mod prerequisites;
mod breaks;
mod denials;
mod flow;
mod model;
mod unread;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use self::model::Model;
use super::examine;
use crate::access::live::{Observation, Prerequisite};
use crate::access::report::{Severity, tree};

const TOPOLOGIES: [&str; 8] =
    ["basic", "moto", "organization", "straight", "three-accounts", "trail", "pull", "sample"];

/// Something that is wrong.
struct Break {
    topology: &'static str,
    name: &'static str,
    make: fn(&mut Model),
    /// The hop and the check that fail first.
    at: (&'static str, &'static str),
    /// What has to be said of it.
    seen: &'static [&'static str],
}

/// One line of the table.
const fn broken(
    topology: &'static str,
    name: &'static str,
    make: fn(&mut Model),
    at: (&'static str, &'static str),
    seen: &'static [&'static str],
) -> Break {
    Break { topology, name, make, at, seen }
}

impl Model {
    /// Replaces a text within an aspect.
    #[track_caller]
    fn edit(&mut self, account: &str, id: &str, aspect: &'static str, from: &str, to: &str) {
        let state = self.state(account, id);
        let before = state.get(aspect).map(ToString::to_string).unwrap_or_default();
        let after = before.replace(from, to);
        assert_ne!(before, after, "{id}, {aspect}: no {from}");
        state.insert(aspect, serde_json::from_str(&after).unwrap());
    }

    fn set(&mut self, account: &str, id: &str, aspect: &'static str, value: Value) {
        self.state(account, id).insert(aspect, value);
    }

    #[track_caller]
    fn unset(&mut self, account: &str, id: &str, aspect: &str) {
        assert!(self.state(account, id).remove(aspect).is_some(), "{id}: no {aspect}");
    }

    /// One statement more in a policy, which may not be there yet.
    fn add(&mut self, account: &str, id: &str, aspect: &'static str, statement: Value) {
        let empty = serde_json::json!({ "Version": "2012-10-17", "Statement": [] });
        let policy = self.state(account, id).entry(aspect).or_insert(Value::Null);
        if policy.is_null() {
            *policy = empty;
        }
        policy["Statement"].as_array_mut().unwrap().push(statement);
    }

    /// Another policy of a role.
    fn other(&mut self, account: &str, id: &str, name: &str, statement: &Value) {
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] });
        let others = self.state(account, id).entry("others").or_insert_with(|| serde_json::json!({}));
        others.as_object_mut().unwrap().insert(name.to_owned(), policy);
    }

    fn lose_group(&mut self, account: &str, group: &str) {
        let filters: Vec<String> = self
            .resources(account)
            .filter(|resource| matches!(&resource.kind, crate::access::plan::ResourceKind::Filter(it) if it.group == group))
            .map(|resource| resource.id.clone())
            .collect();
        for filter in filters {
            self.lose(account, &filter);
        }
        let id = Prerequisite::LogGroup(group.to_owned()).id();
        self.seen.resources.insert((account.to_owned(), id), Observation::Absent);
    }
}

#[test]
fn what_a_plan_makes_lets_logs_pass() {
    for name in TOPOLOGIES {
        let model = Model::perfect(name);
        let report = examine(&model.topology, &model.plan, &model.seen);
        let told = tree(&report, false);
        assert_eq!(report.first_failure().map(|(hop, _)| hop.name.as_str()), None, "{name}:\n{told}");
        let warns = report.hops.iter().any(|hop| hop.level() == Severity::Warning);
        assert!(!warns, "{name}:\n{told}");
    }
}

/// Breaks, looks, fixes and looks again.
fn check(it: &Break) {
    let mut model = Model::perfect(it.topology);
    (it.make)(&mut model);
    let report = examine(&model.topology, &model.plan, &model.seen);
    let told = tree(&report, false);
    let first = report.first_failure();
    let at = first.map(|(hop, finding)| (hop.name.as_str(), finding.check));
    assert_eq!(at, Some(it.at), "{told}");
    let (_, finding) = first.unwrap();
    for word in it.seen {
        assert!(finding.seen.contains(word), "it says `{word}`: {}", finding.seen);
    }
    assert!(finding.why.as_ref().is_some_and(|why| !why.is_empty()), "it says why it matters");
    let fix = finding.fix.as_ref().expect("it has a fix");
    assert!(!fix.text.is_empty() && !fix.calls.is_empty(), "{fix:?}");
    for (account, call) in &fix.calls {
        model.run(account, call);
    }
    let report = examine(&model.topology, &model.plan, &model.seen);
    assert!(report.first_failure().is_none(), "after its fix:\n{}", tree(&report, false));
}

#[test]
fn every_single_break_is_the_first_failure_and_its_fix_fixes_it() {
    let breaks = breaks::all();
    let names: BTreeSet<_> = breaks.iter().map(|it| (it.topology, it.name)).collect();
    assert_eq!(names.len(), breaks.len(), "every break has a name of its own");
    assert!(45 <= breaks.len(), "{}", breaks.len());
    let failed: Vec<String> = breaks
        .iter()
        .filter_map(|it| {
            let panic = catch_unwind(AssertUnwindSafe(|| check(it))).err()?;
            let text = panic.downcast_ref::<String>().map_or("no words", String::as_str);
            Some(format!("--- {}: {}\n{text}\n", it.topology, it.name))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), breaks.len(), failed.concat());
}

#[test]
fn what_differs_and_does_no_harm_is_a_warning_at_most() {
    for it in breaks::harmless() {
        let mut model = Model::perfect(it.topology);
        (it.make)(&mut model);
        let report = examine(&model.topology, &model.plan, &model.seen);
        let told = tree(&report, false);
        assert!(report.first_failure().is_none(), "{}: {told}", it.name);
        let findings = report.hops.iter().filter(|hop| hop.name == it.at.0).flat_map(|hop| &hop.findings);
        let mut found = findings.filter(|finding| finding.check == it.at.1);
        let is_said = found.any(|finding| it.seen.iter().all(|word| finding.seen.contains(word)));
        assert!(is_said, "{}: {told}", it.name);
    }
}
