//! `standpipe schema`: the JSON Schema of the configuration, for editors.

use std::io::{self, Write};

use super::exit;
use crate::config;

/// Writes the schema; returns the exit code.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(out: &mut impl Write) -> io::Result<u8> {
    let schema = serde_json::to_string_pretty(&config::schema())?;
    writeln!(out, "{schema}")?;
    Ok(exit::DONE)
}
