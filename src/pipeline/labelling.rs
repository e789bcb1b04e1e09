//! A source's events are labelled: the origin of a chunk gets the source's own fields, and what names and routes use of where standpipe
//! runs, before the chunk is decoded. That is done once for each origin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

use crate::config::{Config, Enrichment, LabelName, MetadataKind};
use crate::event::{Field, Origin, OriginLabels};
use crate::metadata::{FactValues, HostFacts, is_of_own_pod, of_path};
use crate::sync::Lock;

/// Labels the origins of one source.
#[derive(Debug)]
pub(crate) struct Labeller {
    enrichment: Enrichment,
    /// What routes and names use beside the source's own fields.
    also: Vec<LabelName>,
    facts: Arc<HostFacts>,
    /// The labels of origins that tell nothing of a pod. The lock covers their making.
    made: Lock<Option<MadeLabels>>,
    /// Whether it was said that something of a pod is missing.
    is_told: AtomicBool,
}

#[derive(Debug)]
struct MadeLabels {
    /// Of the facts.
    version: u64,
    labels: Arc<OriginLabels>,
}

/// Origins that a worker labelled of late; none kept where no source has labels.
#[derive(Debug, Default)]
pub(crate) struct LabelledOrigins(Vec<Option<LabelledOrigin>>);

#[derive(Clone, Debug)]
struct LabelledOrigin {
    /// What the source gave: while it is kept, no other has its address.
    bare: Arc<Origin>,
    /// Of the facts.
    version: u64,
    labelled: Arc<Origin>,
}

/// Places for labelled origins, one for each address modulo their number.
const PLACES: usize = 256;

/// Addresses of origins differ beyond so many bits.
const ALIGNED_BITS: u32 = 5;

impl Labeller {
    /// What labels a source's origins; none where it has no labels.
    pub(crate) fn new(enrichment: &Enrichment, config: &Config, facts: &Arc<HostFacts>) -> Option<Self> {
        let is_ours = |label: &LabelName| enrichment.has(label);
        let also: Vec<LabelName> = config.labels_in_use().into_iter().filter(is_ours).collect();
        if enrichment.fields.is_empty() && also.is_empty() {
            return None;
        }
        Some(Self {
            enrichment: enrichment.clone(),
            also,
            facts: Arc::clone(facts),
            made: Lock::default(),
            is_told: AtomicBool::new(false),
        })
    }

    /// The origin with its labels: the one made before, as a rule.
    pub(crate) fn label(&self, bare: Arc<Origin>, kept: &mut LabelledOrigins) -> Arc<Origin> {
        if kept.0.is_empty() {
            kept.0.resize(PLACES, None);
        }
        let place = Arc::as_ptr(&bare).addr().wrapping_shr(ALIGNED_BITS) % PLACES;
        let Some(slot) = kept.0.get_mut(place) else { return bare };
        let version = self.facts.version();
        if let Some(found) = slot
            && Arc::ptr_eq(&found.bare, &bare)
            && found.version == version
        {
            return Arc::clone(&found.labelled);
        }
        let labels = Some(self.labels(&bare, version));
        let labelled = Arc::new(Origin { labels, ..Origin::clone(&bare) });
        *slot = Some(LabelledOrigin { bare, version, labelled: Arc::clone(&labelled) });
        labelled
    }

    fn labels(&self, origin: &Origin, version: u64) -> Arc<OriginLabels> {
        let has_pods = self.enrichment.metadata.contains(&MetadataKind::Kubernetes);
        if let Some(pod) = origin.get(Field::File).filter(|_| has_pods).and_then(|path| of_path(path)) {
            return self.make(origin, Some(pod));
        }
        let mut made = self.made.lock();
        match &*made {
            Some(made) if made.version == version => Arc::clone(&made.labels),
            Some(_) | None => {
                let labels = self.make(origin, None);
                *made = Some(MadeLabels { version, labels: Arc::clone(&labels) });
                labels
            }
        }
    }

