//! Where an event was before its logs were centralized: `extractedFields` of an event name the account and the region, and the
//! envelope's owner is the central account.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatchLogs_Centralization.html>

use std::sync::Arc;

use super::escapes::unescape;
use super::json::Scanner;
use super::log_events::scalar;
use crate::event::{Field, Origin};

/// The origin last made, and what it was made from.
#[derive(Debug)]
pub(super) struct ExtractedOrigin {
    envelope: Arc<Origin>,
    account: String,
    region: String,
    origin: Arc<Origin>,
}

/// Longer than any account or region; what is longer is not taken.
const LONGEST: usize = 64;

/// The origin of an event whose extracted fields begin at `at`; the last one again where nothing differs.
pub(super) fn origin(
    text: &str,
    at: usize,
    envelope: &Arc<Origin>,
    last: &mut Option<ExtractedOrigin>,
) -> Arc<Origin> {
    let (mut account, mut region) = ("", "");
    let mut scanner = Scanner::new(text.get(at..).unwrap_or_default());
    // It was scanned before as a part of its envelope.
    let scanned = scanner.object(|scanner, name| {
        match unescape(name).as_ref() {
            "@aws.account" => account = scalar(scanner)?,
            "@aws.region" => region = scalar(scanner)?,
            _ => drop(scanner.value()?),
        }
        Ok(())
    });
    let plain = |text: &str| {
        let text = unescape(text);
        if text.len() <= LONGEST { text.into_owned() } else { String::new() }
    };
    let (account, region) = (plain(account), plain(region));
    if scanned.is_err() || (account.is_empty() && region.is_empty()) {
        return Arc::clone(envelope);
    }
    if let Some(last) = last
        && Arc::ptr_eq(&last.envelope, envelope)
        && last.account == account
        && last.region == region
    {
        return Arc::clone(&last.origin);
    }
    let mut own = Origin::clone(envelope);
    for (field, value) in [(Field::Owner, &account), (Field::Region, &region)] {
        if !value.is_empty() {
            own.fields.set(field, Some(Arc::from(value.as_str())));
        }
    }
    let origin = Arc::new(own);
    *last = Some(ExtractedOrigin {
        envelope: Arc::clone(envelope),
        account,
        region,
        origin: Arc::clone(&origin),
    });
    origin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, owner: &str, region: &str) {
        let envelope = Arc::new(Origin::new("s", "h").with(Field::Owner, "999999999999"));
        let mut last = None;
        let made = origin(text, 0, &envelope, &mut last);
        assert_eq!((made.text(Field::Owner), made.text(Field::Region)), (owner, region), "{text}");
        assert!(Arc::ptr_eq(&made, &origin(text, 0, &envelope, &mut last)), "it is made once");
    }

    #[test]
    fn account_and_region_are_those_that_an_event_came_from() {
        check(r#"{"@aws.account":"222222222222","@aws.region":"eu-west-1"}"#, "222222222222", "eu-west-1");
        check(r#"{"@aws.region":"eu-west-1","x":{"@aws.account":"1"}}"#, "999999999999", "eu-west-1");
        check(r#"{"@aws.account":222222222222}"#, "222222222222", "");
        check(r#"{"\u0040aws.account":"2222\u0032"}"#, "22222", "");
        check(r#"{"ip":"127.0.0.1"}"#, "999999999999", "");
        check(r#"{"@aws.account":null,"@aws.region":["x"]}"#, "999999999999", "");
        check(&format!(r#"{{"@aws.account":"{}"}}"#, "1".repeat(65)), "999999999999", "");
        check("[]", "999999999999", "");
    }
}
