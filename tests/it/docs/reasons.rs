//! Every reason that the code counts, holds or gives up by is explained on a page.

use std::collections::{BTreeMap, BTreeSet};

use super::{found, pages};
use crate::tidy::tokens::{Kind, Token, skip};
use crate::tidy::{EVERYTHING, source::Source};

/// Functions that take a reason.
const TAKE_A_REASON: [&str; 10] = [
    "buffer_error",
    "corrupt",
    "dead_letter",
    "dropped",
    "error",
    "fail",
    "lost",
    "trouble",
    "undecodable",
    "unfit",
];

#[test]
fn every_reason_is_on_a_page() {
    let daemon = EVERYTHING.production().filter(|source| {
        // These have readers of their own.
        !source.path.starts_with("src/cli/") && !source.path.starts_with("src/access/")
    });
    let reasons: BTreeMap<String, String> = daemon.flat_map(reasons).collect();
    assert!(reasons.len() > 40, "reasons are found: {reasons:?}");
    let text: String = pages().into_iter().map(|(_, text)| text).collect();
    let mut named = found(r"`([a-z_]+)`", &text);
    named.extend(found(r#"reason=~?"([a-z_]+)""#, &text));
    let silent: Vec<_> = reasons.iter().filter(|(reason, _)| !named.contains(*reason)).collect();
    assert!(silent.is_empty(), "no page says what these mean: {silent:#?}");
}

/// Each with the place where it is given.
fn reasons(source: &Source) -> Vec<(String, String)> {
    let tokens = &source.tokens;
    let mut found: Vec<&Token> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let follows = |text| tokens.get(at + 1).is_some_and(|next| next.is(text));
        let is_name = token.kind == Kind::Word;
        if is_name && follows("(") && TAKE_A_REASON.iter().any(|name| token.is(name)) {
            let arguments = elements(tokens, at + 1);
            found.extend(arguments.into_iter().filter(|argument| argument.len() == 1).flatten());
        }
        if token.is("Err") && follows("(") && source.path.starts_with("src/decode/") {
            found.extend(tokens.get(at + 2));
        }
        if token.is("reason") && follows(":") {
            found.extend(tokens.get(at + 2));
        }
        if token.is("fn") && follows("reason") {
            let open = (at..tokens.len()).find(|at| tokens[*at].is("{")).unwrap();
            found.extend(&tokens[open..skip(tokens, open)]);
        }
        if token.is("let") {
            found.extend(bound(&tokens[at + 1..]));
        }
    }
    let told = found.into_iter().filter_map(|token| {
        let text = literal(&source.tokens, token)?;
        Some((text, format!("{}:{}", source.path, token.line)))
    });
    told.collect()
}

/// What `let reason = …;` or `let (…, reason, …) = …;` may take for it.
fn bound(tokens: &[Token]) -> Vec<&Token> {
    let end = (0..tokens.len()).scan(0, |at, _| {
        let here = *at;
        *at = skip(tokens, here);
        (here < tokens.len()).then_some(here)
    });
    let end = end.into_iter().find(|at| tokens[*at].is(";")).unwrap_or(tokens.len());
    let tokens = &tokens[..end];
    let Some(first) = tokens.first() else { return Vec::new() };
    if first.is("reason") {
        return tokens.iter().filter(|token| token.kind == Kind::Literal).collect();
    }
    let elements = if first.is("(") { elements(tokens, 0) } else { Vec::new() };
    let Some(place) = elements.iter().position(|element| element.len() == 1 && element[0].is("reason"))
    else {
        return Vec::new();
    };
    let tuples = (1..tokens.len()).filter(|at| tokens[*at].is("(")).map(|at| self::elements(tokens, at));
    let same = tuples.filter(|tuple| tuple.len() == elements.len());
    same.filter_map(|tuple| tuple.get(place).filter(|element| element.len() == 1).map(|element| &element[0]))
        .collect()
}

/// What stands between the commas of the group that opens at `at`.
fn elements(tokens: &[Token], at: usize) -> Vec<&[Token]> {
    let close = skip(tokens, at).saturating_sub(1);
    let mut elements = Vec::new();
    let (mut begin, mut at) = (at + 1, at + 1);
    while at < close {
        if tokens[at].is(",") {
            elements.push(&tokens[begin..at]);
            begin = at + 1;
        }
        at = skip(tokens, at);
    }
    if begin < close {
        elements.push(&tokens[begin..close]);
    }
    elements
}

/// A reason by itself, or by the constant that holds it.
fn literal(tokens: &[Token], token: &Token) -> Option<String> {
    let is_reason = |text: &str| {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let is_word =
            |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        inner.filter(is_word).map(str::to_owned)
    };
    match token.kind {
        Kind::Literal => is_reason(&token.text),
        Kind::Word => {
            let is_it = |at: &usize| {
                tokens[*at].is("const") && tokens.get(at + 1).is_some_and(|name| name.is(&token.text))
            };
            let declared = (0..tokens.len()).find(is_it)?;
            let value = tokens[declared..]
                .iter()
                .find(|token| token.kind == Kind::Literal && token.text.starts_with('"'));
            is_reason(&value?.text)
        }
        Kind::Sign | Kind::Open | Kind::Close => None,
    }
}

#[test]
fn reasons_are_found_where_they_are_given() {
    let text = r#"//! A.
const FULL: &str = "full";
fn f() {
    metrics.lost("cut", 1);
    metrics.lost(FULL, 1);
    let (status, reason, message) = match x {
        A => (1, "late", "not this"),
        B => { let y = ("nor", "this"); (2, FULL, g("no")) }
    };
    let reason = if z { "odd" } else { "even" };
    Hold { reason: "held", message: "not" }
}
impl X { fn reason(self) -> &'static str { match self { Self::A => "torn" } } }
"#;
    let source = Source::read("src/decode/a.rs", text).unwrap();
    let found: BTreeSet<String> = reasons(&source).into_iter().map(|(reason, _)| reason).collect();
    let expected = ["cut", "even", "full", "held", "late", "odd", "torn"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}
