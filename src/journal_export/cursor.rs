//! What a cursor of the journal tells, such as `s=cfb1…;i=1f;b=6a1c…;m=f4240;t=644cd70294040;x=79ca…`.

use super::fields::ExportFields;
use super::name::CURSOR;

/// The place of an entry among those of one sequence, which a journal goes on with for as long as its files are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JournalCursor {
    /// The sequence: a number drawn by chance.
    pub sequence: u128,
    /// The entry's number in it: each has one more than the one before it.
    pub number: u64,
    /// When the entry was written, in microseconds since 1970.
    pub time: u64,
}

/// Most bytes of a cursor: those of journald have less than 150.
const LONGEST: usize = 1_024;

impl JournalCursor {
    /// The cursor of the entry that begins here, as it stands; none where it is no text that can be passed on.
    #[must_use]
    pub fn of_entry(entry: &[u8]) -> Option<&str> {
        let first = ExportFields::from(entry, 0).field().ok().flatten()?;
        let text = str::from_utf8(first.value).ok()?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (first.name == CURSOR && is_plain && (1..=LONGEST).contains(&text.len())).then_some(text)
    }

    /// None where another version of systemd writes cursors that tell something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let part = |key: &str| text.split(';').find_map(|part| part.strip_prefix(key));
        let number = |key| u64::from_str_radix(part(key)?, 16).ok();
        let sequence = u128::from_str_radix(part("s=")?, 16).ok()?;
        Some(Self { sequence, number: number("i=")?, time: number("t=")? })
    }

    /// When the entry was written, in milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> i64 {
        i64::try_from(self.time / 1_000).unwrap_or(i64::MAX)
    }

    /// A number that no other entry of the sequence has, and by all odds none of another.
    #[must_use]
    pub fn place(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let folded = (self.sequence >> 64) as u64 ^ self.sequence as u64;
        folded.wrapping_add(self.number)
    }
}
