//! Cuts a stream of bytes into chunks of whole events: for files, standard input, and whatever else is read in pieces. Pure.
//!
//! A source shows what it has read from where the last frame ended, and is told what to do with the front of it. It may keep what is
//! left, as standard input does, or read it again, as files do.

use crate::config::{Decoding, Format, TooLong};
use crate::event::{Charset, Framing, Piece};

/// What is to come after the bytes at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Upcoming {
    /// More, at any time.
    More,
    /// Nothing came for so long that an event is held to be whole if its last line is.
    Quiet,
    /// Nothing, ever.
    Nothing,
}

/// What to do with the front of the bytes at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NextFrame {
    /// So many bytes are whole events, as far as the format tells. What follows them is no whole event yet.
    Events { len: usize, piece: Piece },
    /// So many bytes are a part of an event that is too long to wait for. The next frame may be at hand.
    Part { len: usize, piece: Piece },
    /// So many bytes are left out; `lost` of them are counted under `reason`. The next frame may be at hand.
    LeftOut { len: usize, lost: u64, reason: &'static str },
    /// No event is whole yet.
    Incomplete,
}

/// Where a stream stands between two frames.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct FramerState {
    /// Whether the rest of a line is to be left out.
    pub(super) skipping: bool,
    /// So many bytes before the next frame belong to an event that is too long for a chunk.
    within: u64,
    /// Whether the last frame ended inside a line.
    inside_line: bool,
}

impl FramerState {
    /// At a place that is known only to be inside a line to be left out, or not.
    pub(super) const fn resumed(skipping: bool) -> Self {
        Self { skipping, within: 0, inside_line: false }
    }
}

