//! Reads what is added to a source's events, `fields` and `metadata`, and the conditions on it; sees that it exists where it is named.

use std::collections::{BTreeMap, BTreeSet};

use super::aws_connection::template;
use super::enrichment_types::label;
use super::flow::reached;
use super::label::{LabelName, MetadataKind};
use super::problem::{Notes, nearest, quoted};
use super::section::Section;
use super::types::{
    Config, Encoding, Enrichment, MetadataNeeds, SinkConfig, SinkKind, Template, TemplateField,
};
use super::values::{choice, glob, list, some};
use crate::event::Field;

/// Whether standpipe itself writes a member of this name into json objects.
pub(super) fn is_own(name: &str) -> bool {
    const OWN: [&str; 7] = ["timestamp", "message", "id", "part", "source", "host", "attributes"];
    OWN.contains(&name) || Field::named(name).is_some()
}

/// The problem of a field that has such a name.
pub(super) fn own_name(name: &str) -> String {
    format!("`{name}` is a field that standpipe itself writes; use another name")
}

/// Reads `fields` and `metadata` of a source.
pub(super) fn enrichment(section: &mut Section<'_>) -> Enrichment {
    let kinds = MetadataKind::ALL.map(|kind| (kind.name(), kind));
    let metadata: BTreeSet<MetadataKind> =
        section.or("metadata", Vec::new(), list(choice(&kinds))).into_iter().collect();
    let entries = section.table("fields").map(|table| table.entries(template)).unwrap_or_default();
    for (name, template) in &entries {
        if is_own(name) {
            section.problem("fields", own_name(name));
        }
        for field in template.fields() {
            match field {
                TemplateField::SourceConfig | TemplateField::Host => {}
                TemplateField::Origin(field) => section.problem(
                    "fields",
                    format!("`{name}` uses `{{{field}}}`, which only an event tells, and json has it by itself; remove it"),
                ),
                TemplateField::Label(label) => match label.kind() {
                    None => section.problem(
                        "fields",
                        format!("`{name}` uses `{{{label}}}`, a field itself; write its value"),
                    ),
                    Some(kind) if !metadata.contains(&kind) => section.problem(
                        "fields",
                        format!("`{name}` uses `{{{label}}}`, which needs `metadata = [\"{}\"]`", kind.name()),
                    ),
                    Some(_) => {}
                },
            }
        }
    }
    Enrichment { fields: entries.into_iter().collect(), metadata }
}

/// Reads the conditions of a route on labels: tables `fields`, `ec2`, `ecs` and `kubernetes`.
pub(super) fn conditions(section: &mut Section<'_>) -> BTreeMap<LabelName, Vec<String>> {
    let mut conditions = BTreeMap::new();
    if let Some(table) = section.table("fields") {
        let entries = table.entries(some(glob)).into_iter();
        conditions.extend(entries.map(|(name, globs)| (LabelName::of_field(&name), globs)));
    }
    for kind in MetadataKind::ALL {
        let Some(mut table) = section.table(kind.name()) else { continue };
        let chosen = kind.family().and_then(|family| Some((family, table.table(family)?)));
        let mut entries: Vec<(String, Vec<String>)> = Vec::new();
        if let Some((family, chosen)) = chosen {
            let named = |(name, globs)| (format!("{family}.{name}"), globs);
            entries.extend(chosen.entries(some(glob)).into_iter().map(named));
        }
        entries.extend(table.entries(some(glob)));
        for (name, globs) in entries {
            match LabelName::parse(&format!("{}.{name}", kind.name())) {
                Some(Ok(label)) => drop(conditions.insert(label, globs)),
                Some(Err(problem)) => section.problem(kind.name(), problem),
                None => {}
            }
        }
    }
    conditions
}

