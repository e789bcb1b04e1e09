//! `standpipe state`: what is kept between runs. Listing and showing change nothing, and go on beside the daemon.

mod checkpoints;
mod error;
mod forget;
mod journals;
mod letters;
mod log_groups;
mod objects;
mod printable;
mod rows;
mod shards;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use self::checkpoints::ShownCheckpoint;
use self::error::StateCommandError;
use self::journals::ShownJournal;
use self::letters::LetterQuery;
use self::log_groups::ShownGroup;
use self::objects::ShownObjects;
use self::rows::table_or_none;
use self::shards::ShownShard;

pub(super) use self::printable::printable;
use super::arguments::{Show, StateCommand, StatePlace};
use super::{configuration, exit, table};
use crate::causes::with_causes;
use crate::deadletter::{FolderSummary, UnreadableFile};
use crate::event::Timestamp;

/// Does what the command says; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    command: &StateCommand,
    environment: &BTreeMap<String, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let place = match command {
        StateCommand::List { place, .. }
        | StateCommand::Forget { place, .. }
        | StateCommand::Show { what: Show::Sources { place, .. } | Show::DeadLetters { place, .. } } => place,
    };
    let Some(dir) = directory(place, environment, err)? else { return Ok(exit::CONFIG) };
    let mut text = Vec::new();
    let done = match command {
        StateCommand::List { json, .. } => list(&dir, *json, &mut text),
        StateCommand::Show { what: Show::Sources { source, json, .. } } => {
            checkpoints::show(&dir, source.as_deref(), *json, &mut text)
        }
        StateCommand::Show { what: Show::DeadLetters { sink, reason, limit, json, .. } } => {
            // Many letters are not to be collected in memory.
            let query =
                LetterQuery { dir: &dir, folder: sink, reasons: reason, limit: *limit, as_json: *json };
            letters::show(&query, out)
        }
        StateCommand::Forget { source, file, .. } => forget::forget(&dir, source, file.as_deref(), &mut text),
    };
    out.write_all(&text)?;
    out.flush()?;
    match done {
        Ok(()) => Ok(exit::DONE),
        // Whoever reads has read enough.
        Err(StateCommandError::Write(error)) => Err(error),
        Err(failed) => {
            writeln!(err, "standpipe: {}", with_causes(&failed))?;
            Ok(exit::FAILED)
        }
    }
}

pub(super) fn directory(
    place: &StatePlace,
    environment: &BTreeMap<String, String>,
    err: &mut impl Write,
) -> io::Result<Option<PathBuf>> {
    if let Some(dir) = &place.dir {
        return Ok(Some(dir.clone()));
    }
    Ok(configuration(&place.files.config, environment, err)?.map(|checked| checked.config.state.dir))
}

/// The files of one sink's buffer.
struct SinkBuffer {
    sink: String,
    files: u64,
    bytes: u64,
    /// What cannot be read of it.
    unreadable: Vec<UnreadableFile>,
}