/// Cuts one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framer {
    longest: usize,
    too_long: TooLong,
    charset: Charset,
    /// Whether all of the stream is one object, and how long that may grow before it is cut.
    object: Option<usize>,
    state: FramerState,
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub(super) fn new(decoding: &Decoding, framing: &dyn Framing) -> Self {
        let longest = match decoding.format {
            // The limit is on the message, which JSON escapes and stamps make longer here.
            Format::Docker | Format::Cri => decoding.max_line.saturating_mul(2),
            // Of what is read, which may be longer than what it says.
            Format::Lines => decoding.max_line.saturating_mul(decoding.charset.unit()),
            Format::Envelope | Format::Cloudtrail | Format::FluentForward(_) | Format::Journald => {
                decoding.max_inflated
            }
        };
        let object = framing.is_object().then_some(decoding.max_inflated);
        let Decoding { too_long, charset, .. } = *decoding;
        Self { longest, too_long, charset, object, state: FramerState::default() }
    }

    /// Goes on from where another framer of the stream stood.
    pub(super) const fn resume(&mut self, state: FramerState) {
        self.state = state;
    }

    pub(super) const fn state(&self) -> FramerState {
        self.state
    }

    /// Whether the next frame begins with a line of its own.
    pub(super) const fn is_between(&self) -> bool {
        !self.state.skipping && !self.state.inside_line
    }

    /// So many bytes are always enough to decide.
    pub(super) fn enough(&self) -> usize {
        self.longest.saturating_add(self.charset.unit())
    }

    /// Decides, and stands behind the frame from now on. `bytes` begin where the last frame ended.
    pub(super) fn next(&mut self, framing: &dyn Framing, bytes: &[u8], upcoming: Upcoming) -> NextFrame {
        if bytes.is_empty() {
            return NextFrame::Incomplete;
        }
        if let Some(most) = self.object {
            let is_whole = upcoming == Upcoming::Nothing || bytes.len() > most;
            let all = NextFrame::Events { len: bytes.len(), piece: Piece::default() };
            return if is_whole { all } else { NextFrame::Incomplete };
        }
        if self.state.skipping {
            return self.skip(bytes, upcoming);
        }
        let whole = self.whole_events(framing, bytes, upcoming);
        if whole > 0 && !self.is_to_be_truncated(bytes, whole, upcoming) {
            let (taken, rest) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
            let goes_on = || upcoming == Upcoming::More && framing.goes_on(taken, rest);
            return NextFrame::Events { len: whole, piece: self.advance(framing, taken, goes_on) };
        }
        if bytes.len() < self.enough() {
            return NextFrame::Incomplete;
        }
        let (len, skipping) = self.part(bytes);
        self.state.skipping = skipping;
        let taken = bytes.get(..len).unwrap_or(bytes);
        NextFrame::Part { len, piece: self.advance(framing, taken, || true) }
    }

    /// Whether what a format gives is a line that it gave up waiting for, the rest of which would be taken for a line of its own.
    fn is_to_be_truncated(&self, bytes: &[u8], whole: usize, upcoming: Upcoming) -> bool {
        self.too_long == TooLong::Truncate
            && upcoming != Upcoming::Nothing
            && bytes.get(..whole).is_some_and(|taken| !self.ends_line(taken))
    }

    /// How the next chunk stands to an event that is too long.
    fn advance(&mut self, framing: &dyn Framing, chunk: &[u8], goes_on: impl FnOnce() -> bool) -> Piece {
        // What is given up or cut off is no part.
        if self.too_long != TooLong::Split {
            return Piece::default();
        }
        let FramerState { within, inside_line, .. } = self.state;
        // After whole lines it may not have been known whether the event goes on.
        let is_continued = within > 0 && (inside_line || framing.goes_on(self.charset.newline(), chunk));
        let before = if is_continued { within } else { 0 };
        let piece = Piece { before, inside_line: is_continued && inside_line, goes_on: goes_on() };
        self.state.within = piece.next(chunk.len());
        self.state.inside_line = piece.goes_on && !self.ends_line(chunk);
        piece
    }

    /// Leaves out the rest of a line that was cut.
    fn skip(&mut self, bytes: &[u8], upcoming: Upcoming) -> NextFrame {
        let unit = self.charset.unit();
        let Some(len) = self.charset.first_line_end(bytes) else {
            let is_over = upcoming == Upcoming::Nothing;
            let len = if is_over { bytes.len() } else { bytes.len() - bytes.len() % unit };
            return match len {
                0 => NextFrame::Incomplete,
                _ => NextFrame::LeftOut { len, lost: len as u64, reason: "truncated" },
            };
        };
        self.state.skipping = false;
        NextFrame::LeftOut { len, lost: len.saturating_sub(unit) as u64, reason: "truncated" }
    }

    /// How much of an event goes that is too long, and whether the rest of its line is to be left out.
    fn part(&self, bytes: &[u8]) -> (usize, bool) {
        let window = bytes.get(..self.longest).unwrap_or(bytes);
        let lines = self.charset.last_line_end(window);
        if lines > 0 {
            return (lines, false);
        }
        // One character more than allowed, where the decoder has to see that it is too long.
        let more_than_allowed = self.enough().min(bytes.len());
        match self.too_long {
            TooLong::Split => (self.charset.border(window).max(1), false),
            TooLong::Truncate => (more_than_allowed, true),
            TooLong::DeadLetter => (more_than_allowed, false),
        }
    }

    fn ends_line(&self, bytes: &[u8]) -> bool {
        // Where what is read is not of whole characters, it ends no line.
        bytes.len().is_multiple_of(self.charset.unit()) && bytes.ends_with(self.charset.newline())
    }

    /// How many bytes at the front are whole events.
    fn whole_events(&self, framing: &dyn Framing, bytes: &[u8], upcoming: Upcoming) -> usize {
        let whole = framing.whole(bytes, upcoming == Upcoming::Nothing).min(bytes.len());
        if whole > 0 || upcoming != Upcoming::Quiet {
            return whole;
        }
        let lines = bytes.get(..self.charset.last_line_end(bytes)).unwrap_or_default();
        framing.whole(lines, true).min(lines.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;
    use crate::config::Multiline;
    use crate::decode::{Decoder, Scratch, Undecoded, framing};
    use crate::event::{Event, Events, Message, Origin, Wants};
    use crate::source::file::tests::{IndentedFraming, ObjectFraming, PlainLineFraming};

    fn decoding(max_line: usize, too_long: TooLong) -> Decoding {
        Decoding {
            format: Format::Lines,
            charset: Charset::UTF8,
            multiline: None,
            max_line,
            too_long,
            max_inflated: 8,
        }
    }

    fn framer(framing: &dyn Framing, too_long: TooLong) -> Framer {
        Framer::new(&decoding(8, too_long), framing)
    }

    fn events(len: usize) -> NextFrame {
        NextFrame::Events { len, piece: Piece::default() }
    }

    /// A part of an event of which nothing came before, and which goes on where that is told.
    fn part(len: usize, goes_on: bool) -> NextFrame {
        NextFrame::Part { len, piece: Piece { goes_on, ..Piece::default() } }
    }

    #[track_caller]
    fn check(
        framing: &dyn Framing,
        too_long: TooLong,
        bytes: &[u8],
        upcoming: Upcoming,
        expected: NextFrame,
    ) {
        assert_eq!(framer(framing, too_long).next(framing, bytes, upcoming), expected);
    }

    #[test]
    fn a_partial_last_line_waits_until_the_end() {
        check(&PlainLineFraming, TooLong::Split, b"a\nb\nc", Upcoming::More, events(4));
        check(&PlainLineFraming, TooLong::Split, b"c", Upcoming::More, NextFrame::Incomplete);
        check(&PlainLineFraming, TooLong::Split, b"c", Upcoming::Quiet, NextFrame::Incomplete);
        check(&PlainLineFraming, TooLong::Split, b"c", Upcoming::Nothing, events(1));
        check(&PlainLineFraming, TooLong::Split, b"", Upcoming::Nothing, NextFrame::Incomplete);
    }

    #[test]
    fn a_quiet_event_is_whole_up_to_its_last_line() {
        check(&IndentedFraming, TooLong::Split, b"a\n b\n", Upcoming::More, NextFrame::Incomplete);
        check(&IndentedFraming, TooLong::Split, b"a\n b\n", Upcoming::Quiet, events(5));
        check(&IndentedFraming, TooLong::Split, b"a\n b", Upcoming::Quiet, events(2));
        check(&IndentedFraming, TooLong::Split, b"a\n b", Upcoming::Nothing, events(4));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_as_configured() {
        let more = Upcoming::More;
        check(&PlainLineFraming, TooLong::Split, b"12345678", more, NextFrame::Incomplete);
        check(&PlainLineFraming, TooLong::Split, b"123456789", more, part(8, true));
        check(&PlainLineFraming, TooLong::Split, "1234567\u{e9}0".as_bytes(), more, part(7, true));
        check(&PlainLineFraming, TooLong::Split, "123456\u{e9}0".as_bytes(), more, part(8, true));
        check(
            &PlainLineFraming,
            TooLong::Split,
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80",
            more,
            part(8, true),
        );
        check(&PlainLineFraming, TooLong::Truncate, b"1234567890", more, part(9, false));
        check(&PlainLineFraming, TooLong::DeadLetter, b"1234567890", more, part(9, false));
        check(&IndentedFraming, TooLong::Truncate, b"ab\n cd\n ef\n", more, part(7, false));
    }

    #[test]
    fn lines_of_two_bytes_a_character_are_cut_between_characters() {
        let charset = Charset::named("utf-16le").unwrap();
        let next = |too_long, text: &str, cut: usize, upcoming| {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let decoding = Decoding { charset, ..decoding(4, too_long) };
            let framing = framing(&decoding);
            Framer::new(&decoding, &*framing).next(&*framing, &bytes[..bytes.len() - cut], upcoming)
        };
        let more = Upcoming::More;
        assert_eq!(next(TooLong::Split, "a\nb\nc", 0, more), events(8));
        assert_eq!(next(TooLong::Split, "a\n", 1, more), NextFrame::Incomplete);
        assert_eq!(next(TooLong::Split, "abcd", 0, more), NextFrame::Incomplete);
        assert_eq!(next(TooLong::Split, "abcde", 0, more), part(8, true));
        assert_eq!(next(TooLong::Split, "abc\u{1F600}e", 0, more), part(6, true));
        assert_eq!(next(TooLong::Split, "abc", 1, Upcoming::Nothing), events(5));
        // What is left out of a line ends between characters, too.
        let decoding = Decoding { charset, ..decoding(4, TooLong::Truncate) };
        let framing = framing(&decoding);
        let mut framer = Framer::new(&decoding, &*framing);
        framer.resume(FramerState::resumed(true));
        let left_out = |len: usize, lost| NextFrame::LeftOut { len, lost, reason: "truncated" };
        assert_eq!(framer.next(&*framing, b"x\0y\0z", more), left_out(4, 4));
        assert_eq!(framer.next(&*framing, b"z", more), NextFrame::Incomplete);
        assert_eq!(framer.next(&*framing, b"z\0\n\0a\0", more), left_out(4, 2));
        assert_eq!(framer.next(&*framing, b"a\0\n\0", more), events(4));
        assert_eq!(next(TooLong::Truncate, "abcd", 0, more), NextFrame::Incomplete);
        assert_eq!(next(TooLong::Truncate, "abcdef", 3, more), NextFrame::Incomplete);
        assert_eq!(next(TooLong::Truncate, "abcdefgh", 0, more), part(10, false));
        assert_eq!(next(TooLong::DeadLetter, "abcdefgh", 1, more), part(10, false));
    }

    #[test]
    fn the_rest_of_a_truncated_line_is_left_out_to_its_newline_and_counted() {
        let mut framer = framer(&PlainLineFraming, TooLong::Truncate);
        let mut next = |bytes: &[u8]| framer.next(&PlainLineFraming, bytes, Upcoming::More);
        let left_out = |len, lost| NextFrame::LeftOut { len, lost, reason: "truncated" };
        assert_eq!(next(b"1234567890"), part(9, false));
        assert_eq!(next(b"0abc"), left_out(4, 4));
        assert_eq!(next(b"def\nnext\n"), left_out(4, 3));
        assert_eq!(next(b"next\n"), events(5));
    }

    #[test]
    fn a_line_stays_left_out_where_another_run_goes_on() {
        let mut framer = framer(&PlainLineFraming, TooLong::Truncate);
        framer.resume(FramerState::resumed(true));
        let frame = framer.next(&PlainLineFraming, b"rest\na\n", Upcoming::More);
        assert_eq!(frame, NextFrame::LeftOut { len: 5, lost: 4, reason: "truncated" });
        assert_eq!(framer.state(), FramerState::default());
    }

    #[test]
    fn an_object_goes_whole_or_once_it_is_larger_than_any_may_be() {
        check(&ObjectFraming, TooLong::Split, b"{}\n", Upcoming::More, NextFrame::Incomplete);
        check(&ObjectFraming, TooLong::Split, b"{}\n", Upcoming::Quiet, NextFrame::Incomplete);
        check(&ObjectFraming, TooLong::Split, b"{}\n", Upcoming::Nothing, events(3));
        check(&ObjectFraming, TooLong::Split, b"123456789", Upcoming::More, events(9));
    }

    /// Events as whoever joins their parts sees them.
    #[derive(Debug, Default, Eq, PartialEq)]
    struct Joined(Vec<Vec<u8>>);

    impl Events for Joined {
        fn wants(&self) -> Wants {
            Wants { events: true, envelopes: false }
        }

        fn origin(&mut self, _: &Arc<Origin>) {}

        fn lines(&mut self, lines: &Bytes, _: u64) {
            self.0.extend(
                lines.split_inclusive(|byte| *byte == b'\n').map(|line| line[..line.len() - 1].to_vec()),
            );
        }

        fn event(&mut self, event: Event<'_>) {
            let Message::Raw(message) = event.message else { panic!("lines are raw") };
            let offset = event.part.map_or(0, |part| usize::try_from(part.offset).unwrap());
            if offset == 0 {
                return self.0.push(message.to_vec());
            }
            let before = self.0.last_mut().unwrap();
            // Where an event of several lines was cut after one of them, the decoder took its newline off.
            before.resize(before.len().max(offset.min(before.len() + 1)), b'\n');
            assert_eq!(before.len(), offset, "the parts do not fit together");
            before.extend_from_slice(message);
        }

        fn envelope(&mut self, _: &Bytes) {}

        fn undecodable(&mut self, reason: &'static str, _: &[u8]) {
            panic!("{reason}");
        }
    }

    /// How a source reads.
    #[derive(Clone, Copy, Debug)]
    enum ReadPattern<'a> {
        /// So many bytes a time, keeping what is left.
        Carried(&'a [usize]),
        /// So many bytes a time from where the last frame ended, and more where that is not enough.
        Again(usize),
    }

    /// What comes of all bytes, read like this: the events, and how many bytes were sent and left out.
    fn read(decoding: &Decoding, bytes: &[u8], reads: ReadPattern<'_>) -> (Joined, usize, usize) {
        let framing = framing(decoding);
        let decoder = Decoder::new(decoding);
        let mut framer = Framer::new(decoding, framing.as_ref());
        let (mut joined, mut sent, mut left_out) = (Joined::default(), 0, 0);
        let mut sizes = match reads {
            ReadPattern::Carried(sizes) => sizes.iter().copied().cycle(),
            ReadPattern::Again(_) => [1].iter().copied().cycle(),
        };
        let mut at_hand = 0;
        while sent + left_out < bytes.len() {
            let at = sent + left_out;
            if let ReadPattern::Again(block) = reads {
                at_hand = at_hand.max(at + block);
            }
            let until = at_hand.min(bytes.len());
            let upcoming = if until == bytes.len() { Upcoming::Nothing } else { Upcoming::More };
            match framer.next(framing.as_ref(), &bytes[at..until], upcoming) {
                NextFrame::Events { len, piece } | NextFrame::Part { len, piece } => {
                    assert!(len > 0);
                    let payload = Bytes::copy_from_slice(&bytes[at..at + len]);
                    let mut scratch = Scratch::default();
                    let undecoded = Undecoded::new(payload, piece);
                    decoder.decode_some(&mut scratch, &Arc::default(), undecoded, &mut joined);
                    sent += len;
                }
                NextFrame::LeftOut { len, .. } => {
                    assert!(len > 0);
                    left_out += len;
                }
                NextFrame::Incomplete => {
                    assert!(upcoming == Upcoming::More, "what is left at the end goes");
                    at_hand += sizes.next().unwrap();
                }
            }
        }
        (joined, sent, left_out)
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            4 => "[a-z]{1,6}",
            2 => Just("\n".to_owned()),
            2 => Just("\n#".to_owned()),
            1 => Just("#".to_owned()),
            1 => Just("\u{e9}\u{20ac}".to_owned()),
            1 => "[x-z]{20,90}",
        ];
        proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
    }

    fn multiline(is_joined: bool) -> Option<Multiline> {
        let start = Regex::new("^#").unwrap();
        is_joined.then(|| Multiline { start, timeout: std::time::Duration::from_secs(1) })
    }

    #[test]
    fn the_parts_of_an_event_are_counted_from_its_own_beginning() {
        // The first event ends between two chunks, so that it is not known where when the first of them is cut.
        let decoding = Decoding { multiline: multiline(true), ..decoding(4, TooLong::Split) };
        let (joined, ..) = read(&decoding, b"aaaaa\naa\n#bbbbb", ReadPattern::Carried(&[1]));
        assert_eq!(joined, Joined(vec![b"aaaaa\naa".to_vec(), b"#bbbbb".to_vec()]));
    }

    #[test]
    fn the_rest_of_a_line_begins_no_event_even_if_it_looks_like_one() {
        let decoding = Decoding { multiline: multiline(true), ..decoding(4, TooLong::Split) };
        let (joined, ..) = read(&decoding, b"#aaa#bb\n#c\n", ReadPattern::Again(1 << 20));
        assert_eq!(joined, Joined(vec![b"#aaa#bb".to_vec(), b"#c".to_vec()]));
    }

    proptest! {
        #[test]
        fn however_bytes_are_read_the_same_events_come_of_each_byte_once(
            text in text(),
            sizes in proptest::collection::vec(1_usize..200, 1..8),
            is_joined: bool,
            max_line in 4_usize..24,
        ) {
            let bytes = text.into_bytes();
            let split = Decoding { multiline: multiline(is_joined), ..decoding(max_line, TooLong::Split) };
            let unlimited = Decoding { max_line: 1 << 20, ..split.clone() };
            let (expected, ..) = read(&unlimited, &bytes, ReadPattern::Again(1 << 20));
            for reads in [ReadPattern::Carried(&sizes), ReadPattern::Again(sizes[0]), ReadPattern::Again(1 << 20)] {
                let (joined, sent, left_out) = read(&split, &bytes, reads);
                prop_assert_eq!(&joined, &expected, "{:?}", reads);
                prop_assert_eq!((sent, left_out), (bytes.len(), 0));
            }
        }

        #[test]
        fn however_bytes_are_read_a_line_that_is_too_long_is_one_truncated_event(
            text in text(),
            sizes in proptest::collection::vec(1_usize..200, 1..8),
            max_line in 40_usize..60,
        ) {
            let bytes = text.into_bytes();
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let lines: Vec<&[u8]> = lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)).collect();
            let truncate = decoding(max_line, TooLong::Truncate);
            for reads in [ReadPattern::Carried(&sizes), ReadPattern::Again(sizes[0]), ReadPattern::Again(1 << 20)] {
                let (joined, sent, left_out) = read(&truncate, &bytes, reads);
                prop_assert_eq!(sent + left_out, bytes.len());
                prop_assert_eq!(joined.0.len(), lines.len(), "{:?}", reads);
                for (event, line) in joined.0.iter().zip(&lines) {
                    let mark = memchr::memmem::find(event, "\u{2026}[truncated".as_bytes());
                    prop_assert_eq!(mark.is_some(), line.len() > max_line);
                    prop_assert!(line.starts_with(&event[..mark.unwrap_or(event.len())]));
                }
            }
        }
    }
}
