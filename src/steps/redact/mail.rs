//! Addresses of mail.

use std::ops::Range;

use super::runs::{run, run_back};

/// The address around the `@` at a place, which begins at `from` or behind it; also with letters beyond ASCII.
pub(super) fn email(text: &[u8], at: usize, from: usize) -> Option<Range<usize>> {
    if text.get(at) != Some(&b'@') {
        return None;
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
    let is_local = |byte: u8| is_word(byte) || b"._%+-'".contains(&byte);
    let is_domain = |byte: u8| is_word(byte) || byte == b'.' || byte == b'-';
    let back = run_back(text, at, is_local).min(at.saturating_sub(from));
    let start = at.saturating_sub(back);
    // Quotes and hyphens before it are not of it.
    let start = start.saturating_add(run(text, start, |byte| byte == b'\'' || byte == b'-').min(back));
    if start >= at {
        return None;
    }
    let behind = at.saturating_add(1);
    let domain = text.get(behind..behind.saturating_add(run(text, behind, is_domain)))?;
    Some(start..behind.saturating_add(domain_len(domain)?))
}

/// How much of these bytes is a domain: labels with dots between them, the last of at least two letters.
fn domain_len(domain: &[u8]) -> Option<usize> {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte >= 0x80;
    let mut len = None;
    let mut at = 0_usize;
    for (index, label) in domain.split(|byte| *byte == b'.').enumerate() {
        let word = label.iter().rposition(|byte| *byte != b'-').map_or(0, |at| at + 1);
        if word == 0 {
            break;
        }
        let letters = label.iter().filter(|byte| is_letter(byte)).count();
        if index > 0 && (letters >= 2 || len.is_some()) {
            len = Some(at.saturating_add(word));
        }
        at = at.saturating_add(label.len()).saturating_add(1);
    }
    len
}
