//! Where a source cuts what it has read. Pure.

use crate::config::{Decoding, Format, TooLong};
use crate::event::{Framing, Piece};

/// What is to come after the bytes at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// More, at any time.
    Open,
    /// Nothing came for so long that an event is held to be whole if its last line is.
    Quiet,
    /// Nothing, ever.
    Last,
}

/// What to do with the bytes at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// So many at the front are whole events.
    Whole(usize),
    /// None is whole, and the event is too long to wait for: so many are a piece of it.
    Piece(usize),
    /// As before, but the rest of the line is to be left out.
    Head(usize),
    /// No event is whole yet.
    Wait,
}

/// How long an event may be, and what becomes of a longer one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutter {
    longest: usize,
    too_long: TooLong,
}

impl Cutter {
    pub(super) const fn new(decoding: &Decoding) -> Self {
        let longest = match decoding.format {
            // The limit is on the message, which JSON escapes and stamps make longer here.
            Format::Docker | Format::Cri => decoding.max_line.saturating_mul(2),
            Format::Lines => decoding.max_line,
            Format::Envelope | Format::Cloudtrail => decoding.max_inflated,
        };
        Self { longest, too_long: decoding.too_long }
    }

    /// How the chunk stands that `cut` makes of `bytes`, when its first event began so many bytes before them.
    pub(super) fn piece_of(
        &self,
        framing: &dyn Framing,
        bytes: &[u8],
        (cut, end): (Cut, End),
        before: u64,
    ) -> Piece {
        // What is given up or cut off is no part.
        if self.too_long != TooLong::Split {
            return Piece::default();
        }
        let goes_on = match cut {
            Cut::Whole(taken) => {
                let halves = bytes.split_at_checked(taken);
                end == End::Open && halves.is_some_and(|(taken, rest)| framing.goes_on(taken, rest))
            }
            Cut::Piece(_) => true,
            Cut::Head(_) | Cut::Wait => false,
        };
        Piece { before, goes_on }
    }

    /// So many bytes are always enough to decide.
    pub(super) const fn enough(&self) -> usize {
        self.longest.saturating_add(1)
    }

    /// Decides.
    pub(super) fn cut(&self, framing: &dyn Framing, bytes: &[u8], end: End) -> Cut {
        let whole = framing.whole(bytes, end == End::Last).min(bytes.len());
        if whole > 0 {
            return Cut::Whole(whole);
        }
        if end == End::Quiet {
            let lines = lines_in(bytes);
            let whole = framing.whole(lines, true).min(lines.len());
            if whole > 0 {
                return Cut::Whole(whole);
            }
        }
        if bytes.len() > self.longest { self.piece(bytes) } else { Cut::Wait }
    }

    fn piece(&self, bytes: &[u8]) -> Cut {
        let window = bytes.get(..self.longest).unwrap_or(bytes);
        let lines = lines_in(window).len();
        if lines > 0 {
            return Cut::Piece(lines);
        }
        // One byte more than allowed, where the decoder has to see that it is too long.
        match self.too_long {
            TooLong::Split => Cut::Piece(characters_in(window)),
            TooLong::Truncate => Cut::Head(self.enough().min(bytes.len())),
            TooLong::DeadLetter => Cut::Piece(self.enough().min(bytes.len())),
        }
    }
}

/// The front of `bytes` up to its last newline.
fn lines_in(bytes: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at.saturating_add(1));
    bytes.get(..end).unwrap_or_default()
}

/// How many bytes at the front do not end inside a UTF-8 character; all of them when they are no UTF-8.
fn characters_in(bytes: &[u8]) -> usize {
    let continued = bytes.iter().rev().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    let start = bytes.len().saturating_sub(continued).saturating_sub(1);
    let needed = match bytes.get(start) {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return bytes.len().max(1),
    };
    if continued.saturating_add(1) < needed && start > 0 { start } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::file::tests::{Indented, Lines};

    fn cutter(longest: usize, too_long: TooLong) -> Cutter {
        Cutter { longest, too_long }
    }

    #[track_caller]
    fn check(framing: &dyn Framing, too_long: TooLong, bytes: &[u8], end: End, expected: Cut) {
        assert_eq!(cutter(8, too_long).cut(framing, bytes, end), expected);
    }

    #[test]
    fn a_partial_last_line_waits_until_the_end() {
        check(&Lines, TooLong::Split, b"a\nb\nc", End::Open, Cut::Whole(4));
        check(&Lines, TooLong::Split, b"c", End::Open, Cut::Wait);
        check(&Lines, TooLong::Split, b"c", End::Quiet, Cut::Wait);
        check(&Lines, TooLong::Split, b"c", End::Last, Cut::Whole(1));
    }

    #[test]
    fn a_quiet_event_is_whole_up_to_its_last_line() {
        check(&Indented, TooLong::Split, b"a\n b\n", End::Open, Cut::Wait);
        check(&Indented, TooLong::Split, b"a\n b\n", End::Quiet, Cut::Whole(5));
        check(&Indented, TooLong::Split, b"a\n b", End::Quiet, Cut::Whole(2));
        check(&Indented, TooLong::Split, b"a\n b", End::Last, Cut::Whole(4));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_as_configured() {
        check(&Lines, TooLong::Split, b"12345678", End::Open, Cut::Wait);
        check(&Lines, TooLong::Split, b"123456789", End::Open, Cut::Piece(8));
        check(&Lines, TooLong::Split, "1234567\u{e9}0".as_bytes(), End::Open, Cut::Piece(7));
        check(&Lines, TooLong::Split, "123456\u{e9}0".as_bytes(), End::Open, Cut::Piece(8));
        check(&Lines, TooLong::Split, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80", End::Open, Cut::Piece(8));
        check(&Lines, TooLong::Truncate, b"1234567890", End::Open, Cut::Head(9));
        check(&Lines, TooLong::DeadLetter, b"1234567890", End::Open, Cut::Piece(9));
        check(&Indented, TooLong::Truncate, b"ab\n cd\n ef\n", End::Open, Cut::Piece(7));
    }

    proptest! {
        #[test]
        fn every_byte_is_cut_once_and_in_order(bytes in proptest::collection::vec(any::<u8>(), 0..400), longest in 1_usize..20) {
            let cutter = cutter(longest, TooLong::Split);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let at_hand = rest.get(..cutter.enough()).unwrap_or(rest);
                let end = if at_hand.len() == rest.len() { End::Last } else { End::Open };
                let taken = match cutter.cut(&Lines, at_hand, end) {
                    Cut::Whole(taken) | Cut::Piece(taken) => taken,
                    Cut::Head(_) | Cut::Wait => 0,
                };
                prop_assert!(taken > 0 && taken <= at_hand.len());
                rest = &rest[taken..];
            }
        }
    }
}
