//! What stands at the places where known patterns may be.
//!
//! In doubt something is found: what is replaced for nothing costs a word, what is not costs a secret.

use std::ops::Range;

use super::cards::card;
use super::internet::{ipv4, ipv6};
use super::mail::email;
use super::scan::{Candidates, PatternSet};
use super::secrets::{SecretNames, basic, bearer, key_id, password_of_url, web_token};
use crate::config::NamedPattern;

/// Looks at places of a text, one after the other. No pattern reaches over a newline, so that the text may be many lines.
#[derive(Debug)]
pub(super) struct Finder<'t> {
    text: &'t [u8],
    wanted: PatternSet,
    /// The ends of what was found last, so that nothing is found twice.
    cards: usize,
    emails: usize,
    tokens: usize,
    /// The ends of what was looked at last, so that each byte is looked at a bounded number of times.
    quads: usize,
    colons: usize,
    names: SecretNames,
}

impl<'t> Finder<'t> {
    /// Looks for these patterns in a text.
    pub(super) fn new(text: &'t [u8], wanted: PatternSet) -> Self {
        Self {
            text,
            wanted,
            cards: 0,
            emails: 0,
            tokens: 0,
            quads: 0,
            colons: 0,
            names: SecretNames::default(),
        }
    }

    /// Tells `found` of what stands at the places of a block.
    #[inline(never)]
    pub(super) fn look(
        &mut self,
        block: usize,
        candidates: &Candidates,
        found: &mut impl FnMut(NamedPattern, Range<usize>),
    ) {
        let Candidates { words, ats, quads, numbers, colons } = *candidates;
        each(words, block, |start| self.word(start, found));
        each(ats, block, |at| self.at_sign(at, found));
        each(quads, block, |at| self.quad(at, found));
        each(numbers, block, |start| self.number(start, found));
        each(colons, block, |at| self.colon(at, found));
    }

    fn word(&mut self, start: usize, found: &mut impl FnMut(NamedPattern, Range<usize>)) {
        let text = self.text;
        let mut tell = |pattern, place: Option<Range<usize>>| {
            if let Some(place) = place {
                found(pattern, place);
            }
        };
        match text.get(start) {
            Some(b'A') if self.wanted.has(NamedPattern::AwsKey) => {
                tell(NamedPattern::AwsKey, key_id(text, start));
            }
            Some(b's' | b'S') if self.wanted.has(NamedPattern::AwsKey) => {
                tell(NamedPattern::AwsKey, self.names.secret_key(text, start));
            }
            Some(b'p' | b'P') if self.wanted.has(NamedPattern::Password) => {
                tell(NamedPattern::Password, self.names.password(text, start));
            }
            Some(b'b' | b'B') => {
                if self.wanted.has(NamedPattern::Bearer) {
                    tell(NamedPattern::Bearer, bearer(text, start));
                }
                if self.wanted.has(NamedPattern::Basic) {
                    tell(NamedPattern::Basic, basic(text, start));
                }
            }
            Some(b'e') if self.wanted.has(NamedPattern::Jwt) && start >= self.tokens => {
                let token = web_token(text, start);
                self.tokens = token.as_ref().map_or(self.tokens, |token| token.end);
                tell(NamedPattern::Jwt, token);
            }
            _ => {}
        }
    }

    fn at_sign(&mut self, at: usize, found: &mut impl FnMut(NamedPattern, Range<usize>)) {
        if self.wanted.has(NamedPattern::Email)
            && let Some(place) = email(self.text, at, self.emails)
        {
            self.emails = place.end;
            found(NamedPattern::Email, place);
        }
        if self.wanted.has(NamedPattern::UrlPassword)
            && let Some(place) = password_of_url(self.text, at)
        {
            found(NamedPattern::UrlPassword, place);
        }
    }

    fn quad(&mut self, at: usize, found: &mut impl FnMut(NamedPattern, Range<usize>)) {
        if at < self.quads {
            return;
        }
        let (end, place) = ipv4(self.text, at);
        self.quads = end;
        if let Some(place) = place {
            found(NamedPattern::Ipv4, place);
        }
    }

    fn number(&mut self, start: usize, found: &mut impl FnMut(NamedPattern, Range<usize>)) {
        if start < self.cards {
            return;
        }
        if let Some(place) = card(self.text, start) {
            self.cards = place.end;
            found(NamedPattern::Card, place);
        }
    }

    fn colon(&mut self, at: usize, found: &mut impl FnMut(NamedPattern, Range<usize>)) {
        if at < self.colons {
            return;
        }
        let (end, place) = ipv6(self.text, at);
        self.colons = end;
        if let Some(place) = place {
            found(NamedPattern::Ipv6, place);
        }
    }
}

/// Tells of each bit's place.
fn each(mut bits: u64, block: usize, mut tell: impl FnMut(usize)) {
    while bits != 0 {
        tell(block.saturating_add(bits.trailing_zeros() as usize));
        bits &= bits - 1;
    }
}
