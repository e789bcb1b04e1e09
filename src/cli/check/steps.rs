//! What `check` shows of what is done to a source's events.

use crate::config::{Enrichment, MessageParse, ParsedTime, Redaction, ReplaceWith, SourceSteps};

/// A line for each step.
pub(super) fn lines(steps: &SourceSteps) -> impl Iterator<Item = String> {
    let redaction = steps.redact.iter().map(|redaction| of_redaction(redaction));
    let parse = steps.parse.iter().map(|parse| of_parse(*parse, steps.timestamp.as_ref()));
    redaction.chain(parse).chain(of_metadata(&steps.enrichment)).chain(of_fields(&steps.enrichment))
}

fn of_metadata(enrichment: &Enrichment) -> Option<String> {
    let kinds: Vec<&str> = enrichment.metadata.iter().map(|kind| kind.name()).collect();
    (!kinds.is_empty()).then(|| format!("knows where it runs from {}", kinds.join(", ")))
}

fn of_fields(enrichment: &Enrichment) -> Option<String> {
    let fields: Vec<String> =
        enrichment.fields.iter().map(|(name, value)| format!("{name}={:?}", value.to_string())).collect();
    (!fields.is_empty()).then(|| format!("adds {}", fields.join(", ")))
}

fn of_redaction(redaction: &Redaction) -> String {
    let named = redaction.named.iter().map(|pattern| (pattern.name().to_owned(), redaction.with));
    let own = redaction.patterns.iter().map(|pattern| (pattern.name.to_string(), pattern.with));
    let shown: Vec<String> =
        named.chain(own).map(|(name, with)| format!("{name}{}", of_with(with))).collect();
    format!("redacts {}", shown.join(", "))
}

const fn of_with(with: ReplaceWith) -> &'static str {
    match with {
        ReplaceWith::Text => "",
        ReplaceWith::Mask => " (masked)",
        ReplaceWith::Hash => " (hashed)",
    }
}

fn of_parse(parse: MessageParse, time: Option<&ParsedTime>) -> String {
    let time = time.map_or_else(String::new, |time| format!(", whose `{}` is the event's time", time.field));
    format!("messages are {}{time}", parse.name())
}
