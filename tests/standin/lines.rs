//! Numbered lines that know whether they are whole, and what is found of them in a record.

use std::sync::OnceLock;

/// A run of lines: each is `r<run> <number> <checksum> <filler>`, about 257 bytes with its newline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lines {
    run: u32,
    bytes: Option<usize>,
}

impl Lines {
    /// The lines of this run; the same run is the same bytes each time.
    pub(crate) fn of_run(run: u32) -> Self {
        Self { run, bytes: None }
    }

    /// The same with so many bytes in each, its newline included; none: as it comes. At most 16,000.
    pub(crate) fn of_bytes(self, bytes: Option<usize>) -> Self {
        Self { bytes, ..self }
    }

    /// The run's number.
    pub(crate) fn run(self) -> u32 {
        self.run
    }

    /// Appends the line of this number, without a newline.
    pub(crate) fn write(self, number: u64, out: &mut Vec<u8>) {
        let draw = mix(u64::from(self.run) << 40 ^ number);
        let text = text();
        let header = HEADER_WITHOUT_NUMBER + digits(number);
        let len = match self.bytes {
            Some(bytes) => bytes.saturating_sub(header + 1),
            None => 180 + usize::try_from(draw % 101).unwrap_or(0),
        };
        let start = usize::try_from(draw >> 32).unwrap_or(0) % (text.len() - len);
        let body = out.len() + header;
        out.extend_from_slice(format!("r{:08x} {number} {:08x} ", self.run, 0).as_bytes());
        out.extend_from_slice(&text[start..start + len]);
        if self.bytes.is_none() && number.is_multiple_of(16) {
            out.extend_from_slice(" \"quoted\\path\"\té漢".as_bytes());
        }
        let sum = checksum(self.run, number, &out[body..]);
        out[body - 9..body - 1].copy_from_slice(format!("{sum:08x}").as_bytes());
    }

    /// The line of this number.
    pub(crate) fn line(self, number: u64) -> Vec<u8> {
        let mut line = Vec::with_capacity(320);
        self.write(number, &mut line);
        line
    }

    /// The lines of these numbers, each with its newline.
    pub(crate) fn text(self, numbers: std::ops::Range<u64>) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(numbers.end - numbers.start).unwrap_or(0) * 260);
        for number in numbers {
            self.write(number, &mut out);
            out.push(b'\n');
        }
        out
    }
}

/// What a line turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// A whole numbered line.
    Whole {
        /// Its run.
        run: u32,
        /// Its number.
        number: u64,
    },
    /// A numbered line with other bytes than it was made of.
    Damaged,
    /// Something else.
    Other,
}

