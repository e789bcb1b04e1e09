//! How the daemon is, in words: for /readyz, the status page and systemd.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is wrong at present, by who says so.
#[derive(Debug, Default)]
pub struct Status {
    /// Complaints by name. The lock covers a change of the map.
    complaints: Mutex<BTreeMap<String, String>>,
    /// What a person should know and no delivery waits for. The lock covers an addition.
    notes: Mutex<Vec<String>>,
}

impl Status {
    /// Sets or clears what is wrong with `who`.
    pub fn complain(&self, who: &str, complaint: Option<String>) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        match complaint {
            Some(complaint) => {
                complaints.insert(who.to_owned(), complaint);
            }
            None => {
                complaints.remove(who);
            }
        }
    }

    /// All complaints, one a line; none when all is well.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.iter().map(|(who, complaint)| format!("{who}: {complaint}")).collect()
    }

    /// Adds what a person should know, although nothing is wrong with what runs: it does not change readiness.
    pub fn note(&self, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    /// All notes.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
