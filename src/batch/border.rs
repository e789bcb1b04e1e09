//! Where text may be cut.

/// The last border between characters at or before `len`; `len` itself where the bytes are not UTF-8.
pub(super) fn char_border(message: &[u8], len: usize) -> usize {
    if len >= message.len() {
        return message.len();
    }
    let continues = |at: usize| message.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let border = (len.saturating_sub(3)..=len).rev().find(|at| !continues(*at));
    border.filter(|at| *at > 0).unwrap_or(len)
}
