//! XML to JSON and back, as IAM, STS, `CloudWatch` and S3 write it.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

/// Elements further down than this are left out: no answer of AWS is so deep.
const MOST_DEPTH: usize = 32;
/// Most elements and texts of an answer.
const MOST_NODES: u32 = 1_000_000;

/// What S3 calls otherwise in XML than in its API: the element, the API's name, and whether there may be several.
///
/// Source: the `locationName` of S3's service model, 2006-03-01.
const NAMES: &[(&str, &str, bool)] = &[
    ("Rule", "Rules", true),
    ("QueueConfiguration", "QueueConfigurations", true),
    ("TopicConfiguration", "TopicConfigurations", true),
    ("CloudFunctionConfiguration", "LambdaFunctionConfigurations", true),
    ("Queue", "QueueArn", false),
    ("Topic", "TopicArn", false),
    ("CloudFunction", "LambdaFunctionArn", false),
    ("Event", "Events", true),
    ("S3Key", "Key", false),
    ("FilterRule", "FilterRules", true),
    ("Version", "Versions", true),
    ("DeleteMarker", "DeleteMarkers", true),
    ("Contents", "Contents", true),
    ("CommonPrefixes", "CommonPrefixes", true),
];

/// Lists of S3 that are elements themselves, and what their items are called.
const LISTS: &[(&str, &str)] = &[("TagSet", "Tag")];

/// The root's name and what is in it; none for what is no XML.
pub(super) fn read(text: &str) -> Option<(String, Value)> {
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    let root = document.root_element();
    Some((root.tag_name().name().to_owned(), value(root, MOST_DEPTH)))
}

/// Text as a string; elements as an object, where several of a name, or what is always a list, are a list.
fn value(element: Node<'_, '_>, depth: usize) -> Value {
    let mut children = element.children().filter(Node::is_element).peekable();
    let Some(below) = depth.checked_sub(1).filter(|_| children.peek().is_some()) else {
        return element.text().unwrap_or_default().to_owned().into();
    };
    let name = element.tag_name().name();
    let item = LISTS.iter().find(|(list, _)| *list == name).map_or("member", |(_, item)| *item);
    if element.children().filter(Node::is_element).all(|child| child.tag_name().name() == item) {
        return children.map(|child| value(child, below)).collect();
    }
    let mut object = Map::new();
    for child in children {
        let (name, is_list) = api_name(child.tag_name().name());
        let value = value(child, below);
        match object.get_mut(name) {
            Some(Value::Array(items)) => items.push(value),
            Some(one) => *one = vec![one.take(), value].into(),
            None => drop(object.insert(name.to_owned(), if is_list { vec![value].into() } else { value })),
        }
    }
    object.into()
}

fn api_name(element: &str) -> (&str, bool) {
    let known = NAMES.iter().find(|(name, _, _)| *name == element);
    known.map_or((element, false), |(_, api, is_list)| (*api, *is_list))
}

/// A member of S3's API as a document.
pub(super) fn write(root: &str, value: &Value) -> String {
    let mut text = format!("<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    content(root, value, &mut text);
    text.extend(["</", root, ">"]);
    text
}

fn content(name: &str, value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                elements(member, value, text);
            }
        }
        Value::Array(items) => {
            let item = LISTS.iter().find(|(list, _)| *list == name).map_or("member", |(_, item)| *item);
            for value in items {
                element(item, value, text);
            }
        }
        Value::String(string) => escape(string, text),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
}

/// A member as one element, or, if it is a list without an element of its own, as one for each item.
fn elements(member: &str, value: &Value, text: &mut String) {
    // `Key` is a filter's as well as a tag's.
    let is_tag = member == "Key" && !value.is_object();
    let known = NAMES.iter().find(|(_, api, _)| *api == member && !is_tag);
    match (known, value) {
        (Some((name, _, true)), Value::Array(items)) => {
            for value in items {
                element(name, value, text);
            }
        }
        (Some((name, _, _)), value) => element(name, value, text),
        (None, value) => element(member, value, text),
    }
}

fn element(name: &str, value: &Value, text: &mut String) {
    text.extend(["<", name, ">"]);
    content(name, value, text);
    text.extend(["</", name, ">"]);
}

fn escape(string: &str, text: &mut String) {
    for c in string.chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            // Read back as blanks otherwise.
            '\r' => text.push_str("&#13;"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, root: &str, expected: &Value) {
        assert_eq!(read(text), Some((root.to_owned(), expected.clone())), "{text}");
    }

    #[test]
    fn answers_are_read_as_the_api_names_them() {
        check(
            "<?xml version=\"1.0\"?>\n<R xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\n  <A>\n    <member>x</member>\n  </A>\n  <B/>\n</R>",
            "R",
            &json!({ "A": ["x"], "B": "" }),
        );
        check(
            "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><QueueConfiguration><Id>a</Id>\
             <Queue>arn:q</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name>\
             <Value>a&amp;b/</Value></FilterRule></S3Key></Filter></QueueConfiguration></NotificationConfiguration>",
            "NotificationConfiguration",
            &json!({ "QueueConfigurations": [{
                "Id": "a", "QueueArn": "arn:q", "Events": ["s3:ObjectCreated:*"],
                "Filter": { "Key": { "FilterRules": [{ "Name": "prefix", "Value": "a&b/" }] } },
            }] }),
        );
        check(
            "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
            "Tagging",
            &json!({ "TagSet": [{ "Key": "k", "Value": "v" }] }),
        );
        check(
            "<LocationConstraint>eu-west-1</LocationConstraint>",
            "LocationConstraint",
            &json!("eu-west-1"),
        );
        check("<R><I>1</I><I>2</I><I>3</I></R>", "R", &json!({ "I": ["1", "2", "3"] }));
    }

    #[test]
    fn what_is_no_xml_is_none() {
        for text in ["", "no", "<a>", "<a></b>", "<!DOCTYPE html><html><p></html>", "{}"] {
            assert_eq!(read(text), None, "{text}");
        }
        // A bomb of entities is refused, not blown up.
        let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]><r>&c;</r>";
        assert_eq!(read(bomb), None);
        let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        assert!(read(&deep).is_some(), "what is too deep is left out");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [
            json!({ "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] }),
            json!({ "TagSet": [{ "Key": "a<b>&c", "Value": " \r\n" }, { "Key": "d", "Value": "é" }] }),
            json!({ "QueueConfigurations": [{ "Id": "standpipe", "QueueArn": "arn", "Events": ["a", "b"],
                "Filter": { "Key": { "FilterRules": [{ "Name": "prefix", "Value": "p" }] } } }],
                "EventBridgeConfiguration": "" }),
        ] {
            assert_eq!(read(&write("Root", &value)), Some(("Root".to_owned(), value)));
        }
        assert!(write("R", &json!({ "A": true, "B": 5 })).ends_with("><A>true</A><B>5</B></R>"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", inner in "[<>/&;a-z!\\[\\]\"= ]{0,80}") {
            read(&text);
            read(&format!("<r>{inner}</r>"));
        }

        #[test]
        fn any_text_is_written_so_that_it_is_read(text in "[\\t\\n\\r -~\u{a0}-\u{d7ff}]{1,40}") {
            let value = json!({ "A": text });
            prop_assert_eq!(read(&write("R", &value)), Some(("R".to_owned(), value)));
        }
    }
}
