//! Runs of NULs: where nobody wrote anything. Pure, but for the look at what follows.
//!
//! A writer that does not append goes on at its old offset after a truncation, and leaves a hole before it. A file that was made as
//! large as it will be has NULs after its text, until more text takes their place. Neither is an event: a hole is skipped, and what
//! was not written yet is waited for.

use std::io;

use super::content::NextData;

/// What a block holds beside text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BlankRun {
    None,
    /// It begins with so many NULs, and data follows, maybe after the block.
    Hole(u64),
    /// After so many bytes, the file holds nothing but NULs.
    Unwritten(usize),
    /// It has to be looked further for what follows.
    Unclear,
}

/// Looks for NULs in a block that is at `offset`, between events or within one. `next_data` tells what follows the block. No character
/// has less than `unit` bytes: of one that has two, either may be NUL.
pub(super) fn blank_run(
    bytes: &[u8],
    (offset, unit): (u64, usize),
    is_between: bool,
    next_data: impl FnOnce(u64) -> io::Result<NextData>,
) -> io::Result<BlankRun> {
    let is_nul = |byte: &&u8| **byte == 0;
    let end = offset.saturating_add(bytes.len() as u64);
    let whole = |len: u64| len - len % (unit as u64).max(1);
    let leading = bytes.iter().take_while(is_nul).count();
    // Nothing but a hole begins a file so. Elsewhere, a few NULs may be meant.
    let least = if offset == 0 { unit } else { LEAST };
    if leading == bytes.len() && leading >= least {
        return Ok(match next_data(end)? {
            NextData::At(at) if is_between => BlankRun::Hole(whole(at.saturating_sub(offset))),
            NextData::At(_) => BlankRun::None,
            NextData::Nowhere => BlankRun::Unwritten(0),
            NextData::Beyond(_) => BlankRun::Unclear,
        });
    }
    if leading >= least && is_between {
        return Ok(BlankRun::Hole(whole(leading as u64)));
    }
    let trailing = bytes.iter().rev().take_while(is_nul).count();
    if trailing < LEAST {
        return Ok(BlankRun::None);
    }
    Ok(match next_data(end)? {
        NextData::At(_) => BlankRun::None,
        NextData::Nowhere => {
            BlankRun::Unwritten(bytes.len().saturating_sub(trailing).next_multiple_of(unit.max(1)))
        }
        NextData::Beyond(_) => BlankRun::Unclear,
    })
}

/// Fewer NULs may be meant.
const LEAST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nuls_are_a_hole_before_text_and_unwritten_after_it() {
        #[track_caller]
        fn check(bytes: &[u8], offset: u64, is_between: bool, next: NextData, expected: BlankRun) {
            assert_eq!(blank_run(bytes, (offset, 1), is_between, |_| Ok(next)).unwrap(), expected);
        }
        let nuls = [0; 100];
        let text = |before: usize, text: &str, after: usize| {
            [&nuls[..before], text.as_bytes(), &nuls[..after]].concat()
        };
        let (at, nowhere) = (NextData::At(7_000), NextData::Nowhere);
        check(&text(3, "line\n", 0), 0, true, nowhere, BlankRun::Hole(3));
        check(&text(3, "line\n", 0), 10, true, nowhere, BlankRun::None);
        check(&text(100, "line\n", 0), 10, true, nowhere, BlankRun::Hole(100));
        check(&text(100, "line\n", 0), 10, false, nowhere, BlankRun::None);
        check(&text(0, "line\n", 3), 10, true, nowhere, BlankRun::None);
        check(&text(0, "line\n", 100), 10, true, nowhere, BlankRun::Unwritten(5));
        check(&text(0, "line\n", 100), 10, true, at, BlankRun::None);
        check(&text(0, "line\n", 100), 10, true, NextData::Beyond(9), BlankRun::Unclear);
        check(&nuls, 1_000, true, at, BlankRun::Hole(6_000));
        check(&nuls, 1_000, false, at, BlankRun::None);
        check(&nuls, 1_000, false, nowhere, BlankRun::Unwritten(0));
        check(&nuls[..2], 1_000, true, nowhere, BlankRun::None);
        check(b"a\0b\n", 0, true, nowhere, BlankRun::None);
        check(b"", 0, true, nowhere, BlankRun::None);
    }

    #[test]
    fn nuls_of_characters_of_two_bytes_are_no_hole() {
        #[track_caller]
        fn check(bytes: &[u8], offset: u64, expected: BlankRun) {
            let nowhere = |_| Ok(NextData::Nowhere);
            assert_eq!(blank_run(bytes, (offset, 2), true, nowhere).unwrap(), expected);
        }
        let nuls = [0; 100];
        check(b"\0a\0\n", 0, BlankRun::None);
        check(b"a\0\n\0", 0, BlankRun::None);
        check(&[&nuls[..], b"\0a\0\n"].concat(), 0, BlankRun::Hole(100));
        check(&[&nuls[..], b"\0a\0\n"].concat(), 500, BlankRun::Hole(100));
        check(&[b"a\0\n\0", &nuls[..]].concat(), 500, BlankRun::Unwritten(4));
        check(&[b"\0a\0\n", &nuls[..]].concat(), 500, BlankRun::Unwritten(4));
    }
}
