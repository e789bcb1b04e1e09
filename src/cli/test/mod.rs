//! `standpipe test`: what a configuration does with events, without a network.

mod differences;
mod payload;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use self::differences::differences;
use self::payload::payload;
use super::run::runtime;
use super::table::count;
use super::{configuration, exit};
use crate::causes::with_causes;
use crate::config::{Config, FlowTest};
use crate::daemon::Rehearsal;

/// Runs every test, and says what differs; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    files: &[PathBuf],
    environment: &BTreeMap<String, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some(checked) = configuration(files, environment, err)? else { return Ok(exit::CONFIG) };
    let config = checked.config;
    if config.tests.is_empty() {
        writeln!(err, "standpipe: there are no tests: write some as `[[tests]]`, or name a file of them")?;
        return Ok(exit::FAILED);
    }
    let runtime = runtime(1)?;
    let _within = runtime.enter();
    let rehearsal = match Rehearsal::new(config.clone()) {
        Ok(rehearsal) => rehearsal,
        Err(error) => {
            writeln!(err, "standpipe: {}", with_causes(&error))?;
            return Ok(exit::FAILED);
        }
    };
    let mut failed = 0;
    for test in &config.tests {
        let differences = play(&rehearsal, &config, test);
        if differences.is_empty() {
            writeln!(out, "ok      {}", test.name)?;
            continue;
        }
        failed += 1;
        writeln!(out, "FAILED  {}", test.name)?;
        for line in differences.iter().flat_map(|difference| difference.lines()) {
            writeln!(out, "        {line}")?;
        }
    }
    let tests = count(config.tests.len() as u64, "test");
    writeln!(out, "{tests}: {failed} failed")?;
    Ok(if failed == 0 { exit::DONE } else { exit::FAILED })
}

fn play(rehearsal: &Rehearsal, config: &Config, test: &FlowTest) -> Vec<String> {
    // The name was looked up when the configuration was read.
    let Some(source) = config.sources.get(&test.source) else { return Vec::new() };
    let (origin, payload) = payload(test, source.decoding());
    match rehearsal.play(origin, payload, test.at, &test.metadata) {
        Some(rehearsed) => differences(test, &rehearsed),
        None => vec!["`limits.memory` is too small to open this payload".to_owned()],
    }
}
