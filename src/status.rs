//! How the daemon is, in words: for /readyz, the status page and systemd.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is wrong at present, by who says so.
#[derive(Debug, Default)]
pub struct Status {
    /// Complaints by name. The lock covers a change of the map.
    complaints: Mutex<BTreeMap<String, String>>,
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
}
