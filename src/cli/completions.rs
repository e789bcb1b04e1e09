//! `standpipe completions`: what a shell needs to complete commands and options.

use std::io::{self, Write};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::arguments::Arguments;
use super::exit;

/// Writes the completions for a shell; returns the exit code.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(shell: Shell, out: &mut impl Write) -> io::Result<u8> {
    // Written aside first: the generator takes a pipe that is closed for a fault of its own.
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "standpipe", &mut script);
    out.write_all(&script)?;
    Ok(exit::DONE)
}
