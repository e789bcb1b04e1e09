//! Writing JSON text into a buffer, without a tree, sixteen bytes at a time.

use wide::u8x16;

use super::padded_writer::PaddedWriter;

/// As many bytes are looked at together.
const STEP: usize = 16;

/// A block, and as much behind it, so that a whole block can be copied from anywhere in it.
const WINDOW: usize = 2 * STEP;

/// What stands for a byte inside a JSON string, and how much of that counts.
type Escape = ([u8; 8], u8);

/// As many bytes as one may become inside a JSON string.
pub const LONGEST_ESCAPE: usize = 6;

/// The escapes of the control characters, the quote and the backslash.
const ESCAPES: [Escape; 93] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut table = [([0; 8], 0); 93];
    let mut byte = 0;
    #[expect(clippy::indexing_slicing, reason = "a constant, checked at compile time")]
    while byte < table.len() {
        table[byte] = ([b'\\', b'u', b'0', b'0', HEX[byte >> 4], HEX[byte & 15], 0, 0], 6);
        byte += 1;
    }
    let short = [(b'\n', b'n'), (b'\r', b'r'), (b'\t', b't'), (b'"', b'"'), (b'\\', b'\\')];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "a constant, checked at compile time")]
    while index < short.len() {
        let (byte, letter) = short[index];
        table[byte as usize] = ([b'\\', letter, 0, 0, 0, 0, 0, 0], 2);
        index += 1;
    }
    table
};

/// Writes the inside of a JSON string. What is not UTF-8 is replaced by U+FFFD.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    // Few bytes are escaped in most text.
    let mut writer =
        PaddedWriter::new(out, bytes.len().saturating_add(bytes.len() / 8).saturating_add(WINDOW));
    if is_utf8(bytes) {
        return escape_text(bytes, &mut writer);
    }
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid().as_bytes(), &mut writer);
        if !chunk.invalid().is_empty() {
            writer.put("\u{FFFD}".as_bytes());
        }
    }
}

/// Whether all of the bytes are UTF-8.
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

fn escape_text(mut text: &[u8], writer: &mut PaddedWriter<'_>) {
    loop {
        let len = escape_line(text, writer);
        let Some(([b'\n'], rest)) = text.get(len..).and_then(<[u8]>::split_first_chunk) else { return };
        writer.put(b"\\n");
        text = rest;
    }
}

/// How many bytes [`escape`] writes of these, counted in little memory.
pub fn escaped_len(bytes: &[u8]) -> usize {
    const PIECE: usize = 4 * 1024;
    let (mut rest, mut len) = (bytes, 0_usize);
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(super::border::char_border(rest, PIECE));
        out.clear();
        escape(piece, &mut out);
        len = len.saturating_add(out.len());
        rest = after;
    }
    len
}

/// Writes text up to its first newline, or to its end, as the inside of a JSON string. Returns how much of it that was.
pub(super) fn escape_line(text: &[u8], writer: &mut PaddedWriter<'_>) -> usize {
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        if let Some(newline) = escape_block(window, STEP, writer) {
            return at.saturating_add(newline);
        }
        at = at.saturating_add(STEP);
    }
    // What is left is less than a window: two blocks at most.
    for _ in 0..2 {
        let rest = text.get(at..).unwrap_or_default();
        let len = rest.len().min(STEP);
        if let Some(newline) = escape_block(&padded(rest), len, writer) {
            return at.saturating_add(newline);
        }
        at = at.saturating_add(len);
    }
    at
}

/// A window that begins with `rest`, or with as much of it as there is room for.
fn padded(rest: &[u8]) -> [u8; WINDOW] {
    let mut window = [0; WINDOW];
    for (to, from) in window.iter_mut().zip(rest) {
        *to = *from;
    }
    window
}

/// Writes the first `len` bytes of a window's block. Stops at a newline, and returns where it is.
#[inline]
fn escape_block(window: &[u8; WINDOW], len: usize, writer: &mut PaddedWriter<'_>) -> Option<usize> {
    let mut specials = specials(window) & mask(len);
    let mut newline = None;
    writer.fill(|space: &mut [u8; ESCAPED]| {
        let (mut done, mut filled) = (0, 0);
        while specials != 0 {
            let at = specials.trailing_zeros() as usize;
            write(space, filled, from(window, done));
            filled += at - done;
            let byte = window.get(at).copied().unwrap_or_default();
            if byte == b'\n' {
                newline = Some(at);
                return filled;
            }
            let (text, len) = ESCAPES.get(usize::from(byte)).unwrap_or(&([0; 8], 0));
            write(space, filled, text);
            filled += usize::from(*len);
            done = at + 1;
            specials &= specials - 1;
        }
        write(space, filled, from(window, done));
        filled + len - done
    });
    newline
}

/// The most that a block becomes, and a block more for what is copied too much.
const ESCAPED: usize = STEP * 6 + STEP;

#[inline]
fn write<const N: usize, const ROOM: usize>(space: &mut [u8; ROOM], at: usize, bytes: &[u8; N]) {
    if let Some(to) = space.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *to = *bytes;
    }
}

