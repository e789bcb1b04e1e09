//! What `standpipe doctor` sees of the journal: whether it can be read, and what would be.

use std::process::Stdio;

use super::command;
use super::fault::JournaldFault;
use super::position::written;
use super::unreadable::unreadable;
use crate::causes::with_causes;
use crate::config::JournaldSource;
use crate::journal_export::JournalCursor;

/// What `journalctl` finds of a source's entries; or why it cannot be read, with the fix.
///
/// # Errors
/// As a sentence.
pub(crate) fn look(config: &JournaldSource) -> Result<String, String> {
    if let Some(path) = unreadable(config) {
        return Err(JournaldFault::Unreadable(path).to_string());
    }
    let program = command::program(config);
    let output = command::newest_selected(config).stdin(Stdio::null()).output();
    let output = output
        .map_err(|source| JournaldFault::Missing { program: program.clone(), source })
        .map_err(|fault| with_causes(&fault))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(JournaldFault::Ended { program, status: output.status, said }.to_string());
    }
    let Some(cursor) = JournalCursor::of_entry(&output.stdout) else {
        return Ok("can be read; no entry is what the source reads".to_owned());
    };
    let newest = JournalCursor::parse(cursor).map(|cursor| written(cursor).to_rfc3339());
    let newest = newest.unwrap_or_else(|| "an unknown time".to_owned());
    Ok(format!("can be read; the newest entry that the source reads is of {newest}"))
}
