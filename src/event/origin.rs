//! Where events come from: the metadata that routes, names and encodings may use, and the table of all its fields.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::labels::OriginLabels;

/// Where events come from.
///
/// One value serves every event of a file, or of an envelope. Two are compared by their pointers first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The source's name in the configuration.
    pub source: Arc<str>,
    /// The name of the host that standpipe runs on.
    pub host: Arc<str>,
    /// What else is known, depending on the source and its format.
    pub fields: OriginFields,
    /// Firehose's common attributes, in the order they came.
    pub attributes: Arc<[(Box<str>, Box<str>)]>,
    /// What the source's events are labelled with; none: with nothing.
    pub labels: Option<Arc<OriginLabels>>,
}

impl Origin {
    /// The origin of a source's events of which nothing else is known.
    pub fn new(source: impl Into<Arc<str>>, host: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), host: host.into(), ..Self::default() }
    }

    /// The same with this field.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl Into<Arc<str>>) -> Self {
        self.fields.set(field, Some(value.into()));
        self
    }

    /// The same with all of these, and without those that have none.
    #[must_use]
    pub fn with_all<const N: usize>(&self, fields: [(Field, Option<Arc<str>>); N]) -> Self {
        let mut made = Self { fields: self.fields.with_room(N), ..Self::bare(self) };
        for (field, value) in fields {
            made.fields.set(field, value);
        }
        made
    }

    /// The same without fields.
    fn bare(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            host: Arc::clone(&self.host),
            fields: OriginFields::default(),
            attributes: Arc::clone(&self.attributes),
            labels: self.labels.clone(),
        }
    }

    /// Whether routes, names and encodings find the same in both: all but what only dead letters tell.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let Self { source, host, fields, attributes, labels } = self;
        *source == other.source
            && *host == other.host
            && *attributes == other.attributes
            && *labels == other.labels
            && fields.told().eq(other.fields.told())
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&Arc<str>> {
        self.fields.get(field)
    }

    /// The value of a label, by its dotted name.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref().and_then(|labels| labels.get(name))
    }

    /// The value of a field; empty where there is none.
    #[must_use]
    pub fn text(&self, field: Field) -> &str {
        self.get(field).map_or("", |value| &**value)
    }
}

/// What stands in the table for one field.
struct FieldInfo {
    /// In templates, in a route's `when`, as a JSON key, in dead letters and in the disk buffer.
    name: &'static str,
    /// In messages.
    title: &'static str,
    /// Whether names of streams, regions and roles may be made from it.
    in_names: bool,
    /// Where JSON objects have it.
    place: FieldPlace,
    /// Whether subscription envelopes tell it.
    in_envelopes: bool,
    /// Whether it tells that events come from elsewhere, so that JSON objects do not name this host.
    is_remote: bool,
}

/// Where a JSON object has a field: around `source` and `host`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldPlace {
    /// Between the id and `source`.
    BeforeSource,
    /// After `host`.
    AfterHost,
    /// Nowhere: names may use it, and dead letters tell it.
    Aside,
}

