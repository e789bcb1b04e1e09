//! Whether a text is one JSON object, sixty-four bytes at a time.
//!
//! What JSON is made of becomes bits of words, and the rules of its grammar are tried on all of a block's bits at once; only brackets,
//! and scalars that are not plain numbers, are looked at one by one. Between two brackets, what begins a string or a scalar and what
//! separates these are gathered to a word that shows their order alone. In an object that order is a name, a colon, a value, a comma, and
//! so on; in an array, a value, a comma.
//!
//! As in simdjson (<https://arxiv.org/abs/1902.08318>, section 3.1), the inside of strings is told by the parity of quotes.

use standpipe_simd::{BLOCK, JsonMarks, JsonScan, Specials};

use super::strings::{self, Escapes, Malformed, Scanned};

/// What was found of an object.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ObjectSurvey {
    /// Whether line ends stand between its tokens.
    pub(super) has_breaks: bool,
    /// Whether there are bytes beyond ASCII: they may not be UTF-8.
    pub(super) has_beyond: bool,
    /// Where the values of the fields begin that are looked for, each with the colon before it.
    pub(super) fields: [Option<usize>; 2],
    /// Where the object ends.
    pub(super) end: usize,
}

/// Reads a text that is to be one object, and looks for a field at its top.
pub(super) fn survey(text: &[u8], field: Option<&str>) -> Scanned<ObjectSurvey> {
    walk(text, [field, None], false)
}

/// Reads the object at the front of a text, and looks for fields at its top. An error may be one of what stands behind it.
pub(super) fn survey_front(text: &[u8], fields: [&str; 2]) -> Scanned<ObjectSurvey> {
    walk(text, fields.map(Some), true)
}

fn walk(text: &[u8], fields: [Option<&str>; 2], is_front: bool) -> Scanned<ObjectSurvey> {
    if text.first() != Some(&b'{') {
        return Err(Malformed);
    }
    standpipe_simd::scan_json(ObjectWalk::new(text, fields, is_front))
}

/// The number of a block's last bit.
const LAST_BIT: u32 = u64::BITS - 1;

/// As deep as containers may be nested: as serde reads them.
const MAX_DEPTH: u32 = 127;

struct ObjectWalk<'a> {
    text: &'a [u8],
    /// What is looked for; without a first one, nothing is.
    fields: [Option<&'a str>; 2],
    /// It ends where the object does, whatever stands behind it.
    is_front: bool,
    found: ObjectSurvey,
    /// Bits that break a rule.
    wrong: u64,
    escapes: Escapes,
    /// All bits: the block begins inside a string.
    in_string: u64,
    /// The lowest bit: the last byte of the block before is of a scalar; it is a zero that begins one.
    after_scalar: u64,
    after_zero: u64,
    /// What comes next in the order of the container, of four things.
    turn: u32,
    /// Nothing came since the last bracket was opened.
    is_empty: bool,
    /// The containers around, the innermost in the lowest bit: 1 for an object.
    objects: u128,
    depth: u32,
}

/// What of a block is not inside strings.
#[derive(Clone, Copy)]
struct Tokens {
    /// Where strings and scalars begin.
    begins: u64,
    /// Where scalars begin.
    scalars: u64,
    colons: u64,
    commas: u64,
}

/// In which turns what comes: a bit a turn, from the first on.
#[derive(Clone, Copy)]
struct TurnOrder {
    names: u64,
    colons: u64,
    commas: u64,
}

const OF_OBJECT: TurnOrder =
    TurnOrder { names: u64::MAX / 15, colons: u64::MAX / 15 * 2, commas: u64::MAX / 15 * 8 };

const OF_ARRAY: TurnOrder = TurnOrder { names: 0, colons: 0, commas: u64::MAX / 3 * 2 };

/// The turn of a value in an object, and that of what comes behind it.
const VALUE: u32 = 2;
const BEHIND: u32 = 3;

impl JsonScan for ObjectWalk<'_> {
    type Output = Scanned<ObjectSurvey>;

    #[expect(
        clippy::inline_always,
        reason = "wide instructions are made only inside a function that may use them"
    )]
    #[inline(always)]
    fn run(
        mut self,
        find: impl Fn(&[u8]) -> JsonMarks + Copy,
        parity: impl Fn(u64) -> u64 + Copy,
        gather: impl Fn(u64, u64) -> u64 + Copy,
    ) -> Scanned<ObjectSurvey> {
        let mut at = 0;
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            let block = rest.get(..BLOCK).unwrap_or(rest);
            let (tokens, brackets) = self.block(at, find(block), parity)?;
            self.containers(brackets, &tokens, at, gather)?;
            if self.is_front && self.found.end > 0 {
                return if self.wrong == 0 { Ok(self.found) } else { Err(Malformed) };
            }
            at = at.saturating_add(BLOCK);
        }
        let is_whole = self.depth == 0 && self.in_string == 0 && self.wrong == 0;
        if is_whole { Ok(self.found) } else { Err(Malformed) }
    }
}

