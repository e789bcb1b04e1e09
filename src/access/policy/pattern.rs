//! Wildcards and variables: what a text of a policy covers.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html> and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>.

use super::context::{KeyLookup, RequestContext};
use super::document::LanguageVersion;

/// A text with wildcards, its variables replaced; the second is another way to read it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WildcardPattern(Vec<PatternToken>, Option<Vec<PatternToken>>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PatternToken {
    /// This character.
    Char(char),
    /// Any character, or any but a colon.
    One { colon: bool },
    /// Any characters, or any but colons.
    Many { colon: bool },
}

/// What a text of a policy became.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ExpandedPattern {
    /// A pattern.
    Pattern(WildcardPattern),
    /// A variable has no value: nothing is equal to it, or like it.
    NoValue,
    /// A variable's key is not known.
    Unknown(String),
}

/// What a text may hold besides characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct PatternContext<'a> {
    /// The document's: variables came with `2012-10-17`.
    pub(super) version: LanguageVersion,
    /// Where variables get their values.
    pub(super) context: &'a RequestContext,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug)]
enum PatternPiece<'a> {
    Char(char),
    /// A variable's inside.
    Variable(&'a str),
}

/// How many colons an ARN has before its resource.
const ARN_COLONS: usize = 5;

impl WildcardPattern {
    /// `*` and `?` without colons to heed and without variables, in any case: for actions.
    pub(super) fn action(text: &str) -> Self {
        Self(text.to_ascii_lowercase().chars().map(|c| wild(c, true, true)).collect(), None)
    }

    /// The same, for texts in lower case.
    pub(super) fn to_lowercase(&self) -> Self {
        let mut tokens = Vec::with_capacity(self.0.len());
        for token in &self.0 {
            match token {
                PatternToken::Char(c) => tokens.extend(c.to_lowercase().map(PatternToken::Char)),
                other @ (PatternToken::One { .. } | PatternToken::Many { .. }) => tokens.push(*other),
            }
        }
        Self(tokens, None)
    }

    /// Whether all of `text` is covered.
    pub(super) fn covers(&self, text: &str) -> bool {
        covers(&self.0, text) || self.1.as_ref().is_some_and(|tokens| covers(tokens, text))
    }
}

fn covers(tokens: &[PatternToken], text: &str) -> bool {
    // In each place: whether the tokens before it cover what was read so far.
    let mut places = Vec::with_capacity(tokens.len().saturating_add(1));
    let mut here = true;
    for token in tokens {
        places.push(here);
        here = here && matches!(token, PatternToken::Many { .. });
    }
    places.push(here);
    for c in text.chars() {
        places = read(tokens, &places, c);
        if !places.contains(&true) {
            return false;
        }
    }
    places.last().copied().unwrap_or(false)
}

fn read(tokens: &[PatternToken], places: &[bool], c: char) -> Vec<bool> {
    let mut next = Vec::with_capacity(places.len());
    let mut moved = false;
    for (place, token) in places.iter().zip(tokens) {
        let takes = *place && token.takes(c);
        if matches!(token, PatternToken::Many { .. }) {
            moved = moved || takes;
            next.push(moved);
        } else {
            next.push(moved);
            moved = takes;
        }
    }
    next.push(moved);
    next
}

impl PatternToken {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Char(own) => own == c,
            Self::One { colon } | Self::Many { colon } => colon || c != ':',
        }
    }
}

