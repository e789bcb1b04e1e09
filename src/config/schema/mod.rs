//! A JSON Schema of the configuration, for editors: made by the parser itself, which tells what it asks for, so that the one cannot
//! know a key that the other does not. Descriptions, defaults and examples are those of the documented settings.
//!
//! The schema refuses nothing that the parser takes in one file: any string may have `${..}` in it, which may stand for a value of any
//! type.

mod explore;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use self::explore::{DECIDES, readings};
use self::words::{Documented, documented, words_of};
use super::recording::{AskedKey, KeyForm};
use super::section::Section;
use super::shape::ValueShape;

/// A string with something that is replaced.
const FROM_ELSEWHERE: &str = r"\$\{";

/// What was asked for in a table, over all readings.
#[derive(Debug, Default)]
struct AskedTable {
    keys: BTreeMap<String, Vec<KeyForm>>,
    /// Keys that were required in each reading of the table.
    required: Option<BTreeSet<String>>,
    /// What stands under names that users choose.
    named: Option<KeyForm>,
}

/// Tables by their dotted keys.
#[derive(Debug, Default)]
struct AskedTables(BTreeMap<String, AskedTable>);

/// The schema of what `read` reads, which `text` documents.
pub(super) fn schema(read: &dyn Fn(Section<'_>), text: &str) -> Value {
    let tables = AskedTables::of(read);
    let documented = documented(text);
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "standpipe".into());
    schema.insert("description".to_owned(), "The configuration of standpipe.".into());
    schema.extend(tables.object("", &documented));
    schema.into()
}

impl AskedTables {
    fn of(read: &dyn Fn(Section<'_>)) -> Self {
        let mut tables = Self::default();
        for reading in readings(read) {
            let mut required: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for AskedKey { path, form } in &reading.asked {
                let (around, name) = path.rsplit_once('.').unwrap_or(("", path));
                match form {
                    KeyForm::Read => {
                        required.entry(reading.table(path)).or_default();
                    }
                    KeyForm::Required => {
                        required.entry(reading.table(around)).or_default().insert(name.to_owned());
                    }
                    KeyForm::NamedTables | KeyForm::NamedValues(_) => {
                        tables.0.entry(reading.table(path)).or_default().named = Some(form.clone());
                    }
                    KeyForm::Value(_) | KeyForm::Table | KeyForm::Tables => {
                        let table = tables.0.entry(reading.table(around)).or_default();
                        let forms = table.keys.entry(name.to_owned()).or_default();
                        if !forms.contains(form) {
                            forms.push(form.clone());
                        }
                    }
                    KeyForm::Anything => {}
                }
            }
            for (path, keys) in required {
                let table = tables.0.entry(path).or_default();
                let both = |known: BTreeSet<String>| known.intersection(&keys).cloned().collect();
                table.required = Some(table.required.take().map_or_else(|| keys.clone(), both));
            }
        }
        tables
    }

    /// The schema of a table: of one form, or of as many as its `type` has words.
    fn table(&self, path: &str, documented: &Documented) -> Value {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!(["object", "string"]));
        schema.insert("pattern".to_owned(), FROM_ELSEWHERE.into());
        let prefix = format!("{path}<");
        let types = self.0.keys().filter_map(|key| key.strip_prefix(&prefix)?.strip_suffix('>'));
        let types: Vec<&str> = types.filter(|word| !word.contains(['<', '.'])).collect();
        if types.is_empty() {
            schema.extend(self.object(path, documented));
            return schema.into();
        }
        let one = |word: &&str| {
            let path = format!("{path}<{word}>");
            let mut object = self.object(&path, documented);
            let mut decides = json!({ "const": word });
            describe(&mut decides, documented.get(&path).map(|words| words.text.as_str()));
            if let Some(Value::Object(keys)) = object.get_mut("properties") {
                keys.insert(DECIDES.to_owned(), decides);
            }
            object.insert("title".to_owned(), (*word).into());
            Value::from(object)
        };
        schema.insert(
            "properties".to_owned(),
            json!({ DECIDES: shaped(&ValueShape::words(types.iter().copied())) }),
        );
        schema.insert("required".to_owned(), json!([DECIDES]));
        let elsewhere = json!({ "properties": { DECIDES: { "pattern": FROM_ELSEWHERE } }, "title": "${..}" });
        let forms: Vec<Value> = types.iter().map(one).chain([elsewhere]).collect();
        schema.insert("anyOf".to_owned(), forms.into());
        schema.into()
    }

