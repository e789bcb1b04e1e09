//! What was found: hop by hop, each finding with what was seen, why it matters, and the fix.

mod tree;

pub use self::tree::tree;

use serde::Serialize;

use crate::access::command::commands;
use crate::access::policy::PolicyDocument;
use crate::aws::ApiCall;
use crate::config::topology::AwsAccount;

/// Everything that was found, in the order of the hops.
///
/// Serialized it is what `doctor --json` prints; keys are only ever added.
#[derive(Clone, Debug, Default)]
pub struct HopReport {
    /// The hops.
    pub hops: Vec<Hop>,
    /// The accounts of which nothing could be seen: of what is there, nothing is known to be well.
    pub unseen_accounts: Vec<String>,
}

/// One thing that logs pass, such as a source or a sink.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Its name in the configuration, such as `sinks.archive`.
    pub name: String,
    /// What was found, in order: what comes later depends on what comes before.
    pub findings: Vec<HopFinding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct HopFinding {
    /// What was looked at: one of a fixed set of words, such as `assume_role`.
    pub check: &'static str,
    /// How it is.
    pub level: Severity,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// How something is; the worst last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Not looked at, since something before it failed.
    Skipped,
    /// Perhaps not meant, or not to be seen from here.
    Warning,
    /// Logs do not pass.
    Failure,
}

/// What to do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fix {
    /// In words.
    pub text: String,
    /// Policies that are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<MissingPolicy>,
    /// Commands, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// What the commands call, each with the name of the account that it is for; none for commands that only look.
    #[serde(skip)]
    pub calls: Vec<(String, ApiCall)>,
}

/// A policy that is missing.
#[derive(Clone, Debug, Serialize)]
pub struct MissingPolicy {
    /// Where it belongs, in words.
    pub at: String,
    /// What it says.
    pub document: PolicyDocument,
}

impl HopReport {
    /// The first hop that fails, and at what.
    #[must_use]
    pub fn first_failure(&self) -> Option<(&Hop, &HopFinding)> {
        self.hops.iter().find_map(|hop| {
            let failure = hop.findings.iter().find(|finding| finding.level == Severity::Failure)?;
            Some((hop, failure))
        })
    }

    /// Whether nothing fails, and something of every account was seen.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.first_failure().is_none() && self.unseen_accounts.is_empty()
    }

    /// With the hops of another report after its own.
    pub fn extend(&mut self, other: Self) {
        self.hops.extend(other.hops);
        self.unseen_accounts.extend(other.unseen_accounts);
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let hops: Vec<_> = self
            .hops
            .iter()
            .map(|hop| serde_json::json!({ "hop": hop.name, "level": hop.level(), "findings": hop.findings }))
            .collect();
        let first = self
            .first_failure()
            .map(|(hop, finding)| serde_json::json!({ "hop": hop.name, "check": finding.check }));
        serde_json::json!({
            "ok": self.is_ok(),
            "first_failure": first,
            "unseen_accounts": self.unseen_accounts,
            "hops": hops,
        })
    }
}

impl Hop {
    /// The worst that was found.
    #[must_use]
    pub fn level(&self) -> Severity {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Severity::Ok)
    }
}

impl HopFinding {
    pub(in crate::access) fn new(check: &'static str, level: Severity, seen: impl Into<String>) -> Self {
        Self { check, level, seen: seen.into(), why: None, fix: None }
    }

    pub(in crate::access) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, seen)
    }

    pub(in crate::access) fn warning(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, seen)
    }

    pub(in crate::access) fn failure(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Severity::Failure, seen)
    }

    pub(in crate::access) fn why(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    pub(in crate::access) fn fix(self, fix: impl Into<Fix>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

impl Fix {
    /// With calls for an account's owner, as commands after a line that says whose credentials they take.
    pub(in crate::access) fn calls(mut self, account: &AwsAccount, calls: Vec<ApiCall>) -> Self {
        if calls.is_empty() {
            return self;
        }
        let AwsAccount { name, place, .. } = account;
        let whose = format!("# with credentials of account {name} ({}):", place.account);
        if self.commands.iter().rfind(|command| command.starts_with('#')) != Some(&whose) {
            self.commands.push(whose);
        }
        self.commands.extend(commands(&calls, account));
        self.calls.extend(calls.into_iter().map(|call| (name.clone(), call)));
        self
    }

    /// With a policy that is missing.
    pub(in crate::access) fn policy(mut self, at: String, document: PolicyDocument) -> Self {
        self.policies.push(MissingPolicy { at, document });
        self
    }

    /// This one, then the other.
    pub(in crate::access) fn and(mut self, other: Self) -> Self {
        let Self { text, policies, commands, calls } = other;
        if !self.text.contains(&text) {
            self.text = if self.text.is_empty() { text } else { format!("{}; {text}", self.text) };
        }
        self.policies.extend(policies);
        self.commands.extend(commands);
        self.calls.extend(calls);
        self
    }
}

impl<T: Into<String>> From<T> for Fix {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl Severity {
    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}
