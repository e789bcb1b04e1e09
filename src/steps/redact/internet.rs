//! Where addresses of the internet stand in a line.

use std::net::Ipv6Addr;
use std::ops::Range;

use memchr::memchr_iter;

use super::runs::{before, run};

/// Four numbers up to 255 with dots between them, which are not a part of more such numbers.
pub(super) fn ipv4(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let is_of_address = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let mut from = 0;
    for dot in memchr_iter(b'.', line) {
        if dot < from {
            continue;
        }
        let digits = line.get(from..dot).unwrap_or_default().iter().rev();
        let start = dot.saturating_sub(digits.take_while(|byte| is_of_address(**byte)).count());
        let len = run(line, start, is_of_address);
        from = start.saturating_add(len);
        let text = line.get(start..from).unwrap_or_default();
        let begin = text.iter().take_while(|byte| **byte == b'.').count();
        let end = text.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
        if is_quad(text.get(begin..end).unwrap_or_default()) {
            found(start.saturating_add(begin)..start.saturating_add(end));
        }
    }
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
pub(super) const SHORTEST: usize = 3;

/// What can be read as an address of IPv6, with a number before it or a port behind it.
pub(super) fn ipv6(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let is_of_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut from = 0;
    for colon in memchr_iter(b':', line) {
        if colon < from {
            continue;
        }
        let back = line.get(from..colon).unwrap_or_default().iter().rev();
        let mut start = colon.saturating_sub(back.take_while(|byte| is_of_address(**byte)).count());
        let mut end = start.saturating_add(run(line, start, is_of_address));
        from = end;
        // A group that is a part of a word is none.
        if before(line, start).is_some_and(is_word) {
            start = start.saturating_add(run(line, start, |byte| byte.is_ascii_hexdigit()));
        }
        if line.get(end).copied().is_some_and(is_word) {
            let tail = line.get(start..end).unwrap_or_default().iter().rev();
            end = end.saturating_sub(tail.take_while(|byte| byte.is_ascii_hexdigit()).count());
        }
        if let Some(range) = trimmed(line, start..end).and_then(|range| address(line, range)) {
            found(range);
        }
    }
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
