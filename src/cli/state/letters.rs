//! Dead letters, shown: how many of what, and each with its reason and where it came from.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::error::StateCommandError;
use super::printable::printable;
use crate::cli::table;
use crate::deadletter::{self, DeadLetter, FolderSummary, LetterReader, UnreadableFile};
use crate::event::Timestamp;

/// What is in each folder.
pub(super) fn summaries(dir: &Path) -> Result<Vec<FolderSummary>, StateCommandError> {
    Ok(folders(dir)?.iter().map(|name| deadletter::summary(dir, name)).collect())
}

pub(super) fn json(folder: &FolderSummary) -> Value {
    let total = folder.total();
    json!({
        "sink": folder.name,
        "files": folder.files.len(),
        "letters": total.letters,
        "events": total.events,
        "bytes": total.bytes,
        "damaged": total.damaged,
        "oldest": total.oldest.map(Timestamp::to_rfc3339),
        "reasons": total.reasons,
        "unreadable": folder.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
    })
}

fn unreadable(UnreadableFile { path, error }: &UnreadableFile) -> Value {
    json!({ "path": path, "error": error.to_string() })
}

pub(super) fn row(folder: &FolderSummary, now: Timestamp) -> Vec<String> {
    let total = folder.total();
    let mut reasons: Vec<String> =
        total.reasons.iter().map(|(reason, letters)| format!("{reason} {letters}")).collect();
    if total.damaged > 0 {
        reasons.push(format!("damaged {}", total.damaged));
    }
    vec![
        folder.name.clone(),
        folder.files.len().to_string(),
        total.letters.to_string(),
        total.events.to_string(),
        table::size(total.bytes),
        total.oldest.map_or_else(|| "-".to_owned(), |oldest| format!("{} ago", table::age(oldest, now))),
        reasons.join(", "),
    ]
}

/// How many letters are shown to a person at once.
const SHOWN: usize = 20;

/// Which letters are shown, and how.
#[derive(Debug)]
pub(super) struct LetterQuery<'a> {
    /// The state directory.
    pub(super) dir: &'a Path,
    /// The sink, or `_SOURCE`.
    pub(super) folder: &'a str,
    /// None: all.
    pub(super) reasons: &'a [String],
    pub(super) limit: Option<usize>,
    pub(super) as_json: bool,
}

/// Writes the letters of a folder, oldest first.
pub(super) fn show(query: &LetterQuery<'_>, out: &mut impl Write) -> Result<(), StateCommandError> {
    let &LetterQuery { dir, folder, reasons, limit, as_json } = query;
    let known = folders(dir)?;
    if !known.iter().any(|name| name == folder) {
        let (name, dir) = (folder.to_owned(), dir.to_owned());
        return Err(StateCommandError::Unknown { what: "dead letters of a sink", name, dir, known });
    }
    let limit = limit.unwrap_or(if as_json { usize::MAX } else { SHOWN });
    let (mut shown, mut more) = (0_usize, 0_u64);
    let path = dir.join(deadletter::FOLDER).join(folder);
    let mut unreadable = None;
    for path in deadletter::files(dir, folder).map_err(|source| StateCommandError::Read { path, source })? {
        let each = |letter: &DeadLetter, raw: &[u8]| {
            if shown >= limit {
                more = more.saturating_add(1);
                return Ok(());
            }
            shown = shown.saturating_add(1);
            if as_json { write_raw(raw, out) } else { describe(letter, shown, &path, out) }
        };
        match each_letter(&path, reasons, each) {
            // The letters of the other files are shown all the same.
            Err(StateCommandError::Read { path, source }) => {
                unreadable.get_or_insert(StateCommandError::Read { path, source });
            }
            read => read?,
        }
    }
    if !as_json && shown == 0 {
        writeln!(out, "none")?;
    }
    if !as_json && more > 0 {
        writeln!(out, "\n{} more; see them with --limit or --json", table::count(more, "letter"))?;
    }
    unreadable.map_or(Ok(()), Err)
}

/// Gives each letter of a file that is still to be delivered and has one of these reasons, with its text as it stands there.
fn each_letter(
    path: &Path,
    reasons: &[String],
    mut each: impl FnMut(&DeadLetter, &[u8]) -> Result<(), StateCommandError>,
) -> Result<(), StateCommandError> {
    let failed = |source| StateCommandError::Read { path: path.to_owned(), source };
    // One that is gone since was replayed.
    let Some(file) = deadletter::open(path).map_err(failed)? else { return Ok(()) };
    let delivered = deadletter::delivered(path).map_err(failed)?;
    let mut reader = LetterReader::new(file).map_err(failed)?;
    while let Some(entry) = reader.next_entry().map_err(failed)? {
        let Some(letter) = entry.letter else { continue };
        let is_wanted = reasons.is_empty() || reasons.contains(&letter.reason);
        if is_wanted && !delivered.contains(&entry.number) {
            each(&letter, &entry.raw)?;
        }
    }
    Ok(())
}

fn write_raw(raw: &[u8], out: &mut impl Write) -> Result<(), StateCommandError> {
    out.write_all(raw)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn describe(
    letter: &DeadLetter,
    number: usize,
    path: &Path,
    out: &mut impl Write,
) -> Result<(), StateCommandError> {
    let DeadLetter { time, reason, error, origin, bytes, events, .. } = letter;
    if number > 1 {
        writeln!(out)?;
    }
    let size = table::size(bytes.len() as u64);
    let (time, count) = (time.to_rfc3339(), table::count(*events, "event"));
    writeln!(out, "{number}  {time}  {}  {count}, {size}", printable(reason))?;
    if let Some(error) = error {
        writeln!(out, "   error  {}", printable(error))?;
    }
    if let Some(fix) = deadletter::fix(reason) {
        writeln!(out, "   fix    {fix}")?;
    }
    let fields = origin.fields.in_order().map(|(_, value)| value);
    let from = [&origin.source].into_iter().chain(fields).chain([&origin.host]);
    let from: Vec<&str> = from.map(|part| &**part).filter(|part| !part.is_empty()).collect();
    writeln!(out, "   from   {}", printable(&from.join("  ")))?;
    if let Some(request) = &letter.request {
        let (arn, id) = (printable(&request.source_arn), printable(&request.request_id));
        writeln!(out, "   by     {arn}  request {id}")?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    writeln!(out, "   in     {}", printable(&name))?;
    writeln!(out, "   bytes  {}", beginning(bytes))?;
    Ok(())
}

/// The beginning of the bytes, such that a terminal is not harmed.
fn beginning(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let front = bytes.get(..MOST).unwrap_or(bytes);
    let cut = if front.len() < bytes.len() { "…" } else { "" };
    match str::from_utf8(front) {
        Ok(text) => format!("{}{cut}", printable(text)),
        // The cut may be within a character.
        Err(error) if error.error_len().is_none() => {
            let text = String::from_utf8_lossy(front.get(..error.valid_up_to()).unwrap_or_default());
            format!("{}{cut}", printable(&text))
        }
        Err(_) => format!("{}{cut}", front.escape_ascii()),
    }
}

/// The names of folders of dead letters.
fn folders(dir: &Path) -> Result<Vec<String>, StateCommandError> {
    let path = dir.join(deadletter::FOLDER);
    deadletter::folders(dir).map_err(|source| StateCommandError::Read { path, source })
}