/// Looks at each line of a record: plain lines, JSON lines (their `"message"`), or envelopes (each `"message"`).
pub(crate) fn find(record: &[u8], mut tell: impl FnMut(Found)) {
    let mut rest = record;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        if line.first() == Some(&b'{') {
            messages(line, &mut tell);
        } else {
            tell(judge(line));
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

fn messages(json: &[u8], tell: &mut impl FnMut(Found)) {
    const NAME: &[u8] = b"\"message\":";
    let mut rest = json;
    let mut any = false;
    while let Some(at) = memchr::memmem::find(rest, NAME) {
        let value = rest[at + NAME.len()..].trim_ascii_start();
        let Some(value) = value.strip_prefix(b"\"") else { break };
        let end = string_end(value);
        let inside = &value[..end];
        any = true;
        if memchr::memchr(b'\\', inside).is_none() {
            tell(judge(inside));
        } else {
            let quoted = [b"\"", inside, b"\""].concat();
            tell(
                serde_json::from_slice::<String>(&quoted)
                    .map_or(Found::Damaged, |text| judge(text.as_bytes())),
            );
        }
        rest = &value[end..];
    }
    if !any {
        tell(Found::Other);
    }
}

fn string_end(value: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'"', b'\\', &value[at..]) {
        if value[at + next] == b'"' {
            return at + next;
        }
        at = (at + next + 2).min(value.len());
    }
    value.len()
}

fn judge(line: &[u8]) -> Found {
    let Some((run, number, sum, body)) = header(line) else { return Found::Other };
    if checksum(run, number, body) == sum { Found::Whole { run, number } } else { Found::Damaged }
}

fn header(line: &[u8]) -> Option<(u32, u64, u32, &[u8])> {
    let rest = line.strip_prefix(b"r")?;
    let (run, rest) = rest.split_at_checked(8)?;
    let rest = rest.strip_prefix(b" ")?;
    let space = memchr::memchr(b' ', rest)?;
    let (number, rest) = rest.split_at_checked(space)?;
    let (sum, rest) = rest.strip_prefix(b" ")?.split_at_checked(8)?;
    let body = rest.strip_prefix(b" ")?;
    let number = number.iter().try_fold(0_u64, |so_far, digit| {
        digit.is_ascii_digit().then(|| so_far.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })?;
    Some((hex(run)?, number, hex(sum)?, body))
}

/// As they were written: in lower case.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    digits.iter().try_fold(0_u32, |so_far, digit| Some(so_far << 4 | char::from(*digit).to_digit(16)?))
}

const HEADER_WITHOUT_NUMBER: usize = "r00000000  00000000 ".len();

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Not for safety, only for damage: eight bytes a step, since it runs over every byte that is shipped.
fn checksum(run: u32, number: u64, body: &[u8]) -> u32 {
    let mut sum = mix(u64::from(run) ^ number.rotate_left(32) ^ body.len() as u64);
    let (words, tail) = body.as_chunks::<8>();
    for word in words {
        sum = (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
    }
    for byte in tail {
        sum = (sum.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(ODD);
    }
    (mix(sum) >> 32) as u32
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 31).wrapping_add(ODD).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (value ^ value >> 29).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Words to cut filler from.
fn text() -> &'static [u8] {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    TEXT.get_or_init(|| {
        const WORDS: [&str; 12] = [
            "GET",
            "/api/v1/orders",
            "200",
            "connection",
            "accepted",
            "user=4711",
            "took_ms=12",
            "retry",
            "INFO",
            "10.0.3.17",
            "cache",
            "miss",
        ];
        let mut rng = fastrand::Rng::with_seed(7);
        let mut out = Vec::new();
        while out.len() < 16 * 1024 {
            out.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
            out.push(b' ');
            out.extend_from_slice(format!("{:04x} ", rng.u16(..)).as_bytes());
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(record: &[u8]) -> Vec<Found> {
        let mut all = Vec::new();
        find(record, |found| all.push(found));
        all
    }

    proptest! {
        #[test]
        fn a_line_is_found_whole_however_it_is_wrapped(run: u32, number in 0_u64..1 << 40) {
            let line = Lines::of_run(run).line(number);
            let expected = [Found::Whole { run, number }];
            prop_assert_eq!(found(&line), expected);
            let text = String::from_utf8(line).unwrap();
            let json = serde_json::json!({ "id": "1", "message": text, "source": "\"message\\" }).to_string();
            prop_assert_eq!(found(json.as_bytes()), expected);
        }

        #[test]
        fn a_line_that_changed_is_not_taken_for_whole(number in 0_u64..1_000_000, at: prop::sample::Index, bit in 0..8) {
            let whole = Lines::of_run(1).line(number);
            let mut line = whole.clone();
            line[at.index(whole.len())] ^= 1_u8 << bit;
            let is_whole = found(&line).iter().any(|found| matches!(found, Found::Whole { .. }));
            prop_assert!(!is_whole);
        }

        #[test]
        fn any_bytes_can_be_looked_at(record: Vec<u8>) {
            found(&record);
            found(&[b"{\"message\":\"", record.as_slice()].concat());
        }
    }
}
