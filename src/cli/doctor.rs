//! `standpipe doctor`: walks every hop that the configuration names, and says which is broken and how to fix it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::{planned, verify};
use super::{configuration, exit};
use crate::access::doctor::{DoctorOptions, MatchingFiles, examine};
use crate::access::report::tree;
use crate::causes::with_causes;
use crate::config::FileSource;
use crate::event::Timestamp;
use crate::source::{file, journald};

/// How to look, and how to say it.
#[derive(Clone, Copy, Debug)]
pub struct DoctorOutput {
    /// For machines.
    pub json: bool,
    /// In colour.
    pub colour: bool,
    /// Put one line to each stream.
    pub write_probe: bool,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct DoctorInput<'a> {
    /// The configuration files.
    pub files: &'a [PathBuf],
    /// A topology, whose hops come after the daemon's own.
    pub topology: Option<&'a Path>,
}

/// Writes what was found to `out`; returns the exit code, which is 1 when something fails, or nothing could be seen of an account.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    what: DoctorInput<'_>,
    environment: &BTreeMap<String, String>,
    manner: DoctorOutput,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some(checked) = configuration(what.files, environment, err)? else { return Ok(exit::CONFIG) };
    let topology = match what.topology {
        None => None,
        Some(file) => {
            let Some(planned) = planned(file, environment, err)? else { return Ok(exit::CONFIG) };
            Some(planned)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = Arc::from(gethostname::gethostname().to_string_lossy());
    let look = DoctorOptions {
        host,
        write_probe: manner.write_probe,
        now: Timestamp::now(),
        find_files,
        look_at_journal: journald::look,
    };
    let mut report = runtime.block_on(examine(&checked.config, &look));
    if let Some((topology, plan)) = &topology {
        report.extend(runtime.block_on(verify::look(topology, plan, environment)));
    }
    if manner.json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        out.write_all(tree(&report, manner.colour).as_bytes())?;
    }
    out.flush()?;
    Ok(if report.is_ok() { exit::DONE } else { exit::FAILED })
}

/// The files that a source would read now.
fn find_files(source: &FileSource) -> Result<MatchingFiles, String> {
    // As `run` does.
    file::raise_descriptor_limit();
    let found = file::find(source).map_err(|error| with_causes(&error))?;
    let (for_files, descriptors) = file::descriptors_for_files();
    Ok(MatchingFiles {
        most_open: source.max_open.min(for_files),
        descriptors,
        files: found.files.into_iter().collect(),
        unread: found.failed,
        too_old: found.too_old,
        refused: found.refused.into_iter().map(|(_, why)| why).collect(),
    })
}
