//! Names made from an event's metadata: `logs-{owner}`.

use std::fmt;
use std::sync::Arc;

use super::label::LabelName;
use super::problem::{alternatives, nearest};
use crate::event::{Field, Origin};

/// A name made from an event's metadata, such as `logs-{owner}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    /// The pieces in order.
    pub pieces: Arc<[TemplatePiece]>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TemplatePiece {
    /// Itself.
    Text(String),
    /// What the metadata says.
    Field {
        /// Which of it.
        field: TemplateField,
        /// What stands for it where an event lacks it: `{owner:-nobody}`.
        default: Option<String>,
    },
}

/// Metadata that names may be made from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TemplateField {
    /// `{source}`
    SourceConfig,
    /// `{host}`
    Host,
    /// `{owner}` and the like.
    Origin(Field),
    /// `{fields.team}`, `{ec2.zone}` and the like.
    Label(LabelName),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Says which field is unknown, and which are known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at_checked(at).unwrap_or((rest, ""));
            let inside = from_brace.strip_prefix('{').ok_or("has a `}` without a `{`")?;
            let (name, after) =
                inside.split_once('}').ok_or("has a `{` without a `}`; write a field such as `{owner}`")?;
            if !before.is_empty() {
                pieces.push(TemplatePiece::Text(before.to_owned()));
            }
            let (name, default) = match name.split_once(DEFAULT) {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (name, None),
            };
            pieces.push(TemplatePiece::Field { field: field(name)?, default });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePiece::Text(rest.to_owned()));
        }
        Ok(Self { pieces: pieces.into() })
    }

    /// Whether it is the same for every event.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.fields().next().is_none()
    }

    /// The fields it is made from, in order.
    pub fn fields(&self) -> impl Iterator<Item = TemplateField> {
        self.pieces.iter().filter_map(|piece| match piece {
            TemplatePiece::Text(_) => None,
            TemplatePiece::Field { field, .. } => Some(field.clone()),
        })
    }

    /// Those of them that nothing stands for where an event lacks them.
    pub fn lacking(&self) -> impl Iterator<Item = TemplateField> {
        self.pieces.iter().filter_map(|piece| match piece {
            TemplatePiece::Text(_) | TemplatePiece::Field { default: Some(_), .. } => None,
            TemplatePiece::Field { field, default: None } => Some(field.clone()),
        })
    }

    /// The constant pieces, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            TemplatePiece::Text(text) => Some(text.as_str()),
            TemplatePiece::Field { .. } => None,
        })
    }

    /// The name for events of this origin; `None` when the origin lacks a field.
    #[must_use]
    pub fn render(&self, origin: &Origin) -> Option<String> {
        let mut name = String::new();
        for piece in self.pieces.iter() {
            match piece {
                TemplatePiece::Text(text) => name.push_str(text),
                TemplatePiece::Field { field, default } => {
                    name.push_str(field.of(origin).or(default.as_deref())?);
                }
            }
        }
        Some(name)
    }
}

/// The template as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.pieces.iter() {
            match piece {
                TemplatePiece::Text(text) => f.write_str(text)?,
                TemplatePiece::Field { field, default: None } => write!(f, "{{{field}}}")?,
                TemplatePiece::Field { field, default: Some(default) } => {
                    write!(f, "{{{field}{DEFAULT}{default}}}")?;
                }
            }
        }
        Ok(())
    }
}

impl TemplateField {
    /// Every field that names may be made from.
    fn all() -> impl Iterator<Item = Self> {
        let known = Field::in_order().filter(|field| field.is_in_names()).map(Self::Origin);
        known.chain([Self::SourceConfig, Self::Host])
    }