    /// `pod`: the one that the file is of.
    fn make(&self, origin: &Origin, pod: Option<FactValues>) -> Arc<OriginLabels> {
        let is_ours = |name: &str| {
            self.enrichment.metadata.iter().any(|kind| name.split('.').next() == Some(kind.name()))
        };
        let may_stay = |name: &str| is_ours(name) && !(pod.is_some() && is_of_own_pod(name));
        let facts = self.facts.values();
        let facts = facts.iter().filter(|(name, _)| may_stay(name));
        let mut values: BTreeMap<Box<str>, Box<str>> =
            facts.map(|(name, value)| (name.clone(), value.clone())).collect();
        values.extend(pod.into_iter().flatten());
        self.say_what_is_missing(origin, &values);
        Arc::new(self.enrichment.labels(origin, values, &self.also))
    }

    /// Says once that a pod is not told.
    fn say_what_is_missing(&self, origin: &Origin, values: &FactValues) {
        let needs = self.enrichment.needs().chain(self.also.iter().cloned());
        let mut of_pods = needs.filter(|name| name.kind() == Some(MetadataKind::Kubernetes));
        let Some(name) = of_pods.find(|name| !values.contains_key(name.as_str())) else { return };
        if self.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let file = origin.get(Field::File).map_or("none", |path| &**path);
        let fix = "read files below /var/log/pods or /var/log/containers, or give standpipe's own pod POD_NAME, POD_NAMESPACE, POD_UID and NODE_NAME by the downward API; or write what stands for it, such as `{kubernetes.pod:-none}`";
        let (source, name) = (&*origin.source, name.as_str());
        warn!(source, name, file, fix, "nobody tells this: events lack it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Template;

    fn labeller(field: &str, metadata: &[MetadataKind]) -> Labeller {
        let fields = BTreeMap::from([("x".to_owned(), Template::parse(field).unwrap())]);
        let enrichment = Enrichment { fields, metadata: metadata.iter().copied().collect() };
        Labeller {
            enrichment,
            also: Vec::new(),
            facts: Arc::default(),
            made: Lock::default(),
            is_told: AtomicBool::new(false),
        }
    }

    #[test]
    fn an_origin_is_labelled_once_and_anew_when_something_else_is_known() {
        let labeller = labeller("{ec2.zone:-none}", &[MetadataKind::Ec2]);
        let mut kept = LabelledOrigins::default();
        let bare = Arc::new(Origin::new("app", "h"));
        let first = labeller.label(Arc::clone(&bare), &mut kept);
        assert_eq!(first.label("fields.x"), Some("none"));
        assert!(Arc::ptr_eq(&first, &labeller.label(Arc::clone(&bare), &mut kept)));
        let other = labeller.label(Arc::new(Origin::new("app", "h")), &mut kept);
        assert!(Arc::ptr_eq(first.labels.as_ref().unwrap(), other.labels.as_ref().unwrap()), "one for all");
        labeller.facts.set(MetadataKind::Ec2, BTreeMap::from([("ec2.zone".into(), "a".into())]));
        assert_eq!(labeller.label(bare, &mut kept).label("fields.x"), Some("a"));
    }

    #[test]
    fn a_file_is_labelled_with_its_own_pod_and_not_with_standpipes() {
        let labeller = labeller("{kubernetes.pod}@{kubernetes.node}", &[MetadataKind::Kubernetes]);
        let own = [("kubernetes.pod", "standpipe-x"), ("kubernetes.node", "n1")];
        let own = own.map(|(name, value)| (Box::from(name), Box::from(value)));
        labeller.facts.set(MetadataKind::Kubernetes, BTreeMap::from(own));
        let mut kept = LabelledOrigins::default();
        let mut check = |path: &str, expected: &str| {
            let origin = Arc::new(Origin::new("app", "h").with(Field::File, path));
            assert_eq!(labeller.label(origin, &mut kept).label("fields.x"), Some(expected), "{path}");
        };
        check("/var/log/pods/shop_front-0_8d1c/web/0.log", "front-0@n1");
        check("/var/log/pods/shop_back-0_8d1c/web/0.log", "back-0@n1");
        check("/var/log/app.log", "standpipe-x@n1");
    }

    #[test]
    fn a_field_that_lacks_what_it_is_made_of_is_left_out() {
        let labeller = labeller("{ec2.zone}", &[MetadataKind::Ec2]);
        let origin = labeller.label(Arc::new(Origin::new("app", "h")), &mut LabelledOrigins::default());
        assert_eq!((origin.label("fields.x"), origin.labels.as_ref().unwrap().json()), (None, ""));
    }
}
