//! `standpipe access`: the plumbing between accounts, from a topology.

pub mod apply;
pub mod consent;
mod found;
pub mod render;
pub mod verify;
pub mod watch;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::access::plan::{AccessPlan, plan};
use crate::config::topology::{Topology, load};

/// The topology and its plan; none when it has errors, all of which were written to `err`.
pub(super) fn planned(
    file: &Path,
    environment: &BTreeMap<String, String>,
    err: &mut impl Write,
) -> io::Result<Option<(Topology, AccessPlan)>> {
    let topology = match load(file, environment) {
        Ok(topology) => topology,
        Err(errors) => return super::tell(&errors, err).map(|()| None),
    };
    let plan = match plan(&topology) {
        Ok(plan) => plan,
        Err(error) => return writeln!(err, "{}: {error}", file.display()).map(|()| None),
    };
    if plan.stages.is_empty() {
        writeln!(
            err,
            "{}: nothing to create; describe a `[bucket]` and `[stream]`, `[[vended]]`, `[[readers]]` or `[[log_readers]]`",
            file.display()
        )?;
        return Ok(None);
    }
    Ok(Some((topology, plan)))
}

/// An authority to trust besides the system's, as the AWS CLI is told of it.
fn ca_file(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    environment.get("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from)
}