fn list(dir: &Path, as_json: bool, out: &mut impl Write) -> Result<(), StateCommandError> {
    fs::read_dir(dir).map_err(|source| StateCommandError::Read { path: dir.to_owned(), source })?;
    // What cannot be read of one kind hides nothing of the others.
    let mut failures = Vec::new();
    let checkpoints = or_none(checkpoints::read(dir, None), &mut failures);
    let groups = or_none(log_groups::read(dir, None), &mut failures);
    let objects = or_none(ShownObjects::read(dir, None), &mut failures);
    let shards = or_none(shards::read(dir, None), &mut failures);
    let journals = or_none(journals::read(dir, None), &mut failures);
    let spools = or_none(spools(&dir.join("spool")), &mut failures);
    let letters = or_none(letters::summaries(dir), &mut failures);
    let all = StateListing { checkpoints, groups, objects, shards, journals, spools, letters };
    if as_json {
        all.write_json(dir, out)?;
    } else {
        all.write_tables(dir, out)?;
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

fn or_none<T: Default>(read: Result<T, StateCommandError>, failures: &mut Vec<StateCommandError>) -> T {
    read.unwrap_or_else(|failed| {
        failures.push(failed);
        T::default()
    })
}

/// What a state directory holds.
struct StateListing {
    checkpoints: Vec<ShownCheckpoint>,
    groups: Vec<ShownGroup>,
    objects: ShownObjects,
    shards: Vec<ShownShard>,
    journals: Vec<ShownJournal>,
    spools: Vec<SinkBuffer>,
    letters: Vec<FolderSummary>,
}

impl StateListing {
    fn write_json(&self, dir: &Path, out: &mut impl Write) -> Result<(), StateCommandError> {
        let Self { checkpoints, groups, objects, shards, journals, spools, letters } = self;
        let spool = |spool: &SinkBuffer| {
            let unreadable: Vec<_> = spool.unreadable.iter().map(letters::unreadable).collect();
            json!({ "sink": spool.sink, "files": spool.files, "bytes": spool.bytes, "unreadable": unreadable })
        };
        let all = json!({
            "dir": dir,
            "checkpoints": checkpoints.iter().map(ShownCheckpoint::json).collect::<Vec<_>>(),
            "log_groups": groups.iter().map(ShownGroup::json).collect::<Vec<_>>(),
            "objects": objects.objects_json(),
            "buckets": objects.buckets_json(),
            "shards": shards.iter().map(ShownShard::json).collect::<Vec<_>>(),
            "journals": journals.iter().map(ShownJournal::json).collect::<Vec<_>>(),
            "spool": spools.iter().map(spool).collect::<Vec<_>>(),
            "dead_letters": letters.iter().map(letters::json).collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
        Ok(())
    }

    fn write_tables(&self, dir: &Path, out: &mut impl Write) -> Result<(), StateCommandError> {
        writeln!(out, "state in {}", dir.display())?;
        writeln!(out, "\ncheckpoints")?;
        checkpoints::table(&self.checkpoints, out)?;
        if !self.groups.is_empty() {
            writeln!(out, "\nlog groups")?;
            log_groups::table(&self.groups, out)?;
        }
        self.objects.tables(out)?;
        shards::table(&self.shards, out)?;
        journals::table(&self.journals, out)?;
        writeln!(out, "\nbuffers on disk")?;
        let mut rows = vec![table::row(["sink", "files", "size"])];
        let row =
            |spool: &SinkBuffer| vec![spool.sink.clone(), spool.files.to_string(), table::size(spool.bytes)];
        rows.extend(self.spools.iter().map(row));
        table_or_none(&rows, out)?;
        unreadable(self.spools.iter().flat_map(|spool| &spool.unreadable), out)?;
        writeln!(out, "\ndead letters")?;
        letters_table(&self.letters, out)
    }
}

fn unreadable<'f>(
    files: impl Iterator<Item = &'f UnreadableFile>,
    out: &mut impl Write,
) -> Result<(), StateCommandError> {
    for UnreadableFile { path, error } in files {
        writeln!(out, "  cannot be read: {}: {error}", printable(&path.to_string_lossy()))?;
    }
    Ok(())
}

fn letters_table(letters: &[FolderSummary], out: &mut impl Write) -> Result<(), StateCommandError> {
    let now = Timestamp::now();
    let mut rows = vec![table::row(["sink", "files", "letters", "events", "size", "oldest", "reasons"])];
    rows.extend(letters.iter().map(|folder| letters::row(folder, now)));
    table_or_none(&rows, out)?;
    unreadable(letters.iter().flat_map(|folder| &folder.unreadable), out)?;
    if let Some(first) = letters.iter().find(|folder| !folder.files.is_empty()) {
        let name = &first.name;
        writeln!(out, "\n  standpipe state show dead-letters {name}    what they are")?;
        writeln!(out, "  standpipe replay {name} --dry-run           what would be delivered again")?;
    }
    Ok(())
}

fn spools(dir: &Path) -> Result<Vec<SinkBuffer>, StateCommandError> {
    let mut spools = Vec::new();
    for entry in entries(dir)? {
        let sink = entry.file_name().to_string_lossy().into_owned();
        let mut spool = SinkBuffer { sink, files: 0, bytes: 0, unreadable: Vec::new() };
        let mut folders = vec![entry.path()];
        while let Some(folder) = folders.pop() {
            let entries = entries(&folder).unwrap_or_else(|failed| {
                if let StateCommandError::Read { path, source: error } = failed {
                    spool.unreadable.push(UnreadableFile { path, error });
                }
                Vec::new()
            });
            for entry in entries {
                // What is gone since was delivered.
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    spool.files = spool.files.saturating_add(1);
                    spool.bytes = spool.bytes.saturating_add(metadata.len());
                }
            }
        }
        spools.push(spool);
    }
    spools.sort_by(|a, b| a.sink.cmp(&b.sink));
    Ok(spools)
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, StateCommandError> {
    let failed = |source| StateCommandError::Read { path: dir.to_owned(), source };
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(failed),
        // It is a file, or was removed, or there never was one.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(failed(error)),
    }
}
