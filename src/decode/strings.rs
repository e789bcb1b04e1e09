//! Finds where a JSON string ends, sixty-four bytes at a time, and checks what is in it.
//!
//! Quotes, backslashes and control characters of a block become the bits of a word each; which of the bytes are escaped is then
//! worked out for all of them at once, as simdjson does (<https://arxiv.org/abs/1902.08318>, section 3.1.1).

use standpipe_simd::{BLOCK, Specials};

use super::escapes;

/// The text is not JSON, or ends too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Malformed;

pub(crate) type Scanned<T = ()> = Result<T, Malformed>;

/// Where the string whose inside begins at `start` has its closing quote. `find` finds what is special in a block.
///
/// # Errors
/// When it has none, or its inside is not valid.
#[expect(
    clippy::inline_always,
    reason = "wide instructions are made only where it stands inside a function that may use them"
)]
#[inline(always)]
pub(super) fn end_with(
    text: &[u8],
    start: usize,
    find: impl Fn(&[u8; BLOCK]) -> Specials + Copy,
) -> Scanned<usize> {
    let mut at = start;
    let mut escapes = Escapes::from(start);
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) {
        if let Some(end) = escapes.end_in(find(block), text, at)? {
            return Ok(end);
        }
        at += BLOCK;
    }
    // Zeros are control characters: a string that has no end is not valid.
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(text.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    escapes.end_in(find(&block), text, at)?.ok_or(Malformed)
}

/// The escapes of a string, or of a text with strings in it, from block to block.
#[derive(Clone, Copy)]
pub(super) struct Escapes {
    /// 1: the last byte of the block before was a backslash that escapes the first of this one.
    begun: u64,
    /// Before here, all escapes are known to be valid.
    checked: usize,
}

impl Escapes {
    /// Those from `start` on.
    pub(super) const fn from(start: usize) -> Self {
        Self { begun: 0, checked: start }
    }

    /// Where the string ends in the block that stands at `at`, if it does.
    #[inline]
    fn end_in(&mut self, found: Specials, text: &[u8], at: usize) -> Scanned<Option<usize>> {
        let Specials { quotes, backslashes, controls } = found;
        let escaped = self.escaped(backslashes);
        let ends = quotes & !escaped;
        // All bits below the first end; all bits where there is none.
        let inside = ends.wrapping_sub(1) & !ends;
        if controls & inside != 0 {
            return Err(Malformed);
        }
        // Escaped quotes and backslashes are right. Anything else is looked at one by one.
        let other = escaped & inside & !(quotes | backslashes);
        if other != 0 {
            self.check(other, text, at).ok_or(Malformed)?;
        }
        Ok((ends != 0).then(|| at + ends.trailing_zeros() as usize))
    }

    /// The bytes that a backslash escapes.
    #[inline]
    pub(super) fn escaped(&mut self, backslashes: u64) -> u64 {
        /// Every other bit, from the second on.
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        if backslashes == 0 {
            return std::mem::take(&mut self.begun);
        }
        // Backslashes that may escape, and the places after them. In a run of them every other one is escaped: subtracting carries
        // through each run, and comes out right or wrong by whether the run begins at an odd or an even place.
        let may_escape = backslashes & !self.begun;
        let run_ends = ((may_escape << 1) | ODD).wrapping_sub(may_escape) ^ ODD;
        let escaped = run_ends ^ (backslashes | self.begun);
        self.begun = (run_ends & backslashes) >> (BLOCK - 1);
        escaped
    }

    /// Checks the escapes whose letters are the bits of `letters`.
    #[cold]
    pub(super) fn check(&mut self, mut letters: u64, text: &[u8], at: usize) -> Option<()> {
        while letters != 0 {
            let backslash = (at + letters.trailing_zeros() as usize).checked_sub(1)?;
            letters &= letters - 1;
            // The second half of a surrogate pair was checked with the first.
            if backslash >= self.checked {
                let (_, len) = escapes::escape(text.get(backslash..)?)?;
                self.checked = backslash + len;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The end as serde sees it.
    fn model(text: &str) -> Option<usize> {
        let quoted = format!("\"{text}");
        let mut strings = serde_json::Deserializer::from_str(&quoted).into_iter::<String>();
        strings.next()?.ok()?;
        Some(strings.byte_offset() - 2)
    }

    #[test]
    fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
        for pad in 0..140 {
            let pad = "x".repeat(pad);
            for text in [
                r#"""#,
                r#"\""#,
                r"\",
                r#"\\""#,
                r#"\\\" ""#,
                r#"a\"b\"c" \"#,
                r#"\n\t\/\b\f\r""#,
                r#"\x""#,
                r#"\u00e9""#,
                r#"\ud83d\ude00""#,
                r#"\ud83d\ude00\ude00""#,
                r#"\ud83d""#,
                r#"\u12""#,
                "\u{1}\"",
                "\" \u{1}",
                "é中😀\"",
            ] {
                let text = [&pad, text].concat();
                assert_eq!(end_with(text.as_bytes(), 0, Specials::find).ok(), model(&text), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_string_ends_where_serde_says(text in "[a\\\\\"nu0-9\x01é]{0,200}", runs in "(\\\\{0,70}[\"n]){0,4}", many in "[ -~]{0,70}(\\\\[nt\"\\\\/]){0,70}\"") {
            for text in [text, runs, many] {
                prop_assert_eq!(end_with(text.as_bytes(), 0, Specials::find).ok(), model(&text), "{}", text);
            }
        }
    }
}