/// What is done for each block stands where it is called, and what is done rarely takes copies: so all of the walk stays in registers.
#[expect(clippy::inline_always, reason = "as in `JsonScan::run`")]
impl<'a> ObjectWalk<'a> {
    #[inline(always)]
    fn new(text: &'a [u8], fields: [Option<&'a str>; 2], is_front: bool) -> Self {
        Self {
            text,
            fields,
            is_front,
            found: ObjectSurvey::default(),
            wrong: 0,
            escapes: Escapes::from(0),
            in_string: 0,
            after_scalar: 0,
            after_zero: 0,
            turn: 0,
            is_empty: false,
            objects: 0,
            depth: 0,
        }
    }

    /// Reads the block that stands at `at`: its tokens and brackets.
    #[inline(always)]
    fn block(
        &mut self,
        at: usize,
        marks: JsonMarks,
        parity: impl Fn(u64) -> u64 + Copy,
    ) -> Scanned<(Tokens, u64)> {
        let escaped = self.escapes.escaped(marks.backslashes);
        let quotes = marks.quotes & !escaped;
        // From each opening quote on, up to its closing one.
        let inside = parity(quotes) ^ self.in_string;
        self.in_string = last_bit_for_all(inside);
        self.wrong |= marks.controls & inside;
        self.found.has_beyond |= marks.beyond != 0;
        let letters = escaped & inside & !(marks.quotes | marks.backslashes);
        if letters != 0 {
            let mut copy = self.escapes;
            copy.check(letters, self.text, at).ok_or(Malformed)?;
            self.escapes = copy;
        }
        let outside = !(inside | quotes);
        if marks.controls & outside != 0 {
            self.found.has_breaks |= breaks(self.text, marks.controls & outside, at)?;
        }
        let brackets = (marks.opens | marks.closes) & outside;
        let (colons, commas) = (marks.colons & outside, marks.commas & outside);
        let signs = marks.controls | marks.spaces | marks.opens | marks.closes | marks.colons | marks.commas;
        let scalars = self.scalars(outside & !signs, &marks, at)?;
        Ok((Tokens { begins: scalars | quotes & inside, scalars, colons, commas }, brackets))
    }

    /// Where scalars begin, of which these bytes are. Digits alone are a number, unless the first of several is a zero.
    #[inline(always)]
    fn scalars(&mut self, bytes: u64, marks: &JsonMarks, at: usize) -> Scanned<u64> {
        let begins = bytes & !(bytes << 1 | self.after_scalar);
        let zeros = begins & marks.zeros;
        let others = bytes & (!marks.digits | zeros << 1 | self.after_zero);
        self.after_scalar = bytes >> LAST_BIT;
        self.after_zero = zeros >> LAST_BIT;
        if others != 0 {
            check_scalars(self.text, others, begins, at)?;
        }
        Ok(begins)
    }

    /// Goes from bracket to bracket.
    #[inline(always)]
    fn containers(
        &mut self,
        mut brackets: u64,
        tokens: &Tokens,
        at: usize,
        gather: impl Fn(u64, u64) -> u64 + Copy,
    ) -> Scanned {
        let mut part = !0;
        while brackets != 0 {
            let bit = brackets & brackets.wrapping_neg();
            self.between(part & (bit - 1), tokens, at, gather);
            self.bracket(at.saturating_add(bit.trailing_zeros() as usize))?;
            if self.is_front && self.found.end > 0 {
                return Ok(());
            }
            part = !(bit | (bit - 1));
            brackets ^= bit;
        }
        self.between(part, tokens, at, gather);
        Ok(())
    }

    /// What stands between two brackets, in one container.
    #[inline(always)]
    fn between(&mut self, part: u64, tokens: &Tokens, at: usize, gather: impl Fn(u64, u64) -> u64 + Copy) {
        let all = (tokens.begins | tokens.colons | tokens.commas) & part;
        if all == 0 {
            return;
        }
        self.is_empty = false;
        let count = all.count_ones();
        let order = if self.objects & 1 == 1 { OF_OBJECT } else { OF_ARRAY };
        let counted = u64::MAX >> (u64::BITS - count);
        let turns = |turns: u64| turns.rotate_right(self.turn) & counted;
        let (names, colons, commas) = (turns(order.names), turns(order.colons), turns(order.commas));
        self.wrong |= gather(tokens.colons, all) ^ colons;
        self.wrong |= gather(tokens.commas, all) ^ commas;
        self.wrong |= gather(tokens.scalars, all) & names;
        // Outside of everything nothing may stand.
        self.wrong |= u64::from(self.depth == 0);
        if self.depth == 1
            && let [Some(first), second] = self.fields
        {
            let [of_first, of_second] = self.found.fields;
            let first = value_of(first, self.text, (all, names), at).or(of_first);
            let second = second.and_then(|field| value_of(field, self.text, (all, names), at)).or(of_second);
            self.found.fields = [first, second];
        }
        self.turn = self.turn.wrapping_add(count) % 4;
    }

    #[inline(always)]
    fn bracket(&mut self, at: usize) -> Scanned {
        let byte = self.text.get(at).copied().unwrap_or_default();
        // `{` and `}`, `[` and `]` are told by a bit, and those that open by another.
        let (is_object, opens) = (byte & 0x20 != 0, byte & 4 == 0);
        let stands_in_object = self.objects & 1 == 1;
        if opens {
            let is_due = if stands_in_object { self.turn == VALUE } else { self.turn.is_multiple_of(2) };
            if !is_due || self.depth == MAX_DEPTH {
                return Err(Malformed);
            }
            self.depth += 1;
            self.objects = self.objects << 1 | u128::from(is_object);
            (self.turn, self.is_empty) = (0, true);
            return Ok(());
        }
        let is_complete = self.is_empty
            || if stands_in_object { self.turn == BEHIND } else { !self.turn.is_multiple_of(2) };
        if self.depth == 0 || !is_complete || is_object != stands_in_object {
            return Err(Malformed);
        }
        self.depth -= 1;
        self.objects >>= 1;
        if self.depth == 0 {
            self.found.end = at.saturating_add(1);
        }
        // It was a value.
        (self.turn, self.is_empty) = (BEHIND, false);
        Ok(())
    }
}