/// Notes fields of a source that a sink adds too, and names that no source has.
pub(super) fn check_names(config: &Config, notes: &Notes) {
    check_clashes(config, notes);
    for (name, sink) in &config.sinks {
        for (key, label) in names_of(sink) {
            if let Some(problem) = unknown(config, &label) {
                notes.problem_at(&format!("sinks.{name}.{key}"), problem);
            }
        }
    }
    for (index, route) in config.routes.iter().enumerate() {
        for label in route.when.labels.keys() {
            if let Some(problem) = unknown(config, label) {
                notes.problem_at(&format!("routes[{index}].when.{label}"), problem);
            }
        }
    }
}

fn check_clashes(config: &Config, notes: &Notes) {
    for (source, steps) in &config.steps {
        let is_twice = |sink: &&str| {
            let sink = config.sinks.get(*sink).filter(|sink| sink.encoding == Encoding::Json);
            let fields = sink.into_iter().flat_map(|sink| &sink.fields);
            fields.map(|(name, _)| name).find(|name| steps.enrichment.fields.contains_key(*name))
        };
        for sink in reached(config, source) {
            if let Some(field) = is_twice(&sink) {
                let text = format!(
                    "`{field}` is also one of the `fields` of sink `{sink}`, which this source leads to; use another name"
                );
                notes.problem_at(&format!("sources.{source}.fields"), text);
            }
        }
    }
}

/// The labels that a sink's names are made of, each with its key.
fn names_of(sink: &SinkConfig) -> Vec<(&'static str, LabelName)> {
    let labels = |key: &'static str, template: &Template| -> Vec<(&'static str, LabelName)> {
        template.fields().filter_map(|field| label(field).map(|label| (key, label))).collect()
    };
    match &sink.kind {
        SinkKind::Directory(directory) => labels("stream", &directory.stream),
        SinkKind::Firehose(firehose) => {
            let of_aws = firehose.aws.fields().filter_map(|field| Some(("assume_role", label(field)?)));
            labels("stream", &firehose.stream).into_iter().chain(of_aws).collect()
        }
    }
}

/// What is wrong with a label that no source has.
fn unknown(config: &Config, label: &LabelName) -> Option<String> {
    let all = || config.steps.values().map(|steps| &steps.enrichment);
    if all().any(|enrichment| enrichment.has(label)) {
        return None;
    }
    if let Some(kind) = label.kind() {
        let kind = kind.name();
        return Some(format!(
            "uses `{{{label}}}`, which no source has; add `metadata = [\"{kind}\"]` to one"
        ));
    }
    let known: BTreeSet<&str> = all().flat_map(|it| it.fields.keys()).map(String::as_str).collect();
    let fix = match nearest(label.field().unwrap_or_default(), known.iter().copied()) {
        Some(near) => format!("did you mean `{{fields.{near}}}`?"),
        None if known.is_empty() => "add it to the `fields` of one".to_owned(),
        None => format!("sources have {}", quoted(known)),
    };
    Some(format!("uses `{{{label}}}`, which no source has; {fix}"))
}

impl Config {
    /// Whether a source's events may have this label.
    pub(super) fn has_label(&self, source: &str, label: &LabelName) -> bool {
        self.steps.get(source).is_some_and(|steps| steps.enrichment.has(label))
    }

    /// Every label that a route or a sink's name uses, apart from the sources' own fields.
    #[must_use]
    pub fn labels_in_use(&self) -> BTreeSet<LabelName> {
        let in_names = self.sinks.values().flat_map(names_of).map(|(_, label)| label);
        let in_routes = self.routes.iter().flat_map(|route| route.when.labels.keys().cloned());
        in_names.chain(in_routes).filter(|label| label.kind().is_some()).collect()
    }

    /// What it needs to know of where standpipe runs.
    #[must_use]
    pub fn metadata_needs(&self) -> MetadataNeeds {
        let all = || self.steps.values().map(|steps| &steps.enrichment);
        MetadataNeeds {
            kinds: all().flat_map(|it| &it.metadata).copied().collect(),
            uses: all().flat_map(Enrichment::uses).chain(self.labels_in_use()).collect(),
            needs: all().flat_map(Enrichment::needs).chain(self.labels_in_use()).collect(),
        }
    }
}
