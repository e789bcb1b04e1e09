//! The export format of systemd's journal: entries and their fields found in bytes without copying them, and the few that are written.
//!
//! Source of the format: <https://systemd.io/JOURNAL_EXPORT_FORMATS/>. A field is a line `NAME=value`, or, where its value is not plain
//! text, a line `NAME`, the length of the value in 8 bytes, the value and a newline. An empty line ends an entry. A length that is
//! declared is never believed: nothing is allocated for it, and one that no journal has is refused.

mod cursor;
mod error;
mod fields;
mod name;
mod scan;
mod write;

#[cfg(test)]
mod tests;

pub use self::cursor::JournalCursor;
pub use self::error::ExportError;
pub use self::fields::{ExportField, ExportFields};
pub use self::name::CURSOR;
pub use self::scan::{ExportScan, ScannedExport};
pub use self::write::{end_entry, put_field};
