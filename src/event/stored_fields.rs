//! The fields of an origin, read as they are stored.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::origin::{Field, OriginFields};

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
