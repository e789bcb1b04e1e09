//! `standpipe access verify`: reads what is there of a topology, and says which hop is broken.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use super::{ca_file, planned};
use crate::access::live::{AccountClients, prerequisites, read};
use crate::access::plan::AccessPlan;
use crate::access::report::{HopReport, tree};
use crate::access::verify::examine;
use crate::cli::exit;
use crate::config::topology::Topology;

/// How to say it.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOutput {
    /// For machines.
    pub json: bool,
    /// In colour.
    pub colour: bool,
}

/// Writes what was found to `out`; returns the exit code, which is 1 when something fails, or nothing could be seen of an account.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    topology: &Path,
    environment: &BTreeMap<String, String>,
    output: VerifyOutput,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some((topology, plan)) = planned(topology, environment, err)? else { return Ok(exit::CONFIG) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(look(&topology, &plan, environment));
    if output.json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        out.write_all(tree(&report, output.colour).as_bytes())?;
    }
    out.flush()?;
    Ok(if report.is_ok() { exit::DONE } else { exit::FAILED })
}

/// Reads what is there of a topology, and explains it.
pub(in crate::cli) async fn look(
    topology: &Topology,
    plan: &AccessPlan,
    environment: &BTreeMap<String, String>,
) -> HopReport {
    let clients = AccountClients::connect(&topology.accounts, ca_file(environment).as_ref()).await;
    examine(topology, plan, &read(plan, &prerequisites(topology), &clients).await)
}