/// Reads those scalars that have one of these bytes, and begin at one of those bits or before the block.
#[inline(never)]
fn check_scalars(text: &[u8], mut others: u64, begins: u64, at: usize) -> Scanned {
    while others != 0 {
        let other = others.trailing_zeros();
        let before = begins & (u64::MAX >> (LAST_BIT - other));
        let start = if before == 0 {
            let earlier = text.get(..at).unwrap_or_default().iter().rev();
            at.saturating_sub(earlier.take_while(|byte| is_of_scalar(**byte)).count())
        } else {
            at.saturating_add(last_bit(before))
        };
        let rest = text.get(start..).unwrap_or_default();
        let len = scalar_len(rest)?;
        if rest.get(len).copied().is_some_and(is_of_scalar) {
            return Err(Malformed);
        }
        // The others that it has are right.
        let end = start.saturating_add(len).saturating_sub(at);
        others &= if end < BLOCK { u64::MAX << end } else { 0 };
    }
    Ok(())
}

/// Where the value of the field begins, with the colon before it, if one of these tokens that are names is its.
#[inline(never)]
fn value_of(field: &str, text: &[u8], (mut tokens, mut names): (u64, u64), at: usize) -> Option<usize> {
    let mut found = None;
    while tokens != 0 {
        let inside = at.saturating_add(tokens.trailing_zeros() as usize).saturating_add(1);
        if names & 1 == 1
            && text.get(inside..).is_some_and(|rest| rest.starts_with(field.as_bytes()))
            && let Ok(end) = strings::end_with(text, inside, Specials::find)
            && end.saturating_sub(inside) == field.len()
        {
            found = Some(end.saturating_add(1));
        }
        tokens &= tokens - 1;
        names >>= 1;
    }
    found
}

/// Whether one of these control characters ends a line. They are white space.
#[inline(never)]
fn breaks(text: &[u8], mut controls: u64, at: usize) -> Scanned<bool> {
    let mut has_breaks = false;
    while controls != 0 {
        match text.get(at.saturating_add(controls.trailing_zeros() as usize)) {
            Some(b'\n' | b'\r') => has_breaks = true,
            Some(b'\t') => {}
            _ => return Err(Malformed),
        }
        controls &= controls - 1;
    }
    Ok(has_breaks)
}