/// Makes [`Field`] from the table.
macro_rules! origin_fields {
    ($( $(#[$doc:meta])* $field:ident: { $($column:tt)* } )*) => {
        /// A field of an [`Origin`].
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Field {
            $( $(#[$doc])* $field, )*
        }

        impl Field {
            /// Every field, in the order they are stored in.
            pub const ALL: &[Self] = &[$( Self::$field, )*];

            const fn info(self) -> FieldInfo {
                match self {
                    $( Self::$field => FieldInfo { $($column)* }, )*
                }
            }
        }
    };
}

// A source that has other metadata adds a row for each, and sets it in its origins. New rows go to the end.
origin_fields! {
    /// The file's path, for local files.
    File: {
        name: "file",
        title: "file",
        in_names: false,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// The account that the log data comes from, for subscription payloads.
    Owner: {
        name: "owner",
        title: "owner",
        in_names: true,
        place: FieldPlace::BeforeSource,
        in_envelopes: true,
        is_remote: true,
    }
    /// The log group, for subscription payloads.
    LogGroup: {
        name: "log_group",
        title: "log group",
        in_names: true,
        place: FieldPlace::BeforeSource,
        in_envelopes: true,
        is_remote: false,
    }
    /// The log stream, for subscription payloads.
    LogStream: {
        name: "log_stream",
        title: "log stream",
        in_names: true,
        place: FieldPlace::BeforeSource,
        in_envelopes: true,
        is_remote: false,
    }
    /// The region that the log data comes from, for subscription payloads whose events tell it.
    Region: {
        name: "region",
        title: "region",
        in_names: true,
        place: FieldPlace::BeforeSource,
        in_envelopes: true,
        is_remote: false,
    }
    /// The bucket, for objects of S3.
    Bucket: {
        name: "bucket",
        title: "bucket",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: true,
    }
    /// The object's key, for objects of S3.
    Key: {
        name: "key",
        title: "key",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// Standard output or standard error, for the lines of containers.
    Stream: {
        name: "stream",
        title: "stream",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// The shard, for records of Kinesis.
    Shard: {
        name: "shard",
        title: "shard",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: true,
    }
    /// The record's partition key, for records of Kinesis that have one.
    PartitionKey: {
        name: "partition_key",
        title: "partition key",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// The record's sequence number, for records of Kinesis.
    SequenceNumber: {
        name: "sequence_number",
        title: "sequence number",
        in_names: false,
        place: FieldPlace::Aside,
        in_envelopes: false,
        is_remote: false,
    }
    /// The stream's ARN, for records of Kinesis.
    StreamArn: {
        name: "stream_arn",
        title: "stream's ARN",
        in_names: false,
        place: FieldPlace::Aside,
        in_envelopes: false,
        is_remote: false,
    }
    /// The tag, for messages of the Fluent Forward protocol.
    Tag: {
        name: "tag",
        title: "tag",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// The container's name, or its id where it has none, for messages of the Fluent Forward protocol.
    Container: {
        name: "container",
        title: "container",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// The unit of systemd, for entries of the journal.
    Unit: {
        name: "unit",
        title: "unit",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// What the program calls itself, for entries of the journal.
    Identifier: {
        name: "identifier",
        title: "identifier",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
    /// From 0, an emergency, to 7, for debugging, for entries of the journal.
    Priority: {
        name: "priority",
        title: "priority",
        in_names: true,
        place: FieldPlace::AfterHost,
        in_envelopes: false,
        is_remote: false,
    }
}

impl Field {
    /// The field of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }

    /// Every field, in the order that people are shown.
    pub fn in_order() -> impl Iterator<Item = Self> {
        let placed = |place| Self::ALL.iter().copied().filter(move |field| field.place() == place);
        placed(FieldPlace::BeforeSource).chain(placed(FieldPlace::AfterHost)).chain(placed(FieldPlace::Aside))
    }

    /// Its name in the configuration, in JSON and on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Its name in a sentence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.info().title
    }

    /// Whether names of streams, regions and roles may be made from it.
    #[must_use]
    pub const fn is_in_names(self) -> bool {
        self.info().in_names
    }

    /// Where JSON objects have it.
    #[must_use]
    pub const fn place(self) -> FieldPlace {
        self.info().place
    }

    /// Whether subscription envelopes tell it.
    #[must_use]
    pub const fn is_in_envelopes(self) -> bool {
        self.info().in_envelopes
    }

    /// Whether it tells that events come from elsewhere, so that JSON objects do not name this host.
    #[must_use]
    pub const fn is_remote(self) -> bool {
        self.info().is_remote
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The fields that an origin has, in the order of [`Field::ALL`], each once.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct OriginFields(Vec<(Field, Arc<str>)>);

impl OriginFields {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&Arc<str>> {
        self.0.iter().find(|(known, _)| *known == field).map(|(_, value)| value)
    }

    /// Sets a field, or removes it.
    pub fn set(&mut self, field: Field, value: Option<Arc<str>>) {
        self.0.retain(|(known, _)| *known != field);
        if let Some(value) = value {
            let at = self.0.partition_point(|(known, _)| *known < field);
            // There is an origin for each of many files.
            self.0.reserve_exact(1);
            self.0.insert(at, (field, value));
        }
    }

    /// The same, with room for so many more.
    fn with_room(&self, more: usize) -> Self {
        let mut fields = Vec::with_capacity(self.0.len().saturating_add(more));
        fields.extend_from_slice(&self.0);
        Self(fields)
    }

    /// All but those that only dead letters tell.
    fn told(&self) -> impl Iterator<Item = (Field, &Arc<str>)> {
        self.iter().filter(|(field, _)| field.place() != FieldPlace::Aside)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that JSON objects have at `place`, in order.
    pub fn at(&self, place: FieldPlace) -> impl Iterator<Item = (Field, &Arc<str>)> {
        self.iter().filter(move |(field, _)| field.place() == place)
    }

    /// All, in the order that people are shown.
    pub fn in_order(&self) -> impl Iterator<Item = (Field, &Arc<str>)> {
        self.at(FieldPlace::BeforeSource)
            .chain(self.at(FieldPlace::AfterHost))
            .chain(self.at(FieldPlace::Aside))
    }

    /// Whether one of them tells that events come from elsewhere.
    #[must_use]
    pub fn are_remote(&self) -> bool {
        self.iter().any(|(field, _)| field.is_remote())
    }

    fn iter(&self) -> impl Iterator<Item = (Field, &Arc<str>)> {
        self.0.iter().map(|(field, value)| (*field, value))
    }
}

impl fmt::Debug for OriginFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// As they are stored: a map from name to value, to be flattened into another.
impl Serialize for OriginFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, value) in self.iter() {
            map.serialize_entry(field.name(), &**value)?;
        }
        map.end()
    }
}

/// Names that this version does not know are left out: a later one may have written them.
impl<'de> Deserialize<'de> for OriginFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StoredFields)
    }
}

struct StoredFields;

impl<'de> Visitor<'de> for StoredFields {
    type Value = OriginFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields of an origin")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<OriginFields, M::Error> {
        let mut fields = OriginFields::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match Field::named(&name) {
                Some(field) => {
                    let value: Option<Box<str>> = map.next_value()?;
                    fields.set(field, value.map(Arc::from));
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_name_of_its_own() {
        for field in Field::ALL {
            assert_eq!(Field::named(field.name()), Some(*field));
        }
        assert!(Field::ALL.is_sorted());
        assert_eq!(Field::in_order().count(), Field::ALL.len());
    }

    #[test]
    fn fields_are_kept_in_order_however_they_are_set() {
        let origin = Origin::new("app", "h").with(Field::LogGroup, "g").with(Field::File, "f");
        let other = Origin::new("app", "h").with(Field::File, "f").with(Field::LogGroup, "g");
        assert_eq!(origin, other);
        let shown: Vec<Field> = origin.fields.in_order().map(|(field, _)| field).collect();
        assert_eq!(shown, [Field::LogGroup, Field::File]);
    }

    #[test]
    fn a_field_that_is_set_to_nothing_is_gone() {
        let mut origin = Origin::new("app", "h").with(Field::Owner, "1").with(Field::Owner, "2");
        assert_eq!(origin.get(Field::Owner).map(|value| &**value), Some("2"));
        origin.fields.set(Field::Owner, None);
        assert_eq!(origin, Origin::new("app", "h"));
    }

    #[test]
    fn a_field_that_a_later_version_wrote_is_left_out() {
        let json = r#"{"owner":"1","planet":{"name":["mars"]},"file":null,"log_group":"g"}"#;
        let fields: OriginFields = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&fields).unwrap(), r#"{"owner":"1","log_group":"g"}"#);
    }
}
