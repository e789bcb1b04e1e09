//! Keys, tokens and passwords: what has a form of its own, and what stands after a name that says what it is.

use std::ops::Range;

use super::runs::{before, run, run_back};

/// An id of an access key: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.
pub(super) fn key_id(text: &[u8], start: usize) -> Option<Range<usize>> {
    const LEN: usize = 20;
    let is_of_id = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let is_key = matches!(text.get(start..start.saturating_add(4)), Some(b"AKIA" | b"ASIA" | b"ABIA"));
    let stands_alone = is_key && !before(text, start).is_some_and(is_of_id);
    (stands_alone && run(text, start, is_of_id) == LEN).then(|| start..start.saturating_add(LEN))
}

/// Names before secrets. A name may hold its word many times: it is looked at once.
#[derive(Debug, Default)]
pub(super) struct SecretNames {
    /// The end of the last name of a secret.
    secrets: usize,
    /// The end of the last name of a password, or of the password.
    passwords: usize,
}

impl SecretNames {
    /// A secret access key has no form of its own: forty characters after a name that ends in a secret's.
    pub(super) fn secret_key(&mut self, text: &[u8], start: usize) -> Option<Range<usize>> {
        const LEN: usize = 40;
        let is_between = |byte: u8| b" \t\"'`:=>\\,([{".contains(&byte);
        let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'+';
        if start < self.secrets {
            return None;
        }
        let end = behind_word(text, start, b"secret")?;
        self.secrets = end.saturating_add(run(text, end, is_of_name));
        let start = self.secrets.saturating_add(run(text, self.secrets, is_between));
        (start > self.secrets && run(text, start, is_of_key) == LEN).then(|| start..start.saturating_add(LEN))
    }