/// The length of a number or a literal at the front of a text.
fn scalar_len(text: &[u8]) -> Scanned<usize> {
    let literals: [&[u8]; 3] = [b"true", b"false", b"null"];
    if let Some(literal) = literals.into_iter().find(|literal| text.starts_with(literal)) {
        return Ok(literal.len());
    }
    let byte = |at: usize| text.get(at).copied();
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { Err(Malformed) } else { Ok(from.saturating_add(count)) }
    };
    let start = usize::from(byte(0) == Some(b'-'));
    let mut at = if byte(start) == Some(b'0') { start.saturating_add(1) } else { digits(start)? };
    if byte(at) == Some(b'.') {
        at = digits(at.saturating_add(1))?;
    }
    if matches!(byte(at), Some(b'e' | b'E')) {
        at = at.saturating_add(1);
        at = digits(at.saturating_add(usize::from(matches!(byte(at), Some(b'+' | b'-')))))?;
    }
    Ok(at)
}

const fn is_of_scalar(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'"' | b':' | b',' | b'{' | b'}' | b'[' | b']')
}

/// The last bit in the place of all.
#[expect(clippy::inline_always, reason = "as in `JsonScan::run`")]
#[inline(always)]
const fn last_bit_for_all(bits: u64) -> u64 {
    (bits.cast_signed() >> LAST_BIT).cast_unsigned()
}

