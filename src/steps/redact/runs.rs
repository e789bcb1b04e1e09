//! Where bytes of a class stand, and how many of them beside a place.

/// The byte before a place.
pub(super) fn before(line: &[u8], at: usize) -> Option<u8> {
    line.get(at.checked_sub(1)?).copied()
}

/// How many bytes from a place on are of a class.
pub(super) fn run(line: &[u8], at: usize, is: impl Fn(u8) -> bool) -> usize {
    line.get(at..).unwrap_or_default().iter().take_while(|byte| is(**byte)).count()
}

/// How many bytes before a place are of a class.
pub(super) fn run_back(line: &[u8], at: usize, is: impl Fn(u8) -> bool) -> usize {
    line.get(..at).unwrap_or_default().iter().rev().take_while(|byte| is(**byte)).count()
}

/// Where the next digit stands, from a place on: eight bytes are looked at together.
pub(super) fn next_digit(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(eight) = line.get(at..).and_then(<[u8]>::first_chunk) {
        // Less than ten, byte by byte: without its highest bit, no byte carries into the next.
        let values = u64::from_le_bytes(*eight) ^ ZEROS;
        let others = ((values & !HIGHEST).wrapping_add(TO_HIGHEST) | values) & HIGHEST;
        if others != HIGHEST {
            return Some(at.saturating_add((others ^ HIGHEST).trailing_zeros() as usize / 8));
        }
        at = at.saturating_add(eight.len());
    }
    let rest = line.get(at..)?;
    rest.iter().position(u8::is_ascii_digit).map(|skipped| at.saturating_add(skipped))
}

/// A digit 0 in each byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;
/// The highest bit of each byte.
const HIGHEST: u64 = 0x8080_8080_8080_8080;
/// What carries ten, and nothing less, into the highest bit of each byte.
const TO_HIGHEST: u64 = 0x7676_7676_7676_7676;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &[u8]) {
        for from in 0..=line.len() {
            let one_by_one = line[from..].iter().position(u8::is_ascii_digit).map(|at| from + at);
            assert_eq!(next_digit(line, from), one_by_one, "{line:?} from {from}");
        }
        assert_eq!(next_digit(line, line.len() + 1), None);
    }

    #[test]
    fn every_digit_is_found_among_all_bytes() {
        for byte in 0..=u8::MAX {
            for place in 0..9 {
                let mut line = [b'x'; 17];
                line[place] = byte;
                check(&line);
                line.fill(byte);
                line[place] = b'5';
                check(&line);
            }
        }
        check(b"");
        check(b"a7");
    }

    proptest! {
        #[test]
        fn digits_are_found_as_byte_by_byte(line in prop::collection::vec(any::<u8>(), 0..60)) {
            check(&line);
        }
    }
}
