//! What is added to a source's events, as the rest of the program uses it.

use std::collections::{BTreeMap, BTreeSet};

use super::label::{LabelName, MetadataKind};
use super::template::{Template, TemplateField};
use crate::event::{Origin, OriginLabels};

/// What is added to a source's events: `fields` and `metadata`.
#[derive(Clone, Debug, Default)]
pub struct Enrichment {
    /// Fields by their names in json: what each is made of.
    pub fields: BTreeMap<String, Template>,
    /// Who is asked where standpipe runs.
    pub metadata: BTreeSet<MetadataKind>,
}

impl Enrichment {
    /// Whether its events may have this label.
    #[must_use]
    pub fn has(&self, name: &LabelName) -> bool {
        match (name.field(), name.kind()) {
            (Some(field), _) => self.fields.contains_key(field),
            (None, Some(kind)) => self.metadata.contains(&kind),
            (None, None) => false,
        }
    }

    /// The labels of an origin: the fields, and of `metadata`, which is by dotted names, what `also` names. A field that lacks what it is
    /// made of is left out.
    #[must_use]
    pub fn labels(
        &self,
        origin: &Origin,
        metadata: BTreeMap<Box<str>, Box<str>>,
        also: &[LabelName],
    ) -> OriginLabels {
        let known = |name: &LabelName| Some((name.as_str().into(), metadata.get(name.as_str())?.clone()));
        let mut labels: BTreeMap<Box<str>, Box<str>> = also.iter().filter_map(known).collect();
        let of_metadata = OriginLabels::from(metadata);
        let made_of = Origin { labels: Some(of_metadata.into()), ..origin.clone() };
        for (name, template) in &self.fields {
            if let Some(value) = template.render(&made_of) {
                labels.insert(LabelName::of_field(name).as_str().into(), value.into());
            }
        }
        labels.into()
    }

    /// What its fields are made of that nothing stands for.
    pub fn needs(&self) -> impl Iterator<Item = LabelName> {
        self.fields.values().flat_map(Template::lacking).filter_map(label)
    }

    /// All that its fields are made of.
    pub(super) fn uses(&self) -> impl Iterator<Item = LabelName> {
        self.fields.values().flat_map(Template::fields).filter_map(label)
    }
}

/// What a configuration needs to know of where standpipe runs.
#[derive(Clone, Debug, Default)]
pub struct MetadataNeeds {
    /// Who is asked.
    pub kinds: BTreeSet<MetadataKind>,
    /// What is used of their answers.
    pub uses: BTreeSet<LabelName>,
    /// The part of it that nothing stands for where it is missing.
    pub needs: BTreeSet<LabelName>,
}

/// The label that a field of a template is, if it is one.
pub(super) fn label(field: TemplateField) -> Option<LabelName> {
    match field {
        TemplateField::Label(label) => Some(label),
        TemplateField::Origin(_) | TemplateField::SourceConfig | TemplateField::Host => None,
    }
}
