//! Reads what the messages of a source are: `parse` and `timestamp`.

use super::section::Section;
use super::types::{MessageParse, ParsedTime, TimeFormat};
use super::values::{choice, string};

/// Reads `parse`; none: messages are text.
pub(super) fn parse(section: &mut Section<'_>) -> Option<MessageParse> {
    const KINDS: [(&str, Option<MessageParse>); 4] = [
        ("none", None),
        ("json", Some(MessageParse::Json)),
        ("logfmt", Some(MessageParse::Logfmt)),
        ("clf", Some(MessageParse::Clf)),
    ];
    section.or("parse", None, choice(&KINDS))
}

/// Reads `timestamp`, of messages that are read.
pub(super) fn timestamp(section: &mut Section<'_>, parse: Option<MessageParse>) -> Option<ParsedTime> {
    const FORMATS: [(&str, TimeFormat); 4] = [
        ("rfc3339", TimeFormat::Rfc3339),
        ("unix", TimeFormat::Unix),
        ("unix_ms", TimeFormat::UnixMs),
        ("clf", TimeFormat::Clf),
    ];
    let mut table = section.table("timestamp")?;
    let field = table.required("field", "ts", string);
    let format = table.or("format", TimeFormat::Rfc3339, choice(&FORMATS));
    table.finish();
    if parse.is_none() {
        section.problem("timestamp", "needs `parse`, such as `json`: a field of the message tells the time");
    }
    Some(ParsedTime { field: field?, format })
}
