//! The text of a configuration file, and places in it.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is read where no file is named.
pub const DEFAULT_FILE: &str = "/etc/standpipe/standpipe.toml";

/// A file that was read.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    /// Without a byte order mark.
    pub(super) text: String,
}

/// A line and a column, both counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct LineColumn {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Where a value stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Spot {
    /// The key before it; of an item that has none, the item.
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
    /// Whether the value is neither a list nor a table, so that it can be shown.
    pub(super) is_scalar: bool,
}

/// Why a file is no text, and where.
#[derive(Debug)]
pub(super) struct NoText {
    pub(super) at: Option<LineColumn>,
    pub(super) why: String,
}

impl Document {
    pub(super) fn read(path: &Path) -> Result<Arc<Self>, NoText> {
        let bytes = fs::read(path).map_err(|error| NoText { at: None, why: unreadable(path, &error) })?;
        let text = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
            Some(after_mark) => decoded(after_mark)?,
            None => decoded(&bytes)?,
        };
        Ok(Arc::new(Self { path: path.to_owned(), text }))
    }

    pub(super) fn position(&self, at: usize) -> LineColumn {
        position(self.text.get(..at).unwrap_or(&self.text))
    }

    /// The line that holds this place, without its end.
    pub(super) fn line_around(&self, at: usize) -> Range<usize> {
        line_around(&self.text, at)
    }
}

/// The line that holds a place in a text, without its end.
pub(super) fn line_around(text: &str, at: usize) -> Range<usize> {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = after.find('\n').unwrap_or(after.len());
    let end = before.len() + rest;
    let line = text.get(start..end).unwrap_or_default();
    start..end - (line.len() - line.trim_end_matches('\r').len())
}

/// The position behind a text.
fn position(before: &str) -> LineColumn {
    let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    LineColumn { line, column }
}

fn decoded(bytes: &[u8]) -> Result<String, NoText> {
    let is_utf16 = matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..]);
    if is_utf16 {
        let why = "found UTF-16 text, expected UTF-8; save it anew, in PowerShell with `Set-Content -Encoding utf8`";
        return Err(NoText { at: Some(position("")), why: why.to_owned() });
    }
    str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let (before, after) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
        let byte = after.first().copied().unwrap_or_default();
        NoText {
            at: Some(position(str::from_utf8(before).unwrap_or_default())),
            why: format!("found the byte 0x{byte:02X}, which is not UTF-8; save the file as UTF-8"),
        }
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let kind = error.kind();
    let tip = if kind == ErrorKind::NotFound && path == Path::new(DEFAULT_FILE) {
        "; it is what is read by default, name another with `-c FILE`".to_owned()
    } else if kind == ErrorKind::NotFound {
        "; make it, or name another with `-c FILE`".to_owned()
    } else if kind == ErrorKind::PermissionDenied {
        let user = rustix::process::geteuid().as_raw();
        format!("; standpipe runs as the user with the id {user}, who must be allowed to read it")
    } else if kind == ErrorKind::IsADirectory {
        "; name a file in it".to_owned()
    } else {
        String::new()
    };
    format!("cannot be read: {error}{tip}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_column_of_characters() {
        let text = "a = 1\r\nключ = 2\n\nx";
        let document = Document { path: PathBuf::new(), text: text.to_owned() };
        let check = |word: &str, line, column, around: &str| {
            let at = text.find(word).unwrap();
            assert_eq!(document.position(at), LineColumn { line, column });
            assert_eq!(text.get(document.line_around(at)), Some(around));
        };
        check("a =", 1, 1, "a = 1");
        check("1", 1, 5, "a = 1");
        check("2", 2, 8, "ключ = 2");
        check("x", 4, 1, "x");
        assert_eq!(document.position(text.len()), LineColumn { line: 4, column: 2 });
        assert_eq!(document.position(usize::MAX), LineColumn { line: 4, column: 2 });
    }
}