    /// The keys of a table.
    fn object(&self, path: &str, documented: &Documented) -> Map<String, Value> {
        let unknown = AskedTable::default();
        let table = self.0.get(path).unwrap_or(&unknown);
        let mut schema = Map::new();
        if path.is_empty() {
            schema.insert("type".to_owned(), "object".into());
        }
        let named = match &table.named {
            Some(KeyForm::NamedValues(shape)) => shape.as_ref().map_or(Value::Bool(true), shaped),
            Some(_) => self.table(&format!("{path}.*"), documented),
            None => Value::Bool(false),
        };
        let key = |(name, forms): (&String, &Vec<KeyForm>)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            (name.clone(), self.key(&path, forms, documented))
        };
        schema.insert("properties".to_owned(), table.keys.iter().map(key).collect::<Map<_, _>>().into());
        let required: Vec<Value> =
            table.required.iter().flatten().map(|name| Value::from(name.as_str())).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), named);
        schema
    }

    fn key(&self, path: &str, forms: &[KeyForm], documented: &Documented) -> Value {
        let form = |form: &KeyForm| match form {
            KeyForm::Value(shape) => vec![shape.as_ref().map_or_else(|| json!({}), shaped)],
            KeyForm::Table => vec![self.table(path, documented)],
            KeyForm::Tables => {
                let table = self.table(path, documented);
                vec![json!({ "type": "array", "items": table }), table]
            }
            KeyForm::NamedTables
            | KeyForm::NamedValues(_)
            | KeyForm::Anything
            | KeyForm::Required
            | KeyForm::Read => Vec::new(),
        };
        let mut forms: Vec<Value> = forms.iter().flat_map(form).collect();
        let mut schema = if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) };
        if let Some(words) = words_of(documented, path) {
            describe(&mut schema, Some(&words.text));
            if let Value::Object(schema) = &mut schema {
                schema.extend(words.default.clone().map(|default| ("default".to_owned(), default)));
                let examples = (!words.examples.is_empty()).then(|| words.examples.clone());
                schema.extend(examples.map(|examples| ("examples".to_owned(), examples.into())));
            }
        }
        schema
    }
}

fn describe(schema: &mut Value, text: Option<&str>) {
    let text = text.filter(|text| !text.is_empty());
    if let (Value::Object(schema), Some(text)) = (schema, text) {
        schema.insert("description".to_owned(), text.into());
    }
}

/// The schema of a value.
fn shaped(shape: &ValueShape) -> Value {
    let words = |words: &[String]| {
        vec![json!({ "enum": words }), json!({ "type": "string", "pattern": FROM_ELSEWHERE })]
    };
    match shape {
        ValueShape::Text => json!({ "type": "string" }),
        ValueShape::TextOrTable => json!({ "type": ["string", "object"] }),
        ValueShape::Flag => json!({ "type": ["boolean", "string"], "pattern": FROM_ELSEWHERE }),
        ValueShape::Count { least, most } => json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": FROM_ELSEWHERE,
        }),
        ValueShape::Number { least, most } => json!({
            "type": ["number", "string"], "minimum": least, "maximum": most,
            "pattern": format!("{FROM_ELSEWHERE}|^\\s*[0-9.]"),
        }),
        ValueShape::Size { least, most } => json!({
            "type": ["string", "integer"], "minimum": least, "maximum": most,
            "pattern": format!("{FROM_ELSEWHERE}|^\\s*[0-9]"),
        }),
        ValueShape::Words(known) => json!({ "anyOf": words(known) }),
        ValueShape::WordsOrFlag(known) => {
            let forms = [vec![json!({ "type": "boolean" })], words(known)].concat();
            json!({ "anyOf": forms })
        }
        ValueShape::List { item, least } => json!({
            "type": ["array", "string"], "items": item.as_deref().map_or(Value::Bool(true), shaped),
            "minItems": least, "pattern": FROM_ELSEWHERE,
        }),
    }
}