    /// What an origin says of the field.
    #[must_use]
    pub fn of<'o>(&self, origin: &'o Origin) -> Option<&'o str> {
        match self {
            Self::Label(name) => origin.label(name.as_str()),
            Self::Origin(field) => origin.get(*field).map(|value| &**value),
            Self::SourceConfig => Some(&origin.source),
            Self::Host => Some(&origin.host),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Label(name) => name.as_str(),
            Self::Origin(field) => field.name(),
            Self::SourceConfig => "source",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for TemplateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A delivery stream's name from metadata: characters that Firehose does not allow become `-`, and 64 are kept.
#[must_use]
pub fn stream_name(rendered: &str) -> String {
    fitted(rendered, is_stream_char)
}

/// A role session's name from metadata: characters that STS does not allow become `-`, and 64 are kept.
#[must_use]
pub fn session_name(rendered: &str) -> String {
    fitted(rendered, is_session_char)
}

/// `[a-zA-Z0-9_.-]`, of which Firehose makes stream names.
pub(super) const fn is_stream_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// `[\w+=,.@-]`, of which STS makes session names.
pub(super) const fn is_session_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// Most characters in the name of a stream or a session.
pub(super) const LONGEST_NAME: usize = 64;

fn fitted(rendered: &str, allowed: impl Fn(char) -> bool) -> String {
    rendered.chars().take(LONGEST_NAME).map(|c| if allowed(c) { c } else { '-' }).collect()
}

/// What stands between a field and what stands for it, as in `${NAME:-default}`.
const DEFAULT: &str = ":-";

fn field(name: &str) -> Result<TemplateField, String> {
    if let Some(label) = LabelName::parse(name) {
        return label.map(TemplateField::Label);
    }
    let known: Vec<TemplateField> = TemplateField::all().collect();
    if let Some(field) = known.iter().find(|known| known.name() == name) {
        return Ok(field.clone());
    }
    let names = || known.iter().map(TemplateField::name);
    Err(match nearest(name, names()) {
        Some(near) => format!("names an unknown field `{{{name}}}`; did you mean `{{{near}}}`?"),
        None => format!("names an unknown field `{{{name}}}`; fields are {}", alternatives(names())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Origin {
        Origin::new("app", "web-1").with(Field::Owner, "111122223333").with(Field::LogGroup, "/aws/lambda/f")
    }

    #[track_caller]
    fn check(template: &str, rendered: Result<Option<&str>, &str>) {
        let result = Template::parse(template).map(|template| template.render(&origin()));
        assert_eq!(result, rendered.map(|name| name.map(str::to_owned)).map_err(str::to_owned), "{template}");
    }

    #[test]
    fn fields_are_replaced_by_what_the_origin_says() {
        check("logs", Ok(Some("logs")));
        check("logs-{owner}", Ok(Some("logs-111122223333")));
        check("{source}.{host}{log_group}", Ok(Some("app.web-1/aws/lambda/f")));
    }

    #[test]
    fn a_missing_field_makes_no_name_unless_something_stands_for_it() {
        check("logs-{log_stream}", Ok(None));
        check("logs-{ec2.zone}", Ok(None));
        check("logs-{log_stream:-none}{ec2.zone:-}", Ok(Some("logs-none")));
        check("logs-{owner:-none}", Ok(Some("logs-111122223333")));
    }

    #[test]
    fn a_wrong_template_names_the_field_and_the_nearest() {
        check("logs-{ownr}", Err("names an unknown field `{ownr}`; did you mean `{owner}`?"));
        check(
            "{xyz}",
            Err(
                "names an unknown field `{xyz}`; fields are `owner`, `log_group`, `log_stream`, `region`, `bucket`, `key`, `stream`, `shard`, `partition_key`, `tag`, `container`, `unit`, `identifier`, `priority`, `source` or `host`",
            ),
        );
        check("logs-{owner", Err("has a `{` without a `}`; write a field such as `{owner}`"));
        check("logs-owner}", Err("has a `}` without a `{`"));
    }

    #[test]
    fn only_a_template_without_fields_is_constant() {
        for (text, constant) in [("logs", true), ("logs-{host}", false)] {
            assert_eq!(Template::parse(text).map(|template| template.is_constant()), Ok(constant));
        }
    }

    #[test]
    fn a_stream_name_holds_what_firehose_allows() {
        assert_eq!(stream_name("logs-/aws/lambda/ä b"), "logs--aws-lambda---b");
        assert_eq!(stream_name(&"x".repeat(100)).len(), 64);
        assert_eq!(session_name("standpipe@web 1"), "standpipe@web-1");
    }

    proptest! {
        #[test]
        fn a_template_is_shown_as_it_was_written(text in "([a-z{}]|\\{(host|ec2\\.zone)(:-)?){0,12}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _template = Template::parse(&text);
            prop_assert!(stream_name(&text).chars().all(is_stream_char));
        }
    }
}
