//! How the daemon is, in words: for /readyz, the status page and systemd.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is wrong at present, by who says so.
#[derive(Debug, Default)]
pub struct Status {
    /// Complaints by name. The lock covers a change of the map.
    issues: Mutex<BTreeMap<String, String>>,
    /// What a person should know and no delivery waits for, by what it is about. The lock covers a change of the map.
    notes: Mutex<BTreeMap<String, String>>,
}

impl Status {
    /// Sets or clears what is wrong with `who`.
    pub fn report_issue(&self, who: &str, issue: Option<String>) {
        let mut issues = self.issues.lock().unwrap_or_else(PoisonError::into_inner);
        match issue {
            Some(issue) => {
                issues.insert(who.to_owned(), issue);
            }
            None => {
                issues.remove(who);
            }
        }
    }

    /// All issues, one a line; none when all is well.
    #[must_use]
    pub fn issues(&self) -> Vec<String> {
        let issues = self.issues.lock().unwrap_or_else(PoisonError::into_inner);
        issues.iter().map(|(who, issue)| format!("{who}: {issue}")).collect()
    }

    /// Notes what a person should know of `what`, although nothing is wrong with what runs: it does not change readiness.
    pub fn note(&self, what: &str, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned(), note);
    }

    /// All notes.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets everything: who spoke is gone, and another speaks for himself.
    pub fn clear(&self) {
        self.issues.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