    /// What is given to a name such as `password`, `db_passwd` or `PasswordHash`, between quotes or as a word.
    pub(super) fn password(&mut self, text: &[u8], start: usize) -> Option<Range<usize>> {
        if start < self.passwords {
            return None;
        }
        let words: [&[u8]; 3] = [b"password", b"passwd", b"passphrase"];
        let end = words.into_iter().find_map(|word| behind_word(text, start, word))?;
        self.passwords = end.saturating_add(run(text, end, is_of_name));
        let value = given(text, self.passwords)?;
        self.passwords = self.passwords.max(value.end);
        Some(value)
    }
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-'
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Where a word of small letters ends that begins at a place, whatever its case.
fn behind_word(text: &[u8], start: usize, word: &[u8]) -> Option<usize> {
    let end = start.checked_add(word.len())?;
    text.get(start..end)?.eq_ignore_ascii_case(word).then_some(end)
}

/// The value behind a name that ends at a place: after a `:`, a `=` or an arrow, in quotes or not.
fn given(text: &[u8], name: usize) -> Option<Range<usize>> {
    let is_sign = |byte: u8| b":=>".contains(&byte);
    let skip = |at: usize, is: fn(u8) -> bool| at.saturating_add(run(text, at, is));
    let closed = skip(name, |byte| b"\\\"'`".contains(&byte));
    let sign = skip(closed, is_blank);
    let signs = run(text, sign, is_sign);
    if !(1..=MOST_SIGNS).contains(&signs) || text.get(sign) == Some(&b'>') {
        return None;
    }
    let opened = skip(skip(sign.saturating_add(signs), is_blank), |byte| byte == b'\\');
    let quote = text.get(opened).copied().filter(|byte| b"\"'`".contains(byte));
    let inside = opened.saturating_add(usize::from(quote.is_some()));
    let end = quote.and_then(|quote| closing_quote(text, inside, quote)).unwrap_or_else(|| {
        let end = skip(inside, is_of_bare_value);
        end.saturating_sub(run_back(text, end, |byte| b")]}>".contains(&byte)))
    });
    let value = text.get(inside..end)?;
    let is_open = value.starts_with(b"{") || value.starts_with(b"[");
    (!value.is_empty() && !is_open && !NO_VALUES.contains(&value)).then_some(inside..end)
}

/// The end of what stands between quotes: at one that nothing of a value follows, since a quote may be of the value.
fn closing_quote(text: &[u8], start: usize, quote: u8) -> Option<usize> {
    const LONGEST: usize = 512;
    let rest = text.get(start..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    let line = memchr::memchr(b'\n', rest).and_then(|end| rest.get(..end)).unwrap_or(rest);
    let closes = |at: &usize| {
        let next = line.get(at.saturating_add(1)).copied();
        next.is_none_or(|next| !is_of_bare_value(next) || b")]}>:".contains(&next))
    };
    let end = memchr::memchr_iter(quote, line).find(closes).or_else(|| memchr::memchr(quote, line))?;
    let escapes = run_back(line, end, |byte| byte == b'\\');
    Some(start.saturating_add(end).saturating_sub(escapes))
}

/// `:`, `=`, `:=`, `=>`, `==`, `===`.
const MOST_SIGNS: usize = 3;

/// What stands in place of a password where there is none.
const NO_VALUES: [&[u8]; 7] = [b"null", b"nil", b"none", b"None", b"true", b"false", b"undefined"];

const fn is_of_bare_value(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b'\\')
}

/// The token after the word: <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>.
pub(super) fn bearer(text: &[u8], start: usize) -> Option<Range<usize>> {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let token = token_behind(text, start, b"bearer", is_of_token)?;
    (token.len() >= LEAST_TOKEN).then_some(token)
}

/// Shorter ones are words of a sentence.
const LEAST_TOKEN: usize = 4;

/// A name and a password with a colon between them, in base64 after the word: <https://www.rfc-editor.org/rfc/rfc7617#section-2>.
pub(super) fn basic(text: &[u8], start: usize) -> Option<Range<usize>> {
    let token = token_behind(text, start, b"basic", is_of_base64)?;
    let is_pair = text.get(token.clone()).is_some_and(holds_colon);
    (token.len() >= LEAST_TOKEN && is_pair).then_some(token)
}

fn token_behind(text: &[u8], start: usize, word: &[u8], is_of_token: fn(u8) -> bool) -> Option<Range<usize>> {
    let end = behind_word(text, start, word)?;
    let token = end.saturating_add(run(text, end, is_blank));
    (token > end).then(|| token..token.saturating_add(run(text, token, is_of_token)))
}

const fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Whether what base64 stands for holds a colon.
fn holds_colon(base64: &[u8]) -> bool {
    let bits = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    base64.chunks(4).any(|four| {
        let known = four.iter().map_while(|byte| bits(*byte));
        let (joined, count) = known.fold((0, 0_u32), |(joined, count), bits| (joined << 6 | bits, count + 1));
        // Of six bits each, as many bytes as are whole.
        let whole = count * 6 / 8;
        let bytes: u32 = joined << (24 - count * 6);
        bytes.to_be_bytes().iter().skip(1).zip(0..whole).any(|(byte, _)| *byte == b':')
    })
}

/// A JSON Web Token, signed or encrypted: parts in base64 with dots between them, of which the first holds a JSON object
/// (<https://www.rfc-editor.org/rfc/rfc7519#section-3>).
pub(super) fn web_token(text: &[u8], start: usize) -> Option<Range<usize>> {
    const LEAST_HEADER: usize = 10;
    /// Those of an encrypted token, after its header.
    const MOST_PARTS: usize = 4;
    let is_of_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let begins = text.get(start..)?.starts_with(b"eyJ") && !before(text, start).is_some_and(is_of_part);
    let header = if begins { run(text, start, is_of_part) } else { 0 };
    if header < LEAST_HEADER {
        return None;
    }
    let (mut end, mut parts) = (start.saturating_add(header), 0);
    while parts < MOST_PARTS && text.get(end) == Some(&b'.') {
        let len = run(text, end.saturating_add(1), is_of_part);
        // Only the signature may be empty.
        if len == 0 && parts != 1 {
            break;
        }
        end = end.saturating_add(1).saturating_add(len);
        parts = parts.saturating_add(1);
    }
    (parts >= 2).then_some(start..end)
}

/// The password before the `@` at a place: `scheme://user:password@host`.
pub(super) fn password_of_url(text: &[u8], at: usize) -> Option<Range<usize>> {
    let is_of_credentials = |byte: u8| !byte.is_ascii_whitespace() && !b"/@\"'`<>\\".contains(&byte);
    if text.get(at) != Some(&b'@') {
        return None;
    }
    let start = at.saturating_sub(run_back(text, at, is_of_credentials));
    text.get(..start)?.strip_suffix(b"://")?;
    let colon = memchr::memchr(b':', text.get(start..at)?)?;
    let password = start.saturating_add(colon).saturating_add(1);
    (password < at).then_some(password..at)
}
