//! The rules of one source: finds what they are about in a text, and writes the text without it.

use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::hmac;
use memchr::{memchr, memmem, memrchr};

use super::finders::Finder;
use super::hits::{Hit, join};
use super::own::OwnPatterns;
use super::scan::{PatternSet, scan};
use super::unescaped::{UnescapedText, may_hold_strings};
use crate::config::{NamedPattern, Redaction, ReplaceWith};
use crate::event::Message;

/// What is redacted in a source's events. Shared by all workers.
#[derive(Debug)]
pub struct Redactor {
    /// The known patterns that are looked for, in the order of their rules.
    named: Vec<NamedPattern>,
    wanted: PatternSet,
    /// Patterns of one's own, whose rules follow.
    own: Option<OwnPatterns>,
    rules: Vec<Rule>,
    key: hmac::Key,
    growth: usize,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    with: ReplaceWith,
}

/// A worker's buffers for redaction, and what it counts in a step.
#[derive(Debug, Default)]
pub struct RedactScratch {
    hits: Vec<Hit>,
    plain: UnescapedText,
    /// The text without what was found.
    pub(super) out: Vec<u8>,
    /// The same of several lines that are looked at one by one.
    run: Vec<u8>,
    /// What was replaced, by rule.
    counts: Vec<u64>,
}

/// A buffer is kept up to this size.
const KEEP_BYTES: usize = 1 << 20;

impl RedactScratch {
    /// Gives back what an unusually long event needed.
    pub fn shrink(&mut self) {
        self.plain.shrink(KEEP_BYTES);
        for buffer in [&mut self.out, &mut self.run] {
            buffer.clear();
            buffer.shrink_to(KEEP_BYTES);
        }
        self.hits.clear();
        self.hits.shrink_to(KEEP_BYTES / size_of::<Hit>());
    }
}

impl Redactor {
    /// None where nothing is redacted.
    ///
    /// # Errors
    /// When the patterns are too large together.
    pub fn new(config: &Redaction) -> Result<Option<Self>, regex::Error> {
        if config.is_empty() {
            return Ok(None);
        }
        let named = config.named.iter().map(|pattern| {
            let growth = config.with.growth(pattern.name(), pattern.least());
            (Rule { name: pattern.name().into(), with: config.with }, growth)
        });
        let own = config.patterns.iter().map(|pattern| {
            let growth = pattern.with.growth(&pattern.name, pattern.least);
            (Rule { name: Arc::clone(&pattern.name), with: pattern.with }, growth)
        });
        let (rules, growths): (Vec<Rule>, Vec<usize>) = named.chain(own).unzip();
        let key = config.key.as_ref().map_or("", |key| key.expose());
        Ok(Some(Self {
            named: config.named.clone(),
            wanted: PatternSet::of(&config.named),
            own: OwnPatterns::new(&config.patterns)?,
            rules,
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
            growth: growths.into_iter().max().unwrap_or(1).max(1),
        }))
    }

    /// A text of so many bytes becomes at most so many times as long.
    pub(super) const fn growth(&self) -> usize {
        self.growth
    }

    /// Takes what was replaced since the last call, by the names of the rules.
    pub fn take_counts(&self, scratch: &mut RedactScratch) -> Vec<(Arc<str>, u64)> {
        let counts = scratch.counts.drain(..).zip(&self.rules).filter(|(count, _)| *count > 0);
        counts.map(|(count, rule)| (Arc::clone(&rule.name), count)).collect()
    }

