//! What a source's events are labelled with: fields of one's own, and what is known of where standpipe runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the names of a source's own fields begin with.
const OWN: &str = "fields.";

/// Values by dotted names, such as `fields.team` and `ec2.zone`. One serves every event of an origin.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "BTreeMap<Box<str>, Box<str>>", into = "BTreeMap<Box<str>, Box<str>>")]
pub struct OriginLabels {
    values: BTreeMap<Box<str>, Box<str>>,
    /// `,"team":"orders"` for each field of one's own, as JSON objects have it.
    json: Box<str>,
}

impl OriginLabels {
    /// The value of a dotted name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| &**value)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The fields of one's own as members of a JSON object, each with a comma before it: escaped once, for all events.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

impl From<BTreeMap<Box<str>, Box<str>>> for OriginLabels {
    fn from(values: BTreeMap<Box<str>, Box<str>>) -> Self {
        let mut json = String::new();
        for (name, value) in &values {
            let Some(name) = name.strip_prefix(OWN) else { continue };
            // A string is always JSON.
            let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
            json.extend([",", &quoted(name), ":", &quoted(value)]);
        }
        Self { values, json: json.into() }
    }
}

impl From<OriginLabels> for BTreeMap<Box<str>, Box<str>> {
    fn from(labels: OriginLabels) -> Self {
        labels.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_members_of_json_and_what_they_were_made_of_is_not() {
        let values = [("ec2.zone", "us-east-1a"), ("fields.team", "a \"b\""), ("fields.n.m", "\u{1}é")];
        let values = values.map(|(name, value)| (Box::from(name), Box::from(value)));
        let labels = OriginLabels::from(BTreeMap::from(values));
        assert_eq!(labels.json(), r#","n.m":"\u0001é","team":"a \"b\"""#);
        assert_eq!(labels.get("ec2.zone"), Some("us-east-1a"));
        let stored = serde_json::to_string(&labels).unwrap();
        assert_eq!(serde_json::from_str::<OriginLabels>(&stored).unwrap(), labels);
    }
}