/// A bit for each byte of a window's block that cannot stand in a JSON string as it is.
#[inline]
fn specials(window: &[u8; WINDOW]) -> u32 {
    let block = u8x16::new(*from(window, 0));
    let control = block.min(u8x16::splat(0x1f)).simd_eq(block);
    let quoting = block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'));
    (control | quoting).to_bitmask()
}

#[inline]
fn backslashes(window: &[u8; WINDOW]) -> u32 {
    u8x16::new(*from(window, 0)).simd_eq(u8x16::splat(b'\\')).to_bitmask()
}

/// The bits of the first `len` bytes.
const fn mask(len: usize) -> u32 {
    (1 << len) - 1
}

/// A block of the window from `at`, which is at most a block's length, on.
#[inline]
fn from(window: &[u8; WINDOW], at: usize) -> &[u8; STEP] {
    window.get(at..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; STEP])
}

/// Writes what the inside of a JSON string stands for. Half a surrogate pair becomes U+FFFD.
pub fn unescape(text: &str, out: &mut Vec<u8>) {
    let text = text.as_bytes();
    if memchr::memchr(b'\\', text).is_none() {
        return out.extend_from_slice(text);
    }
    let mut writer = PaddedWriter::new(out, text.len().saturating_add(WINDOW));
    let mut at: usize = 0;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let mut done = unescape_block(window, &mut writer);
        if done < STEP {
            done = done.saturating_add(unescape_one(
                text.get(at.saturating_add(done)..).unwrap_or_default(),
                &mut writer,
            ));
        }
        at = at.saturating_add(done);
    }
    let mut rest = text.get(at..).unwrap_or_default();
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(found);
        writer.put(plain);
        let len = unescape_one(escape, &mut writer);
        rest = escape.get(len..).unwrap_or_default();
    }
    writer.put(rest);
}

/// Writes a window's block up to an escape of more than one letter. Returns how much of the window that was: at least a block
/// where there is no such escape, one byte more where the last escape reaches out of it.
#[inline]
fn unescape_block(window: &[u8; WINDOW], writer: &mut PaddedWriter<'_>) -> usize {
    let mut escapes = backslashes(window);
    let mut done = 0;
    writer.fill(|space: &mut [u8; WINDOW]| {
        let mut filled = 0;
        while escapes != 0 {
            let at = escapes.trailing_zeros() as usize;
            write(space, filled, from(window, done));
            filled += at - done;
            done = at;
            let letter = window.get(at + 1).copied().unwrap_or_default();
            if letter == b'u' {
                return filled;
            }
            write(space, filled, &[unescaped(letter)]);
            filled += 1;
            done += 2;
            // The byte after a backslash may be one, and begins nothing.
            escapes &= u32::MAX << done;
        }
        write(space, filled, from(window, done));
        filled += STEP.saturating_sub(done);
        done = done.max(STEP);
        filled
    });
    done
}

const fn unescaped(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        letter => letter,
    }
}

/// Writes the escape that `text` begins with, and returns its length.
fn unescape_one(text: &[u8], writer: &mut PaddedWriter<'_>) -> usize {
    match text.get(1) {
        Some(b'u') => unescape_unicode(text, writer),
        Some(letter) => {
            writer.put(&[unescaped(*letter)]);
            2
        }
        None => 1,
    }
}

fn unescape_unicode(text: &[u8], writer: &mut PaddedWriter<'_>) -> usize {
    let unit = |at: usize| -> Option<u32> {
        let (escape, digits) = text.get(at..at.checked_add(6)?)?.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        (escape == b"\\u").then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let pair = |high: u32, low: u32| {
        let is_pair = (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low);
        is_pair.then(|| 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).and_then(char::from_u32)
    };
    let first = unit(0).unwrap_or(0xFFFD);
    let (found, len) = match unit(6).and_then(|second| pair(first, second)) {
        Some(joined) => (joined, 12),
        None => (char::from_u32(first).unwrap_or('\u{FFFD}'), 6),
    };
    writer.put(found.encode_utf8(&mut [0; 4]).as_bytes());
    len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Text in which what must be escaped stands at every place of a block.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[ -~\"\\\\\n\r\t\x00-\x1fé中😀]{0,80}".prop_map(String::into_bytes),
            "(a{0,40}[\"\\\\\n])*".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_back_as_it_was(bytes in texts()) {
            let escaped = text(|out| escape(&bytes, out));
            let read: String = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
            prop_assert_eq!(&read, &String::from_utf8_lossy(&bytes));
            prop_assert_eq!(text(|out| unescape(&escaped, out)), read);
        }

        #[test]
        fn unescaping_agrees_with_serde_json(original in any::<String>()) {
            let units = original.encode_utf16();
            let json = units.fold(String::new(), |json, unit| json + &format!("\\u{unit:04x}"));
            prop_assert_eq!(text(|out| unescape(&json, out)), original);
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement() {
        assert_eq!(text(|out| unescape(r"a\ud800b\udc00\u0041", out)), "a\u{FFFD}b\u{FFFD}A");
    }
}