/// The place of the last bit that is set.
#[expect(clippy::inline_always, reason = "as in `JsonScan::run`")]
#[inline(always)]
const fn last_bit(bits: u64) -> usize {
    LAST_BIT.saturating_sub(bits.leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The walk and serde must agree on whether `text` is one JSON object, wherever in a block it stands.
    #[track_caller]
    fn check(text: &str) {
        let is_object = text.starts_with('{') && serde_json::from_str::<Value>(text).is_ok();
        assert_eq!(survey(text.as_bytes(), None).is_ok(), is_object, "{text:?}");
    }

    /// The same at each place of a block, as the value of a field.
    #[track_caller]
    fn check_value(value: &str) {
        for pad in 0..70 {
            check(&format!("{{\"{}\":{value}}}", "x".repeat(pad)));
        }
        check(&format!("{{\"a\" : {value}\t,\r\n\"b\":[{value},{value} ]}} "));
        check(&format!("{{\"a\":{{\"b\":{value}}}}}"));
    }

    /// Of which some are JSON.
    const VALUES: &[&str] = &[
        "{}",
        "[]",
        "[1,2]",
        "[1 2]",
        "[1,]",
        "[,1]",
        "[,]",
        "{,}",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":}"#,
        r#"{"a"}"#,
        r#"{"a","b":1}"#,
        r#"{"a":1:2}"#,
        r#"{"a":1 "b":2}"#,
        r"{:1}",
        r"{1:2}",
        r"{[]:1}",
        r#"{"a":[1:2]}"#,
        "[\"a\":1]",
        "",
        " ",
        "{",
        "[",
        "-",
        "-0",
        "-01",
        "0",
        "00",
        "01",
        "10",
        "0.5",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e+5",
        "1E-0",
        "+1",
        "1-2",
        "1.2.3",
        "tru",
        "true",
        "truefalse",
        "true false",
        "nul",
        "null",
        "nulll",
        "x",
        "\u{e9}",
        "@",
        "1,2",
        "[1}",
        "{\"a\":1]",
        r#""a"#,
        r#""a" "b""#,
        r#""a"1"#,
        r#"1"a""#,
        r#""\x""#,
        r#""\u12""#,
        r#""\u00e9""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\\""#,
        r#""\""#,
        r#""\\\"""#,
        r#"\"a\""#,
        r#""a"\"#,
        "\"\u{1}\"",
        "\"tab\there\"",
        "\u{1}",
        "\u{c}",
        r#" { "a" : [ null , { } ] } "#,
        "[[[[]]]]",
        "[[[[]]]",
        "[[[[]]]]]",
        "]",
        "}",
        "}{",
        "{}{}",
        "[]1",
        "{} ,",
        r#""é中😀""#,
        "1234567890123456789012345678901234567890123456789012345678901234567890",
        "0234567890123456789012345678901234567890123456789012345678901234567890",
    ];

    #[test]
    fn the_grammar_is_json() {
        for value in VALUES {
            check_value(value);
            check(value);
        }
        for depth in 120..135 {
            let arrays = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            check(&arrays);
            check(&objects);
        }
        check(&"{\"a\":[".repeat(500));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (0..3_u8).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\\\\"/a\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\é]{0,4}", inner, 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn objects() -> impl Strategy<Value = String> {
        (prop::collection::btree_map("[a-z\"\\\\]{0,3}", values(), 0..8), any::<bool>()).prop_map(
            |(fields, pretty)| {
                let value = Value::Object(fields.into_iter().collect());
                if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }
                    .unwrap()
            },
        )
    }

    /// serde refuses numbers that no float can hold; as text they are JSON.
    fn is_too_large(text: &str) -> bool {
        matches!(serde_json::from_str::<Value>(text), Err(error) if error.to_string().contains("out of range"))
    }

    proptest! {
        #[test]
        fn every_object_is_read_whole(text in objects()) {
            let found = survey(text.as_bytes(), None).unwrap();
            prop_assert_eq!(found.has_breaks, text.contains('\n'));
            prop_assert_eq!(found.has_beyond, !text.is_ascii());
        }

        #[test]
        fn damaged_text_is_judged_as_serde_does(text in objects(), at: prop::sample::Index, to in prop_oneof![any::<char>(), prop::sample::select("{}[]:,\"\\ 0\n1-.t".chars().collect::<Vec<_>>())], how in 0..3) {
            let mut chars: Vec<char> = text.chars().collect();
            let place = at.index(chars.len());
            match how {
                0 => chars[place] = to,
                1 => chars.insert(place, to),
                _ => drop(chars.remove(place)),
            }
            let damaged: String = chars.into_iter().collect();
            prop_assume!(!is_too_large(&damaged));
            check(&damaged);
        }

        #[test]
        fn text_of_signs_is_judged_as_serde_does(signs in prop::collection::vec(prop::sample::select(vec!["{", "}", "[", "]", ":", ",", "\"a\"", "\"\\\"\"", "1", "0", "-", "true", " ", "\n", "\"a\":", "\"b\":1,"]), 0..40)) {
            let text = format!("{{{}", signs.concat());
            prop_assume!(!is_too_large(&text));
            check(&text);
            check(&format!("{text}}}"));
            check(&format!("{{\"a\":[{}]}}", signs.concat()));
        }

        #[test]
        fn an_object_is_read_whatever_stands_behind_it(text in objects(), behind in "[ \\]},:\"\\\\0-9a-z{\\[\x01é]{0,80}") {
            let all = format!("{text}{behind}");
            if let Ok(found) = survey_front(all.as_bytes(), ["a", "b"]) {
                prop_assert_eq!(found.end, text.len());
                let [of_a, of_b] = ["a", "b"].map(|name| survey(text.as_bytes(), Some(name)).unwrap().fields[0]);
                prop_assert_eq!(found.fields, [of_a, of_b]);
            }
            let known = format!("{text}, {{\"a\":1}}, {text}]}}");
            prop_assert_eq!(survey_front(known.as_bytes(), ["a", "b"]).unwrap().end, text.len());
        }

        #[test]
        fn what_is_no_object_is_none_whatever_stands_behind_it(text in objects(), at: prop::sample::Index, to in prop::sample::select("{}[]:,\"\\ 0\n1-.t".chars().collect::<Vec<_>>())) {
            let mut chars: Vec<char> = text.chars().collect();
            *at.get_mut(&mut chars) = to;
            let damaged: String = chars.into_iter().collect();
            if let Ok(found) = survey_front(damaged.as_bytes(), ["a", "b"]) {
                let front = &damaged[..found.end];
                prop_assert!(is_too_large(front) || serde_json::from_str::<Value>(front).is_ok_and(|front| front.is_object()), "{}", front);
            }
        }

        #[test]
        fn a_field_is_found_at_the_top_alone(text in objects(), name in "[a-z\"\\\\]{0,2}") {
            let value: Value = serde_json::from_str(&text).unwrap();
            let quoted = serde_json::to_string(&name).unwrap();
            let inside = quoted.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap();
            let found = survey(text.as_bytes(), Some(inside)).unwrap().fields[0];
            let read = found.map(|at| {
                let rest = text.get(at..).unwrap().trim_start().strip_prefix(':').unwrap();
                serde_json::Deserializer::from_str(rest).into_iter::<Value>().next().unwrap().unwrap()
            });
            prop_assert_eq!(read.as_ref(), value.get(&name));
        }
    }
}
