//! `state forget`: drops checkpoints.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::checkpoints;
use super::error::StateCommandError;
use super::printable::printable;
use crate::ack::Checkpoints;
use crate::source::cloudwatch_logs::{GroupPosition, ListingPosition};
use crate::source::file::FilePosition;
use crate::state::StateDir;

/// Drops the checkpoints of a source, or of one of its files, and says what was dropped.
pub(super) fn forget(
    dir: &Path,
    source: &str,
    file: Option<&Path>,
    out: &mut impl Write,
) -> Result<(), StateCommandError> {
    // A daemon would write them again from its memory.
    let _locked = StateDir::lock(dir)?;
    let checkpoints = Checkpoints::open(dir)?;
    let of_source = checkpoints.stored::<FilePosition>(source);
    let groups = checkpoints.stored::<GroupPosition>(source);
    if of_source.is_empty() && groups.is_empty() {
        return Err(checkpoints::unknown(dir, source)?);
    }
    let mut known = Vec::new();
    let mut dropped = 0_usize;
    for account in of_source {
        let position = account.position();
        let path = position.location.path.as_path();
        if file.is_some_and(|file| file != path && file != Path::new(&*position.origin)) {
            known.push(path.display().to_string());
            continue;
        }
        account.forget();
        dropped = dropped.saturating_add(1);
        let name = printable(&path.to_string_lossy());
        writeln!(out, "forgot {name} (delivered to byte {})", position.mark.offset)?;
    }
    for account in groups {
        let position = account.position();
        let name = printable(position.name());
        if file.is_some_and(|file| file != Path::new(position.name()) && file != Path::new(&position.group)) {
            known.push(name);
            continue;
        }
        account.forget();
        forget_ids(&position.ids(dir, source))?;
        dropped = dropped.saturating_add(1);
        writeln!(out, "forgot {name} (delivered up to {})", position.read_to().to_rfc3339())?;
    }
    if file.is_none() {
        checkpoints.stored::<ListingPosition>(source).iter().for_each(|listing| listing.forget());
    }
    if let Some(file) = file.filter(|_| dropped == 0) {
        let name = file.display().to_string();
        return Err(StateCommandError::Unknown {
            what: "checkpoint of a file",
            name,
            dir: dir.to_owned(),
            known,
        });
    }
    checkpoints.save().map_err(|source| StateCommandError::Save { dir: dir.to_owned(), source })?;
    writeln!(out, "at the next start, `{source}` reads them from its `start`")?;
    Ok(())
}

/// What was delivered of a log group is not known any more.
fn forget_ids(path: &Path) -> Result<(), StateCommandError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(StateCommandError::Save { dir: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
