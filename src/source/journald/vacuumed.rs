//! What was removed from the journal before it was read, as far as cursors tell it. Pure.

use super::position::written;
use crate::event::Timestamp;
use crate::journal_export::JournalCursor;

/// Entries that are lost, or may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum VacuumedEntries {
    /// The journal is empty.
    All { after: Timestamp },
    /// The journal is another, or was begun anew.
    Unknown { after: Timestamp, before: Timestamp },
    /// At most so many, some of which the source might not have read.
    Counted { entries: u64, after: Timestamp, before: Timestamp },
}

/// What is gone between the last entry that was read, and the oldest that there is. All that the journal had at `complete_to` was delivered.
/// None: nothing, or what it is cannot be told.
pub(super) fn vacuumed(
    read_to: &str,
    complete_to: Timestamp,
    oldest: Option<&str>,
) -> Option<VacuumedEntries> {
    let passed = JournalCursor::parse(read_to)?;
    let after = written(passed).max(complete_to);
    let Some(oldest) = oldest else { return Some(VacuumedEntries::All { after }) };
    let oldest = JournalCursor::parse(oldest)?;
    let before = written(oldest);
    if before <= after {
        return None;
    }
    if oldest.sequence != passed.sequence {
        return Some(VacuumedEntries::Unknown { after, before });
    }
    let entries = oldest.number.saturating_sub(passed.number).saturating_sub(1);
    (entries > 0).then_some(VacuumedEntries::Counted { entries, after, before })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a sequence, with a number, at a time in milliseconds.
    fn cursor(sequence: u32, number: u64, time: u64) -> String {
        format!("s={sequence:x};i={number:x};b=0;m=0;t={:x};x=0", time * 1_000)
    }

    #[test]
    fn what_is_gone_is_counted_within_a_sequence_and_told_without_a_number_between_two() {
        use VacuumedEntries::{All, Counted, Unknown};
        let read_to = cursor(1, 10, 5_000);
        let check = |complete_to, oldest: Option<String>, expected| {
            assert_eq!(vacuumed(&read_to, Timestamp(complete_to), oldest.as_deref()), expected);
        };
        let (after, before) = (Timestamp(5_000), Timestamp(9_000));
        check(0, Some(cursor(1, 3, 1_000)), None);
        check(0, Some(cursor(1, 10, 5_000)), None);
        check(0, Some(cursor(1, 11, 9_000)), None);
        check(0, Some(cursor(1, 14, 9_000)), Some(Counted { entries: 3, after, before }));
        check(0, Some(cursor(2, 14, 9_000)), Some(Unknown { after, before }));
        check(0, Some(cursor(2, 14, 4_000)), None);
        check(0, None, Some(All { after }));
        // A source with few entries knows that it has seen the others.
        check(9_000, Some(cursor(1, 14, 9_000)), None);
        let after = Timestamp(8_000);
        check(8_000, Some(cursor(2, 14, 9_000)), Some(Unknown { after, before }));
        check(0, Some("of-its-own".to_owned()), None);
        assert_eq!(vacuumed("of-its-own", Timestamp(0), None), None);
    }
}
