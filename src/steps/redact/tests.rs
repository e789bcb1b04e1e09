//! Tests of redaction.

use proptest::prelude::*;
use regex::bytes::Regex;

use super::finders::Finder;
use super::hits::Hit;
use super::redactor::{RedactScratch, Redactor};
use super::scan::{Candidates, PatternSet};
use crate::config::{NamedPattern, OwnPattern, Redaction, ReplaceWith, Secret};
use crate::event::Message;

fn all(with: ReplaceWith) -> Redaction {
    let key = Some(Secret::new("a key of hashes".to_owned()));
    Redaction { named: NamedPattern::ALL.to_vec(), with, patterns: Vec::new(), key }
}

fn own(patterns: &[(&str, &str, ReplaceWith)]) -> Redaction {
    let pattern = |(name, regex, with): &(&str, &str, ReplaceWith)| OwnPattern {
        name: (*name).into(),
        regex: Regex::new(regex).unwrap(),
        least: 1,
        with: *with,
    };
    Redaction { patterns: patterns.iter().map(pattern).collect(), ..Redaction::default() }
}

fn redacted(redaction: &Redaction, message: &str) -> String {
    let redactor = Redactor::new(redaction).unwrap().unwrap();
    let mut scratch = RedactScratch::default();
    let found = redactor.raw(message.as_bytes(), &mut scratch);
    found.map_or_else(|| message.to_owned(), |bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// Redacts the inside of a JSON string, and reads the result.
fn redacted_inside(redaction: &Redaction, inside: &str) -> String {
    let redactor = Redactor::new(redaction).unwrap().unwrap();
    let mut scratch = RedactScratch::default();
    let found = redactor.message(Message::Escaped(inside), &mut scratch).unwrap_or(Message::Escaped(inside));
    let Message::Escaped(inside) = found else { panic!("it is text no more: {found:?}") };
    serde_json::from_str(&format!("\"{inside}\"")).unwrap()
}

fn escaped(message: &str) -> String {
    let quoted = serde_json::to_string(message).unwrap();
    quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')).unwrap().to_owned()
}

/// Every character as a `\u`.
fn escaped_throughout(message: &str) -> String {
    message.encode_utf16().fold(String::new(), |inside, unit| inside + &format!("\\u{unit:04x}"))
}

#[track_caller]
fn check(message: &str, expected: &str) {
    let redaction = all(ReplaceWith::Text);
    assert_eq!(redacted(&redaction, message), expected);
    assert_eq!(redacted_inside(&redaction, &escaped(message)), expected, "in an envelope");
    assert_eq!(redacted_inside(&redaction, &escaped_throughout(message)), expected, "escaped throughout");
    let slashes = escaped(message).replace('/', "\\/");
    assert_eq!(redacted_inside(&redaction, &slashes), expected, "with its slashes escaped");
}

#[test]
fn ids_and_secrets_of_aws_keys_are_found() {
    check("key AKIAIOSFODNN7EXAMPLE used", "key [aws_key] used");
    check("ASIAIOSFODNN7EXAMPLE,AKIAIOSFODNN7EXAMPLE", "[aws_key],[aws_key]");
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    check(&format!("aws_secret_access_key = {secret}"), "aws_secret_access_key = [aws_key]");
    check(&format!("{{\"SecretAccessKey\":\"{secret}\"}}"), "{\"SecretAccessKey\":\"[aws_key]\"}");
    check("XAKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLES", "XAKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLES");
    check(secret, secret);
    check("the secret: none of forty letters", "the secret: none of forty letters");
}

#[test]
fn bearer_tokens_are_found() {
    check("Authorization: Bearer abc.DEF-123_~+/==", "Authorization: Bearer [bearer]");
    check("{\"h\":\"bearer\teyJh.x.y\"}", "{\"h\":\"bearer\t[bearer]\"}");
    check("BEARER  0123456", "BEARER  [bearer]");
    check("the bearer of it", "the bearer of it");
}

#[test]
fn cards_are_found_by_their_check_digit() {
    check("paid with 4111111111111111.", "paid with [card].");
    check("4111 1111 1111 1111 and 3782-822463-10005", "[card] and [card]");
    check("x=5555-5555-5555-4444;6011000990139424", "x=[card];[card]");
    check("12 4111 1111 1111 1111 34", "12 [card] 34");
    check("4222222222222", "[card]");
    check("2223003122003222", "[card]");
    check("4111111111111112", "4111111111111112");
    check("41111111111111111111", "41111111111111111111");
    check("1764475200000 2026-11-30 12:00:00", "1764475200000 2026-11-30 12:00:00");
    check("took 0.4111111111111111 s", "took 0.4111111111111111 s");
}

#[test]
fn addresses_of_mail_are_found() {
    check("from bob@example.com to <o'brien+x@mail.example.co.uk>", "from [email] to <[email]>");
    check("user=bob@example.com&x", "user=[email]&x");
    check("josé@exämple.de, 'a.b@c.org'.", "[email], '[email]'.");
    check("git@host @home a@b a@b.1 @@", "git@host @home a@b a@b.1 @@");
    check("bob@example.com.", "[email].");
}

#[test]
fn addresses_of_the_internet_are_found() {
    check("10.0.0.1:80 -> 192.168.255.3.", "[ipv4]:80 -> [ipv4].");
    check("peer=8.8.8.8,8.8.4.4", "peer=[ipv4],[ipv4]");
    check("version 1.2.3, 1.2.3.4.5, 300.1.1.1, 1.5", "version 1.2.3, 1.2.3.4.5, 300.1.1.1, 1.5");
    check("from 2001:db8::8a2e:370:7334 [::1]:443", "from [ipv6] [[ipv6]]:443");
    check("fe80::1%eth0 2001:db8:0:0:0:0:0:1", "[ipv6]%eth0 [ipv6]");
    check("addr:2001:db8::1: ::ffff:10.0.0.1", "addr:[ipv6]: [ipv6]");
    check("2001:db8:0:0:0:0:0:1:8443", "[ipv6]:8443");
    check("12:34:56 std::vector a:b 00:1b:44:11:3a:b7", "12:34:56 std::vector a:b 00:1b:44:11:3a:b7");
}

#[test]
fn credentials_of_the_basic_scheme_are_found() {
    check("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [basic]");
    check("{\"h\":\"basic\tYTpi\"}", "{\"h\":\"basic\t[basic]\"}");
    check("proxy-authorization: BASIC  YWxhZGRpbjpvcGVuc2VzYW1l==", "proxy-authorization: BASIC  [basic]");
    check("basic functionality of basic Ym9i, basic", "basic functionality of basic Ym9i, basic");
}

#[test]
fn web_tokens_are_found() {
    let header = "eyJhbGciOiJIUzI1NiJ9";
    check(&format!("t={header}.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_w;"), "t=[jwt];");
    check(&format!("{header}.eyJzdWIiOiIxIn0. {header}.eyJzdWIiOiIxIn0.x"), "[jwt] [jwt]");
    check(&format!("encrypted {header}.a.b.c.d.e"), "encrypted [jwt].e");
    check(&format!("Bearer {header}.eyJzdWIiOiIxIn0.x"), "Bearer [bearer]");
    let others = format!("{header} {header}.a {header}..b x{header}.a.b eyJ.a.b keyJust.one.two");
    check(&others, &others);
}

#[test]
fn what_is_given_to_the_name_of_a_password_is_found() {
    check("user=bob password=hunter2 x", "user=bob password=[password] x");
    check("{\"password\":\"hun,ter 2\",\"n\":1}", "{\"password\":\"[password]\",\"n\":1}");
    check("{\"password\":\"hun\\\"ter2\",\"n\":1}", "{\"password\":\"[password]\",\"n\":1}");
    check("{\"password\":1234}", "{\"password\":[password]}");
    check("DB_PASSWORD: 's3cret'; passwd = abc&d=e", "DB_PASSWORD: '[password]'; passwd = [password]&d=e");
    check("userPassphrase => `a b c`.", "userPassphrase => `[password]`.");
    check("?password=a%20b&passwordHash=ff", "?password=[password]&passwordHash=[password]");
    check("password=passwd=password=x", "password=[password]");
    check("password=\"open and no end", "password=\"[password] and no end");
    let others = "password for bob; password: null, {\"password\":true} passwords={} the password. password=\"\" pass=x";
    check(others, others);
}

#[test]
fn passwords_in_urls_are_found() {
    check("postgres://bob:hunter2@db/orders", "postgres://bob:[url_password]@db/orders");
    check("'https://x:p:w%40@10.0.0.1:80'", "'https://x:[url_password]@[ipv4]:80'");
    check("redis://:p4ss@cache", "redis://:[url_password]@cache");
    let others = "https://bob@host git@host:x a:b@c https://host/a:b@c http://host:80/";
    check(others, others);
}

#[test]
fn a_line_full_of_what_begins_secrets_is_looked_at_once() {
    // Looked at anew for each of them, these would be 10 to 100 GB.
    for (part, count) in [
        ("secret", 1 << 17),
        ("bearer", 1 << 17),
        ("bearer ", 1 << 17),
        ("password", 1 << 17),
        ("password=", 1 << 17),
        ("password=\"", 1 << 16),
        ("password='password=\"password=`", 1 << 15),
        ("eyJ", 1 << 18),
        ("eyJhbGciOiJI.", 1 << 16),
        ("https://a:", 1 << 16),
        ("@", 1 << 19),
        ("1.2.", 1 << 18),
        ("1:", 1 << 18),
        ("::", 1 << 18),
        ("4 ", 1 << 18),
        ("4", 1 << 19),
    ] {
        let redacted = redacted(&all(ReplaceWith::Text), &part.repeat(count));
        assert!(!redacted.is_empty());
    }
}

#[test]
fn what_stands_at_the_border_of_two_blocks_is_found() {
    for (secret, name) in [
        ("AKIAIOSFODNN7EXAMPLE", "[aws_key]"),
        ("4111 1111 1111 1111", "[card]"),
        ("4222222222222", "[card]"),
        ("bob@example.com", "[email]"),
        ("10.0.0.1", "[ipv4]"),
        ("2001:db8::1", "[ipv6]"),
        ("2001:db8:0:0:0:0:0:1", "[ipv6]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", "[jwt]"),
    ] {
        for before in 0..130 {
            for after in [0, 1, 200] {
                let (before, after) =
                    ("x ".repeat(before / 2) + &"-".repeat(before % 2 * 3) + "|", ";y".repeat(after));
                let redacted = redacted(&all(ReplaceWith::Text), &format!("{before}{secret}{after}"));
                assert_eq!(redacted, format!("{before}{name}{after}"));
            }
        }
    }
    for before in 0..130 {
        let before = "x".repeat(before);
        for (name, secret, expected) in [
            (" Bearer ", "abcd", "[bearer]"),
            (" Basic ", "dXNlcjpwYXNz", "[basic]"),
            (" secret=", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "[aws_key]"),
            (" password=", "hunter2", "[password]"),
            (" ftp://a:", "b@c", "[url_password]@c"),
        ] {
            let redacted = redacted(&all(ReplaceWith::Text), &format!("{before}{name}{secret}"));
            assert_eq!(redacted, format!("{before}{name}{expected}"));
        }
    }
}

#[test]
fn a_match_is_replaced_by_its_name_by_asterisks_or_by_a_keyed_hash() {
    assert_eq!(redacted(&all(ReplaceWith::Mask), "a bob@example.com b"), "a *************** b");
    assert_eq!(redacted(&all(ReplaceWith::Mask), "josé@example.com"), "****************");
    assert_eq!(redacted_inside(&all(ReplaceWith::Mask), "jos\\u00e9@example.com"), "****************");
    let hashes = redacted(&all(ReplaceWith::Hash), "bob@example.com eve@example.com bob@example.com");
    let hashes: Vec<&str> = hashes.split(' ').collect();
    assert_eq!((hashes[0], hashes[0].len()), (hashes[2], "[email:0123456789abcdef]".len()));
    assert_ne!(hashes[0], hashes[1]);
    let inside = redacted_inside(&all(ReplaceWith::Hash), "bob\\u0040example.com");
    assert_eq!(inside, hashes[0], "equal in an envelope");
    let other = Redaction { key: Some(Secret::new("another".to_owned())), ..all(ReplaceWith::Hash) };
    assert_ne!(redacted(&other, "bob@example.com"), hashes[0], "the key matters");
}

#[test]
fn patterns_of_ones_own_are_found_with_their_borders() {
    let redaction = own(&[
        ("national-id", r"\b\d{3}-\d{2}-\d{4}\b", ReplaceWith::Text),
        ("user", r"^user \w+", ReplaceWith::Mask),
    ]);
    assert_eq!(redacted(&redaction, "user bob 123-45-6789 user eve"), "******** [national-id] user eve");
    // An escape before it is not a letter of it.
    assert_eq!(redacted_inside(&redaction, "a\\n123-45-6789\\tb"), "a\n[national-id]\tb");
    let overlapping = own(&[("a", "bcd", ReplaceWith::Text), ("b", "abc", ReplaceWith::Text)]);
    assert_eq!(redacted(&overlapping, "xabcdx"), "x[b]x", "no byte of either is left");
}

#[test]
fn a_pattern_that_looks_far_for_each_match_ends_soon() {
    // For each letter it looks to the end of the text for the digit.
    let redaction = own(&[("slow", "[a-z]+[0-9]|[a-z]", ReplaceWith::Mask)]);
    let text = "a".repeat(1 << 20);
    let masked = redacted(&redaction, &text);
    assert!(masked.bytes().all(|byte| byte == b'*'), "nothing is left");
}

#[test]
fn lines_are_redacted_line_by_line() {
    let redaction = Redaction {
        patterns: own(&[("first", "^a[^x]*", ReplaceWith::Text)]).patterns,
        ..all(ReplaceWith::Text)
    };
    let redactor = Redactor::new(&redaction).unwrap().unwrap();
    let mut scratch = RedactScratch::default();
    let lines = b"abc\nbabc\n\nbob@example.com 10.0.0.1\n4111 1111\n1111 1111\nan x\n";
    let redacted = redactor.lines(lines, &mut scratch).unwrap();
    let expected = "[first]\nbabc\n\n[email] [ipv4]\n4111 1111\n1111 1111\n[first]x\n";
    assert_eq!(String::from_utf8_lossy(redacted), expected);
    let counts = redactor.take_counts(&mut scratch);
    let counts: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (&**name, *count)).collect();
    assert_eq!(counts, [("email", 1), ("ipv4", 1), ("first", 2)]);
    assert!(redactor.lines(b"nothing\n", &mut scratch).is_none());
    assert!(redactor.take_counts(&mut scratch).is_empty());
}

#[test]
fn what_is_escaped_in_raw_json_is_found_and_it_stays_json() {
    let redaction = Redaction {
        patterns: own(&[
            ("id", r"\b\d{3}-\d{2}-\d{4}\b", ReplaceWith::Text),
            ("path", r"/srv/\w+", ReplaceWith::Text),
        ])
        .patterns,
        ..all(ReplaceWith::Text)
    };
    let redactor = Redactor::new(&redaction).unwrap().unwrap();
    let secret = "wJalrXUtnFEMI\\/K7MDENG\\/bPxRfiCYEXAMPLEKEY";
    let lines = [
        (r#"{"m":"ids:\n123-45-6789"}"#.to_owned(), r#"{"m":"ids:\n[id]"}"#),
        (r#"{"m":"bob\u0040example.com"}"#.to_owned(), r#"{"m":"[email]"}"#),
        (r#"{"m":"hi\nbob@example.com\t"}"#.to_owned(), r#"{"m":"hi\n[email]\t"}"#),
        (r#"{"m":"\/srv\/eve is"}"#.to_owned(), r#"{"m":"[path] is"}"#),
        (format!(r#"{{"secret":"{secret}"}}"#), r#"{"secret":"[aws_key]"}"#),
        (r#"{"m":"{\"n\":\"ids:\\n123-45-6789\"}"}"#.to_owned(), r#"{"m":"{\"n\":\"ids:\\n[id]\"}"}"#),
        (r#"{"m":"{\"n\":\"hi\\nbob@example.com\"}"}"#.to_owned(), r#"{"m":"{\"n\":\"hi\\n[email]\"}"}"#),
        (r"plain\to bob@example.com".to_owned(), r"plain\to [email]"),
        ("plain bob@example.com".to_owned(), "plain [email]"),
        (r#"{"m":"no\nthing"}"#.to_owned(), r#"{"m":"no\nthing"}"#),
    ];
    for (line, expected) in &lines {
        assert_eq!(redacted(&redaction, line), *expected);
        assert_eq!(redacted_inside(&redaction, &escaped(line)), *expected, "in an envelope");
    }
    for end in ["", "\n"] {
        let run = lines.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>().join("\n") + end;
        let expected = lines.each_ref().map(|(_, expected)| *expected).join("\n") + end;
        let mut scratch = RedactScratch::default();
        let found = redactor.lines(run.as_bytes(), &mut scratch).unwrap();
        assert_eq!(String::from_utf8_lossy(found), expected);
    }
}

#[test]
fn a_long_message_full_of_escapes_is_redacted_throughout() {
    let redactor = Redactor::new(&all(ReplaceWith::Text)).unwrap().unwrap();
    let mut scratch = RedactScratch::default();
    let inside = "\\n\\tbob@example.com".repeat(100_000);
    let found = redactor.escaped(inside.as_bytes(), &mut scratch).unwrap();
    assert!(found == "\\n\\t[email]".repeat(100_000).as_bytes());
}

#[test]
fn a_match_within_a_long_word_is_found_wherever_the_word_is_cut() {
    let redaction = own(&[("id", r"\d{3}-\d{2}-\d{4}", ReplaceWith::Text)]);
    for before in (16 << 10) - 12..(16 << 10) + 2 {
        for words in ["", "x "] {
            let (before, after) = (format!("{words}{}", "x".repeat(before)), "y".repeat(40_000));
            let text = format!("{before}123-45-6789{after}");
            assert_eq!(redacted(&redaction, &text), format!("{before}[id]{after}"));
        }
    }
}

/// What becomes of an undecodable payload.
fn letter(reason: &str, payload: &[u8]) -> String {
    let redactor = Redactor::new(&all(ReplaceWith::Text)).unwrap().unwrap();
    let mut scratch = RedactScratch::default();
    let letter = super::payload::redacted(&redactor, reason, payload, &mut scratch);
    String::from_utf8_lossy(&letter).into_owned()
}

#[test]
fn what_cannot_be_opened_is_withheld_wherever_it_begins() {
    let in_base64 = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes).into_bytes();
    let gzip = b"\x1f\x8b\x08\x00bob@example.com";
    let mark = "\u{feff}".as_bytes();
    for (reason, payload) in [
        ("gzip", b"\x92\xa3app\xc4\x20bob@example.com".to_vec()),
        ("zstd", b"bob@example.com".to_vec()),
        ("too_large", [b"\x92\xa3app\xc4\x20".as_slice(), gzip].concat()),
        ("forward", [b"\xdc\x00\x02\xa3app\xc4\x20\x28\xb5\x2f\xfd".as_slice(), b"bob@example.com"].concat()),
        ("format", in_base64(gzip)),
        ("format", [mark, &in_base64(gzip)].concat()),
        ("format", [mark, gzip].concat()),
        ("format", in_base64(b"\xff\xfebob@example.com")),
    ] {
        let letter = letter(reason, &payload);
        assert!(letter.starts_with("[withheld: ") && !letter.contains("bob"), "{reason}: {letter}");
    }
}

#[test]
fn what_is_refused_in_base64_is_redacted_as_text() {
    let in_base64 = |text: &str| base64_simd::STANDARD.encode_to_string(text);
    let mail = in_base64("from bob@example.com to");
    assert_eq!(letter("format", mail.as_bytes()), "from [email] to");
    assert_eq!(letter("format", format!("\u{feff}{mail}\n").as_bytes()), "from [email] to");
    assert_eq!(letter("format", format!("{mail}\n{mail}").as_bytes()), "from [email] tofrom [email] to");
    assert_eq!(letter("format", in_base64(&mail).as_bytes()), "from [email] to", "twice");
    let nothing = in_base64("nothing to be found");
    assert_eq!(letter("format", nothing.as_bytes()), nothing);
    assert_eq!(letter("format", b"some words of a text"), "some words of a text");
}

/// Text of what may and may not be found, at every place of a block.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ -~]{0,8}",
        "[0-9 .:-]{0,30}",
        "[a-f0-9:]{0,40}",
        " {0,70}",
        Just("\n".to_owned()),
        Just("\t\"\\/é😀".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("bob@example.com".to_owned()),
        Just("Bearer abc.def".to_owned()),
        Just("AKIAIOSFODNN7EXAMPLE".to_owned()),
        Just("secret: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("2001:db8:0:0:0:0:0:1".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("std::a::b".to_owned()),
        Just("Basic YTpi".to_owned()),
        Just("password: \"x y\"".to_owned()),
        Just("passwd=x".to_owned()),
        Just("ftp://a:b@c".to_owned()),
        Just("eyJhbGciOiJIUzI1NiJ9.e30.x".to_owned()),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// What is found by looking at every place, and at each line by itself.
fn model(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut at = 0;
    for line in text.as_bytes().split_inclusive(|byte| *byte == b'\n') {
        let mut finder = Finder::new(line, PatternSet::of(&NamedPattern::ALL));
        for block in (0..line.len()).step_by(64) {
            finder.look(block, &Candidates::EVERYWHERE, &mut |pattern, range| {
                let rule = NamedPattern::ALL.iter().position(|named| *named == pattern).unwrap();
                hits.push(Hit { start: at + range.start, end: at + range.end, rule });
            });
        }
        at += line.len();
    }
    super::hits::join(&mut hits);
    hits
}

proptest! {
    #[test]
    fn no_match_lacks_the_mark_that_is_looked_for_first(text in texts()) {
        // Escapes are another matter.
        let text = text.replace('\\', "|");
        let mut expected = Vec::new();
        let mut at = 0;
        for hit in model(&text) {
            expected.extend_from_slice(&text.as_bytes()[at..hit.start]);
            expected.extend_from_slice(format!("[{}]", NamedPattern::ALL[hit.rule].name()).as_bytes());
            at = hit.end;
        }
        expected.extend_from_slice(&text.as_bytes()[at..]);
        prop_assert_eq!(redacted(&all(ReplaceWith::Text), &text).into_bytes(), expected);
    }

    #[test]
    fn escaped_text_is_redacted_as_plain_text_is(text in texts(), some in any::<u64>()) {
        let patterns = own(&[("word", r"(?m)^\w{3,}|[0-9]\s", ReplaceWith::Mask)]).patterns;
        for redaction in [all(ReplaceWith::Text), Redaction { patterns, ..all(ReplaceWith::Hash) }] {
            let expected = redacted(&redaction, &text);
            prop_assert_eq!(&redacted_inside(&redaction, &escaped(&text)), &expected);
            let mixed: String = text.chars().enumerate().map(|(at, c)| {
                let c = c.to_string();
                if some >> (at % 64) & 1 == 1 { escaped_throughout(&c) } else { escaped(&c) }
            }).collect();
            prop_assert_eq!(&redacted_inside(&redaction, &mixed), &expected);
        }
    }

    #[test]
    fn any_bytes_become_at_most_so_many_times_as_long(bytes in prop::collection::vec(any::<u8>(), 0..400), text in texts()) {
        for bytes in [&bytes[..], text.as_bytes()] {
            for with in [ReplaceWith::Text, ReplaceWith::Mask, ReplaceWith::Hash] {
                let redactor = Redactor::new(&all(with)).unwrap().unwrap();
                let mut scratch = RedactScratch::default();
                let len = redactor.raw(bytes, &mut scratch).map_or(bytes.len(), <[u8]>::len);
                prop_assert!(len <= bytes.len().max(1) * redactor.growth());
            }
        }
    }
}