impl PatternContext<'_> {
    /// A text without wildcards.
    pub(super) fn exact(self, text: &str) -> ExpandedPattern {
        self.expand(text, PatternToken::Char)
    }

    /// A text whose wildcards cover anything.
    pub(super) fn like(self, text: &str) -> ExpandedPattern {
        self.expand(text, |c| wild(c, true, true))
    }

    /// The ARN of a condition: its six parts are compared one by one.
    pub(super) fn arn(self, text: &str) -> ExpandedPattern {
        if text == "*" {
            return self.like(text);
        }
        let text = complete(text);
        let mut colons = 0;
        self.expand(&text, move |c| part(c, &mut colons, false))
    }

    /// The ARN of a resource: in its first five parts a `*` at the end of a part runs on over colons, another does not. An ARN of
    /// fewer parts is read as it stands, and as if `*` stood in the missing ones: AWS says both.
    pub(super) fn resource(self, text: &str) -> ExpandedPattern {
        let complete = complete(text);
        match (self.whole_resource(text), self.whole_resource(&complete)) {
            (
                ExpandedPattern::Pattern(WildcardPattern(one, _)),
                ExpandedPattern::Pattern(WildcardPattern(other, _)),
            ) if one != other => ExpandedPattern::Pattern(WildcardPattern(one, Some(other))),
            (expanded, _) => expanded,
        }
    }

    fn whole_resource(self, text: &str) -> ExpandedPattern {
        let head = text.match_indices(':').nth(ARN_COLONS - 1).map_or(0, |(at, _)| at.saturating_add(1));
        let head = if head == 0 && text.starts_with("arn:") { text.len() } else { head };
        // Variables are for what follows the fifth colon.
        let (fixed, rest) = text.split_at_checked(head).unwrap_or(("", text));
        if fixed.contains("${") {
            return ExpandedPattern::NoValue;
        }
        let mut colons = 0;
        let mut tokens = Vec::with_capacity(text.len());
        let mut chars = fixed.chars().peekable();
        while let Some(c) = chars.next() {
            let run_on = matches!(chars.peek(), None | Some(':'));
            tokens.push(part(c, &mut colons, run_on));
        }
        match self.like(rest) {
            ExpandedPattern::Pattern(WildcardPattern(rest, _)) => {
                tokens.extend(rest);
                ExpandedPattern::Pattern(WildcardPattern(tokens, None))
            }
            other @ (ExpandedPattern::NoValue | ExpandedPattern::Unknown(_)) => other,
        }
    }

    fn expand(self, text: &str, mut token: impl FnMut(char) -> PatternToken) -> ExpandedPattern {
        let mut tokens = Vec::with_capacity(text.len());
        for piece in pieces(text, self.version) {
            match piece {
                PatternPiece::Char(c) => tokens.push(token(c)),
                PatternPiece::Variable(inside) => match self.value(inside) {
                    Ok(Some(value)) => tokens.extend(value.chars().map(PatternToken::Char)),
                    Ok(None) => return ExpandedPattern::NoValue,
                    Err(key) => return ExpandedPattern::Unknown(key),
                },
            }
        }
        ExpandedPattern::Pattern(WildcardPattern(tokens, None))
    }

    /// The value of a variable: none when it has none, an error with its key when that is not known.
    fn value(self, inside: &str) -> Result<Option<String>, String> {
        if matches!(inside, "*" | "?" | "$") {
            return Ok(Some(inside.to_owned()));
        }
        let (key, default) = match inside.split_once(',') {
            Some((key, rest)) => {
                (key.trim(), rest.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')))
            }
            None => (inside.trim(), None),
        };
        match self.context.look_up(key) {
            KeyLookup::Values([value]) => Ok(Some(value.clone())),
            // A key of many values is no variable.
            KeyLookup::Values(_) => Ok(None),
            KeyLookup::Absent => Ok(default.map(str::to_owned)),
            KeyLookup::Unknown | KeyLookup::OneOf(_) => Err(key.to_owned()),
        }
    }
}

/// Characters and variables; before `2012-10-17` there are none.
fn pieces(text: &str, version: LanguageVersion) -> Vec<PatternPiece<'_>> {
    let mut pieces = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let variable = rest.strip_prefix("${").and_then(|after| after.split_once('}'));
        match variable {
            Some((inside, after)) if version == LanguageVersion::V2012 => {
                pieces.push(PatternPiece::Variable(inside));
                rest = after;
            }
            _ => {
                pieces.push(PatternPiece::Char(c));
                rest = rest.split_at_checked(c.len_utf8()).map_or("", |(_, after)| after);
            }
        }
    }
    pieces
}

fn wild(c: char, one: bool, many: bool) -> PatternToken {
    match c {
        '*' => PatternToken::Many { colon: many },
        '?' => PatternToken::One { colon: one },
        c => PatternToken::Char(c),
    }
}

/// A character of an ARN: wildcards keep to their part, but for the last part, and for a `*` that runs on.
fn part(c: char, colons: &mut usize, run_on: bool) -> PatternToken {
    if c == ':' {
        *colons = colons.saturating_add(1);
    }
    let last = ARN_COLONS <= *colons;
    wild(c, last, last || run_on)
}

/// An ARN of fewer parts is taken as if `*` stood in the missing ones.
fn complete(text: &str) -> String {
    let colons = text.matches(':').count();
    let missing = if text.starts_with("arn:") { ARN_COLONS.saturating_sub(colons) } else { 0 };
    format!("{text}{}", ":*".repeat(missing))
}
