//! The lines of a test as its source would read them: in the source's format, with what is known of their origin.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::config::{Decoding, FlowInput, FlowTest, Format};
use crate::event::{Field, Origin};
use crate::journal_export::{end_entry, put_field};
use crate::msgpack::{put_array, put_map, put_str};

/// What an envelope says where a test does not.
const NO_ACCOUNT: &str = "000000000000";
const NO_NAME: &str = "test";

/// A test's payload, and what its source knows of it before it is decoded.
pub(super) fn payload(test: &FlowTest, decoding: &Decoding) -> (Origin, Bytes) {
    let format = decoding.format;
    let mut origin = Origin::new(test.source.as_str(), test.host.as_str());
    for (field, value) in &test.fields {
        // The payload tells them.
        let is_told = match format {
            Format::Envelope => field.is_in_envelopes(),
            Format::FluentForward(_) => matches!(field, Field::Tag | Field::Container | Field::Stream),
            Format::Journald => matches!(field, Field::Unit | Field::Identifier | Field::Priority),
            Format::Lines | Format::Docker | Format::Cri | Format::Cloudtrail => false,
        };
        if !is_told {
            origin.fields.set(*field, Some(value.as_str().into()));
        }
    }
    let attributes = test.attributes.iter();
    origin.attributes =
        attributes.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let bytes = match &test.input {
        FlowInput::Payload(bytes) => bytes.clone(),
        FlowInput::Lines(lines) => match format {
            Format::Lines | Format::Docker | Format::Cri => {
                lines.iter().flat_map(|line| decoding.charset.write(&format!("{line}\n"))).collect()
            }
            Format::Envelope => envelope(test, lines).to_string().into_bytes(),
            Format::Cloudtrail => format!("{{\"Records\":[{}]}}", lines.join(",")).into_bytes(),
            Format::FluentForward(_) => lines.iter().flat_map(|line| message(test, line)).collect(),
            Format::Journald => lines.iter().flat_map(|line| entry(test, line)).collect(),
        },
    };
    (origin, bytes.into())
}

fn field(test: &FlowTest, field: Field, missing: &str) -> String {
    test.fields.get(&field).map_or_else(|| missing.to_owned(), String::clone)
}

/// As a subscription sends it.
fn envelope(test: &FlowTest, lines: &[String]) -> Value {
    let owner = field(test, Field::Owner, NO_ACCOUNT);
    let event = |(number, line): (usize, &String)| {
        let mut event = json!({ "id": number.to_string(), "timestamp": test.at.0, "message": line });
        if let (Some(region), Some(event)) = (test.fields.get(&Field::Region), event.as_object_mut()) {
            let told = json!({ "@aws.account": owner, "@aws.region": region });
            event.insert("extractedFields".to_owned(), told);
        }
        event
    };
    json!({
        "messageType": "DATA_MESSAGE",
        "owner": owner,
        "logGroup": field(test, Field::LogGroup, NO_NAME),
        "logStream": field(test, Field::LogStream, NO_NAME),
        "subscriptionFilters": [NO_NAME],
        "logEvents": lines.iter().enumerate().map(event).collect::<Vec<_>>(),
    })
}

/// As `journalctl` prints it.
fn entry(test: &FlowTest, line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let microseconds = test.at.0.saturating_mul(1_000).to_string();
    put_field(&mut out, "__CURSOR", b"s=0;i=1;b=0;m=0;t=0;x=0");
    put_field(&mut out, "__REALTIME_TIMESTAMP", microseconds.as_bytes());
    let told = [
        ("_SYSTEMD_UNIT", Field::Unit),
        ("SYSLOG_IDENTIFIER", Field::Identifier),
        ("PRIORITY", Field::Priority),
    ];
    for (name, field) in told {
        if let Some(value) = test.fields.get(&field) {
            put_field(&mut out, name, value.as_bytes());
        }
    }
    put_field(&mut out, "MESSAGE", line.as_bytes());
    end_entry(&mut out);
    out
}

/// As Docker's driver sends it.
fn message(test: &FlowTest, line: &str) -> Vec<u8> {
    let container = test.fields.get(&Field::Container).map(|name| ("container_name", name.as_str()));
    let stream = test.fields.get(&Field::Stream).map(|name| ("source", name.as_str()));
    let record: Vec<(&str, &str)> = [container, stream, Some(("log", line))].into_iter().flatten().collect();
    let mut out = Vec::new();
    put_array(&mut out, 3);
    put_str(&mut out, field(test, Field::Tag, NO_NAME).as_bytes());
    // Seconds, as 32 bits.
    out.push(0xce);
    out.extend(u32::try_from(test.at.0 / 1000).unwrap_or_default().to_be_bytes());
    put_map(&mut out, u32::try_from(record.len()).unwrap_or_default());
    for (name, value) in record {
        put_str(&mut out, name.as_bytes());
        put_str(&mut out, value.as_bytes());
    }
    out
}
