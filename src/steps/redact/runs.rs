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