    /// Redacts a run of whole lines; none: there is nothing to redact.
    pub(super) fn lines<'s>(&self, lines: &[u8], scratch: &'s mut RedactScratch) -> Option<&'s [u8]> {
        if memchr(b'\\', lines).is_none() {
            return self.plain_lines(lines, scratch);
        }
        if self.own.is_none() && !self.may_hold_named(lines) {
            return None;
        }
        let mut run = std::mem::take(&mut scratch.run);
        run.clear();
        let (mut rest, mut is_redacted) = (lines, false);
        while !rest.is_empty() {
            let plain = memchr(b'\\', rest).map_or(rest.len(), |escape| {
                memrchr(b'\n', rest.get(..escape).unwrap_or_default()).map_or(0, |newline| newline + 1)
            });
            // Lines without a backslash together, any other by itself.
            let len =
                if plain > 0 { plain } else { memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1) };
            let (these, others) = rest.split_at_checked(len).unwrap_or((rest, b""));
            let line = these.strip_suffix(b"\n").unwrap_or(these);
            let found = if plain > 0 { self.plain_lines(these, scratch) } else { self.raw(line, scratch) };
            is_redacted |= found.is_some();
            let is_whole = plain > 0 || found.is_none();
            run.extend_from_slice(found.unwrap_or(these));
            run.extend_from_slice(if is_whole { b"" } else { these.get(line.len()..).unwrap_or_default() });
            rest = others;
        }
        scratch.run = run;
        is_redacted.then_some(&scratch.run)
    }

    /// Redacts lines in which nothing is escaped.
    fn plain_lines<'s>(&self, lines: &[u8], scratch: &'s mut RedactScratch) -> Option<&'s [u8]> {
        scratch.hits.clear();
        self.find_named(lines, &mut scratch.hits);
        if let Some(own) = &self.own {
            let mut at = 0;
            while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
                let len = memchr(b'\n', rest).unwrap_or(rest.len());
                self.find_own(own, rest.get(..len).unwrap_or_default(), at, &mut scratch.hits);
                at = at.saturating_add(len).saturating_add(1);
            }
        }
        self.replace(lines, scratch)
    }

    /// Redacts a message; none: there is nothing to redact.
    pub(super) fn message<'s>(
        &self,
        message: Message<'_>,
        scratch: &'s mut RedactScratch,
    ) -> Option<Message<'s>> {
        match message {
            Message::Raw(bytes) => self.raw(bytes, scratch).map(Message::Raw),
            // What was replaced is text in place of text.
            Message::Escaped(inside) => self
                .escaped(inside.as_bytes(), scratch)
                .map(|redacted| str::from_utf8(redacted).map_or(Message::Raw(redacted), Message::Escaped)),
        }
    }

    /// Redacts text as it is. Where it may be JSON, what is escaped in its strings is found as plain text is.
    pub(super) fn raw<'s>(&self, text: &[u8], scratch: &'s mut RedactScratch) -> Option<&'s [u8]> {
        if may_hold_strings(text) {
            return self.unescaped(text, false, scratch);
        }
        scratch.hits.clear();
        self.find(text, &mut scratch.hits);
        self.replace(text, scratch)
    }

    /// Redacts the inside of a JSON string.
    pub(super) fn escaped<'s>(&self, inside: &[u8], scratch: &'s mut RedactScratch) -> Option<&'s [u8]> {
        if memchr(b'\\', inside).is_none() {
            return self.raw(inside, scratch);
        }
        self.unescaped(inside, true, scratch)
    }

    /// Looks at what the escapes stand for.
    fn unescaped<'s>(
        &self,
        text: &[u8],
        is_inside: bool,
        scratch: &'s mut RedactScratch,
    ) -> Option<&'s [u8]> {
        if self.own.is_none() && !self.may_hold_named(text) {
            return None;
        }
        let mut plain = std::mem::take(&mut scratch.plain);
        plain.fill(text, is_inside);
        scratch.hits.clear();
        self.find(plain.plain(), &mut scratch.hits);
        let mut places = plain.places(text);
        let is_redacted = self.write(text, plain.plain(), |range| places.place(range), scratch);
        scratch.plain = plain;
        is_redacted.then_some(&scratch.out)
    }

    /// Whether a known pattern may be in escaped text: no match lacks its mark, unless letters or slashes are escaped.
    fn may_hold_named(&self, inside: &[u8]) -> bool {
        let mut is_found = false;
        scan(inside, self.wanted, &mut |_, _| is_found = true);
        is_found || memmem::find(inside, b"\\u00").is_some() || memmem::find(inside, b"\\/").is_some()
    }

    fn find(&self, text: &[u8], hits: &mut Vec<Hit>) {
        self.find_named(text, hits);
        if let Some(own) = &self.own {
            self.find_own(own, text, 0, hits);
        }
    }

    fn find_own(&self, own: &OwnPatterns, text: &[u8], at: usize, hits: &mut Vec<Hit>) {
        own.find(text, &mut |pattern, range: Range<usize>| {
            let (start, end) = (at.saturating_add(range.start), at.saturating_add(range.end));
            hits.push(Hit { start, end, rule: self.named.len().saturating_add(pattern) });
        });
    }

    /// Looks for the known patterns where they may be.
    fn find_named(&self, text: &[u8], hits: &mut Vec<Hit>) {
        if self.wanted.is_empty() {
            return;
        }
        let mut finder = Finder::new(text, self.wanted);
        let mut tell = |pattern: NamedPattern, Range { start, end }: Range<usize>| {
            if let Some(rule) = self.named.iter().position(|named| *named == pattern) {
                hits.push(Hit { start, end, rule });
            }
        };
        scan(text, self.wanted, &mut |block, candidates| finder.look(block, candidates, &mut tell));
    }

    fn replace<'s>(&self, text: &[u8], scratch: &'s mut RedactScratch) -> Option<&'s [u8]> {
        self.write(text, text, Range::clone, scratch).then_some(&scratch.out)
    }

    /// Writes `text` with what was found in `plain` replaced, which stands in it at `place`. Whether anything was found.
    fn write(
        &self,
        text: &[u8],
        plain: &[u8],
        mut place: impl FnMut(&Range<usize>) -> Range<usize>,
        scratch: &mut RedactScratch,
    ) -> bool {
        let RedactScratch { hits, out, counts, .. } = scratch;
        if hits.is_empty() {
            return false;
        }
        join(hits);
        out.clear();
        counts.resize(self.rules.len(), 0);
        let mut at = 0;
        for hit in hits.iter() {
            let Range { start, end } = place(&hit.range());
            out.extend_from_slice(text.get(at..start).unwrap_or_default());
            if let Some(rule) = self.rules.get(hit.rule) {
                rule.write(plain.get(hit.range()).unwrap_or_default(), &self.key, out);
            }
            if let Some(count) = counts.get_mut(hit.rule) {
                *count = count.saturating_add(1);
            }
            at = end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        true
    }
}

impl Rule {
    /// Writes what stands in place of what was found.
    fn write(&self, found: &[u8], key: &hmac::Key, out: &mut Vec<u8>) {
        match self.with {
            ReplaceWith::Mask => {
                let characters = found.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
                out.resize(out.len().saturating_add(characters), b'*');
                return;
            }
            ReplaceWith::Text => {
                out.push(b'[');
                out.extend_from_slice(self.name.as_bytes());
            }
            ReplaceWith::Hash => {
                out.push(b'[');
                out.extend_from_slice(self.name.as_bytes());
                out.push(b':');
                let tag = hmac::sign(key, found);
                for byte in tag.as_ref().iter().take(ReplaceWith::HASH_BYTES) {
                    for half in [byte >> 4, byte & 15] {
                        out.push(b"0123456789abcdef".get(usize::from(half)).copied().unwrap_or_default());
                    }
                }
            }
        }
        out.push(b']');
    }
}
