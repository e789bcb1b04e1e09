//! `state forget`: drops checkpoints.

use std::io::Write;
use std::path::Path;

use super::checkpoints;
use super::error::StateCommandError;
use super::printable::printable;
use crate::ack::Checkpoints;
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
    if of_source.is_empty() {
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
