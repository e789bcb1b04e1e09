//! One file a command.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use crate::config::{Checked, Errors, inspect};

pub mod access;
pub mod access_arguments;
mod admin_client;
pub mod arguments;
pub mod check;
pub mod completions;
pub mod decode;
pub mod doctor;
pub mod format_name;
pub mod health;
pub mod live_arguments;
pub mod logging;
pub mod man;
pub mod progress;
pub mod replay;
pub mod run;
pub mod schema;
pub mod state;
pub mod status;
mod table;
pub mod tap;
pub mod terminal;
pub mod test;
pub mod top;

/// Exit codes, the same for every command.
pub mod exit {
    /// Done, and everything read was delivered.
    pub const DONE: u8 = 0;
    /// Failed, or standard input is lost.
    pub const FAILED: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Stopped at the deadline with data still undelivered: it is read or sent again.
    pub const UNDELIVERED: u8 = 75;
    /// Bad configuration.
    pub const CONFIG: u8 = 78;
}

/// The configuration; none when it has errors, all of which were written to `err`.
fn configuration(
    files: &[PathBuf],
    environment: &BTreeMap<String, String>,
    err: &mut impl Write,
) -> io::Result<Option<Checked>> {
    match inspect(files, environment) {
        Ok(checked) => Ok(Some(checked)),
        Err(errors) => tell(&errors, err).map(|()| None),
    }
}

/// Writes the mistakes of a configuration; on a terminal with the lines that they stand in.
fn tell(errors: &Errors, err: &mut impl Write) -> io::Result<()> {
    let text = if io::stderr().is_terminal() { errors.with_excerpts() } else { errors.to_string() };
    writeln!(err, "{text}")
}
