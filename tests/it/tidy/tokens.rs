//! Rust as tokens in a row, and which of them are for tests alone.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One token. Comments are none; those for the documentation are attributes, as the language has it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) last_line: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word,
    /// Also a lifetime.
    Literal,
    /// One character, or `::`.
    Sign,
    Open,
    Close,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }
}

/// The tokens of a text, without comments.
pub(crate) fn read(text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("is no Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let (first, last) = (tree.span().start().line, tree.span().end().line);
        let token = |kind, text: String| Token { kind, text, line: first, last_line: last };
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { last_line: first, ..token(Kind::Open, open.into()) });
                flatten(group.stream(), tokens);
                tokens.push(Token { line: last, ..token(Kind::Close, close.into()) });
            }
            TokenTree::Ident(word) => tokens.push(token(Kind::Word, word.to_string())),
            TokenTree::Literal(literal) => tokens.push(token(Kind::Literal, literal.to_string())),
            TokenTree::Punct(sign) => {
                let second = |wanted| matches!(wanted, Some(TokenTree::Punct(next)) if next.as_char() == ':');
                let text = match (sign.as_char(), trees.peek()) {
                    ('\'', Some(TokenTree::Ident(name))) => format!("'{name}"),
                    (':', next) if sign.spacing() == Spacing::Joint && second(next.cloned()) => "::".into(),
                    (one, _) => one.to_string(),
                };
                let kind = if text.starts_with('\'') { Kind::Literal } else { Kind::Sign };
                if text.len() > 1 {
                    trees.next();
                }
                tokens.push(token(kind, text));
            }
        }
    }
}

/// Behind the token at `at`, or behind the whole group that it opens.
pub(crate) fn skip(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Word | Kind::Literal | Kind::Sign => {}
        }
        if depth <= 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// What remains of a file without its tests, and what they are.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) production: Vec<Token>,
    /// Tokens of tests; whole items, with their attributes.
    pub(crate) tests: Vec<Vec<Token>>,
    /// The file says of itself that it is one.
    pub(crate) is_test: bool,
}

/// Takes out each item that is there for tests alone; a bare `#[cfg(test)]` above a `use` ends with its semicolon.
pub(crate) fn split(tokens: &[Token]) -> Split {
    let mut split = Split::default();
    let mut at = 0;
    while at < tokens.len() {
        let (begin, mut is_test) = (at, false);
        while let Some(end) = attribute(tokens, at) {
            is_test |= is_cfg_test(&tokens[at..end]);
            at = end;
        }
        if is_test {
            at = item_end(tokens, at);
            split.tests.push(tokens[begin..at].to_vec());
            continue;
        }
        if tokens.get(at).is_some_and(|token| token.is("#")) {
            let end = skip(tokens, (at + 2).min(tokens.len()));
            split.is_test |= is_cfg_test(&tokens[at..end]);
        }
        // An attribute of something that stays; of those, the documentation is none of the code.
        split.production.extend(attributes(&tokens[begin..at]));
        split.production.extend(tokens.get(at).cloned());
        at += 1;
    }
    split
}

/// Behind the attribute `#[…]` at `at`.
fn attribute(tokens: &[Token], at: usize) -> Option<usize> {
    let is = |at: usize, text| tokens.get(at).is_some_and(|token| token.is(text));
    (is(at, "#") && is(at + 1, "[")).then(|| skip(tokens, at + 1))
}

fn attributes(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(end) = attribute(tokens, at) {
        if !tokens[at + 2].is("doc") {
            kept.extend_from_slice(&tokens[at..end]);
        }
        at = end;
    }
    kept
}

/// Whether it is `cfg(test)`, or `cfg(all(…, test, …))`: what `any` holds is built without tests too.
fn is_cfg_test(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    let Some(at) = words.windows(2).position(|pair| pair == ["cfg", "("]) else { return false };
    match &words[at + 2..] {
        ["test", ")", ..] => true,
        ["all", "(", inside @ ..] => {
            let end = skip(attribute, at + 3) - (at + 4);
            let mut depth = 0;
            inside.iter().take(end).any(|word| {
                depth += i32::from(*word == "(") - i32::from(*word == ")");
                depth == 0 && *word == "test"
            })
        }
        _ => false,
    }
}

/// Behind the item, field, statement or match arm at `at`.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    let is = |at: usize, texts: &[&str]| {
        tokens.get(at).is_some_and(|token| texts.iter().any(|text| token.is(text)))
    };
    if is(at, &["pub"]) {
        at += 1;
        if is(at, &["("]) {
            at = skip(tokens, at);
        }
    }
    let in_const = is(at, &["const"]) && !is(at + 1, &["fn", "async", "unsafe", "extern"]);
    let to_semicolon = in_const
        || is(at, &["use", "static", "type", "let"])
        || (is(at, &["extern"]) && is(at + 1, &["crate"]));
    let has_body = is(
        at,
        &[
            "mod",
            "fn",
            "struct",
            "enum",
            "union",
            "trait",
            "impl",
            "const",
            "async",
            "unsafe",
            "extern",
            "macro_rules",
        ],
    );
    let is_block = is(at, &["{"]);
    while at < tokens.len() && tokens[at].kind != Kind::Close {
        let ends = is(at, &[";"])
            || (is(at, &["{"]) && !to_semicolon && (has_body || is_block))
            || (is(at, &[","]) && !to_semicolon && !has_body);
        at = skip(tokens, at);
        if ends {
            break;
        }
    }
    at
}
