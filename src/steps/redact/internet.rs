//! Where addresses of the internet stand in a line.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::runs::{before, run, run_back};

/// Four numbers up to 255 with dots between them, which are not a part of more such numbers: the address at a place, and where the digits
/// and dots around it end.
pub(super) fn ipv4(text: &[u8], at: usize) -> (usize, Option<Range<usize>>) {
    let is_of_address = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let start = at.saturating_sub(run_back(text, at, is_of_address));
    let end = start.saturating_add(run(text, start, is_of_address));
    let part = text.get(start..end).unwrap_or_default();
    let begin = run(part, 0, |byte| byte == b'.');
    let len = part.len().saturating_sub(run_back(part, part.len(), |byte| byte == b'.'));
    let is_address = part.get(begin..len).is_some_and(is_quad);
    (end, is_address.then(|| start.saturating_add(begin)..start.saturating_add(len)))
}

fn is_quad(text: &[u8]) -> bool {
    let is_octet = |part: &[u8]| {
        let value = || part.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
        (1..=3).contains(&part.len()) && value() <= 255
    };
    let mut parts = 0;
    let are_octets = text.len() <= 15
        && text.split(|byte| *byte == b'.').all(|part| {
            parts += 1;
            is_octet(part)
        });
    are_octets && parts == 4
}

/// The longest address of IPv6, with one of IPv4 in it.
const LONGEST: usize = 45;

/// The shortest that is looked for.
const SHORTEST: usize = 3;

/// What can be read as an address of IPv6, with a number before it or a port behind it: the address around the colon at a place, and
/// where what was looked at ends.
pub(super) fn ipv6(text: &[u8], at: usize) -> (usize, Option<Range<usize>>) {
    let is_of_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    if !is_colon_of_address(text, at) {
        return (at, None);
    }
    let mut start = at.saturating_sub(run_back(text, at, is_of_address));
    let until = start.saturating_add(run(text, start, is_of_address));
    let mut end = until;
    // A group that is a part of a word is none.
    if before(text, start).is_some_and(is_word) {
        start = start.saturating_add(run(text, start, |byte| byte.is_ascii_hexdigit()));
    }
    if text.get(end).copied().is_some_and(is_word) {
        let tail = text.get(start..end).unwrap_or_default();
        end = end.saturating_sub(run_back(tail, tail.len(), |byte| byte.is_ascii_hexdigit()));
    }
    (until, trimmed(text, start..end).and_then(|range| address(text, range)))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether an address may have this colon: of two side by side, a group stands before or behind them, which is a word of its own.
/// The paths of most programming languages are told by it.
fn is_colon_of_address(text: &[u8], at: usize) -> bool {
    const LONGEST_GROUP: usize = 4;
    let is_hex = |byte: u8| byte.is_ascii_hexdigit();
    let is_group = |digits: usize, beside: Option<u8>| {
        (1..=LONGEST_GROUP).contains(&digits) && !beside.is_some_and(is_word)
    };
    if text.get(at) != Some(&b':') {
        return false;
    }
    let behind = at.saturating_add(2);
    if text.get(behind.saturating_sub(1)) != Some(&b':') {
        return true;
    }
    let digits = run(text, behind, is_hex);
    if is_group(digits, text.get(behind.saturating_add(digits)).copied()) {
        return true;
    }
    let digits = run_back(text, at, is_hex);
    is_group(digits, at.checked_sub(digits).and_then(|start| before(text, start)))
}

/// Without dots, and without a colon that stands alone, at the ends.
fn trimmed(line: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let Range { mut start, mut end } = range;
    start = start.saturating_add(run(line, start, |byte| byte == b'.'));
    while end > start && before(line, end) == Some(b'.') {
        end -= 1;
    }
    if line.get(start) == Some(&b':') && line.get(start.saturating_add(1)) != Some(&b':') {
        start = start.saturating_add(1);
    }
    let is_colon = |at: Option<usize>| at.and_then(|at| line.get(at)) == Some(&b':');
    if is_colon(end.checked_sub(1)) && !is_colon(end.checked_sub(2)) {
        end -= 1;
    }
    (start < end).then_some(start..end)
}

/// The part of a range that is an address: all of it, or without its first or last group.
fn address(line: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let text = line.get(range.clone())?;
    let is_address = |part: &[u8]| {
        let text = str::from_utf8(part).ok().filter(|text| (SHORTEST..=LONGEST).contains(&text.len()));
        text.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok() && part.iter().any(u8::is_ascii_hexdigit))
    };
    let first = text.iter().position(|byte| *byte == b':')?;
    let last = text.iter().rposition(|byte| *byte == b':')?;
    let parts =
        [(0, text.len()), (0, last), (first.saturating_add(1), text.len()), (first.saturating_add(1), last)];
    let (begin, end) =
        parts.into_iter().find(|(begin, end)| text.get(*begin..*end).is_some_and(is_address))?;
    Some(range.start.saturating_add(begin)..range.start.saturating_add(end))
}
