//! Which streams a sink puts to, as far as the configuration tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::aws::ResolvedRole;
use crate::config::{Config, FirehoseSink, TemplateField, legs, stream_name};
use crate::event::{Field, Origin};

/// A stream, and as whom it is put to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct PutTarget {
    pub(super) stream: String,
    pub(super) region: Option<String>,
    pub(super) roles: Vec<ResolvedRole>,
}

/// The targets of a sink whose names the configuration alone makes, and the metadata that others depend on.
pub(super) fn targets(
    config: &Config,
    name: &str,
    sink: &FirehoseSink,
    host: &Arc<str>,
) -> (BTreeSet<PutTarget>, Vec<TemplateField>) {
    let mut targets = BTreeSet::new();
    let mut lacking = Vec::new();
    for (source, owner) in origins(config, name) {
        let mut origin = Origin::new(source, Arc::clone(host));
        origin.fields.set(Field::Owner, owner);
        // What metadata tells is not asked here.
        let enrichment = config.steps.get(source).map(|steps| &steps.enrichment);
        origin.labels = enrichment.map(|it| it.labels(&origin, BTreeMap::new(), &[]).into());
        match target(sink, &origin) {
            Some(target) => drop(targets.insert(target)),
            None => lacking.extend(fields(sink).filter(|field| field.of(&origin).is_none())),
        }
    }
    lacking.sort_by_key(ToString::to_string);
    lacking.dedup();
    (targets, lacking)
}

/// The sources that feed a sink, each with every owner that a route names for it.
fn origins<'c>(config: &'c Config, sink: &str) -> Vec<(&'c str, Option<Arc<str>>)> {
    let mut origins = Vec::new();
    for source in config.sources.keys() {
        for leg in legs(config, source).into_iter().filter(|leg| leg.sinks.contains(sink)) {
            let owners = leg.route.and_then(|(_, route)| route.when.fields.get(&Field::Owner));
            let exact =
                owners.into_iter().flatten().filter(|owner| owner.bytes().all(|byte| byte.is_ascii_digit()));
            let before = origins.len();
            origins.extend(exact.map(|owner| (source.as_str(), Some(Arc::from(owner.as_str())))));
            if origins.len() == before {
                origins.push((source.as_str(), None));
            }
        }
    }
    origins
}

fn target(sink: &FirehoseSink, origin: &Origin) -> Option<PutTarget> {
    Some(PutTarget {
        stream: stream_name(&sink.stream.render(origin)?),
        region: match &sink.aws.region {
            Some(region) => Some(region.render(origin)?),
            None => None,
        },
        roles: sink
            .aws
            .assume_role
            .iter()
            .map(|role| ResolvedRole::of(role, origin))
            .collect::<Option<_>>()?,
    })
}

fn fields(sink: &FirehoseSink) -> impl Iterator<Item = TemplateField> {
    sink.stream.fields().chain(sink.aws.fields())
}
