//! Who looks at what: nothing, nearly always, which is one relaxed load a chunk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::bytes::{Regex, RegexBuilder};
use tokio::sync::mpsc;

use super::event_tap::{ChunkTaps, EventTap, OfferedEvent};
use super::protocol::{TapRequest, TapTarget};
use crate::sync::Lock;

/// All taps of the process.
#[derive(Debug, Default)]
pub(crate) struct TapHub {
    /// Whether there is any.
    is_tapped: AtomicBool,
    /// The lock covers a look at a short list, or a change of it.
    taps: Lock<Vec<PlacedTap>>,
    /// What there is to look at. The lock covers a look, or a change.
    names: Lock<TapNames>,
}

#[derive(Debug)]
struct PlacedTap {
    target: TapTarget,
    name: String,
    tap: Arc<EventTap>,
}

/// The sources and the sinks.
#[derive(Debug, Default)]
struct TapNames {
    sources: BTreeSet<String>,
    sinks: BTreeSet<String>,
}

/// A tap that is in place; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct TapHandle {
    hub: Arc<TapHub>,
    pub(super) target: TapTarget,
    pub(super) tap: Arc<EventTap>,
    pub(super) events_rx: mpsc::Receiver<OfferedEvent>,
}

/// Most taps at once.
const MOST_TAPS: usize = 16;

/// Most memory of a compiled filter.
const FILTER_BYTES: usize = 1 << 20;

impl TapHub {
    /// These sources and sinks run from now on.
    pub(crate) fn name(&self, sources: impl Iterator<Item = String>, sinks: impl Iterator<Item = String>) {
        *self.names.lock() = TapNames { sources: sources.collect(), sinks: sinks.collect() };
    }

    /// The taps of a source or sink, for one chunk; none, nearly always.
    pub(crate) fn of(&self, target: TapTarget, name: &str) -> Option<ChunkTaps> {
        if self.is_tapped.load(Ordering::Relaxed) { self.find(target, name) } else { None }
    }

    /// Whether anything is looked at.
    pub(crate) fn is_tapped(&self) -> bool {
        self.is_tapped.load(Ordering::Relaxed)
    }

    #[cold]
    fn find(&self, target: TapTarget, name: &str) -> Option<ChunkTaps> {
        let taps = self.taps.lock();
        let of_this = taps.iter().filter(|placed| placed.target == target && placed.name == name);
        let found: Vec<_> = of_this.map(|placed| Arc::clone(&placed.tap)).collect();
        drop(taps);
        (!found.is_empty()).then(|| ChunkTaps::new(found))
    }

    /// Puts a tap in place.
    ///
    /// # Errors
    /// In words, when there is no such thing to look at, or the filter is none.
    pub(super) fn begin(self: &Arc<Self>, request: TapRequest) -> Result<TapHandle, String> {
        let TapRequest { name, target, filter } = request;
        let target = self.target(&name, target)?;
        let filter = filter.as_deref().map(compile).transpose()?;
        let (tap, events_rx) = EventTap::new(filter);
        let mut taps = self.taps.lock();
        if taps.len() >= MOST_TAPS {
            return Err(format!("{MOST_TAPS} taps run already: end one of them"));
        }
        taps.push(PlacedTap { target, name, tap: Arc::clone(&tap) });
        self.is_tapped.store(true, Ordering::Relaxed);
        drop(taps);
        Ok(TapHandle { hub: Arc::clone(self), target, tap, events_rx })
    }

    fn target(&self, name: &str, wanted: Option<TapTarget>) -> Result<TapTarget, String> {
        let names = self.names.lock();
        let (is_source, is_sink) = (names.sources.contains(name), names.sinks.contains(name));
        match (wanted, is_source, is_sink) {
            (Some(TapTarget::Source) | None, true, false) | (Some(TapTarget::Source), true, true) => {
                Ok(TapTarget::Source)
            }
            (Some(TapTarget::Sink) | None, false, true) | (Some(TapTarget::Sink), true, true) => {
                Ok(TapTarget::Sink)
            }
            (None, true, true) => {
                Err(format!("`{name}` is a source and a sink: write `source:{name}` or `sink:{name}`"))
            }
            (_, false, false)
            | (Some(TapTarget::Source), false, true)
            | (Some(TapTarget::Sink), true, false) => {
                let list = |names: &BTreeSet<String>| {
                    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                };
                Err(format!(
                    "there is no `{name}`: the sources are {}, the sinks {}",
                    list(&names.sources),
                    list(&names.sinks)
                ))
            }
        }
    }
}

fn compile(filter: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(filter).size_limit(FILTER_BYTES).dfa_size_limit(FILTER_BYTES).build();
    built.map_err(|error| format!("the filter is no regular expression: {error}"))
}

impl Drop for TapHandle {
    fn drop(&mut self) {
        let mut taps = self.hub.taps.lock();
        taps.retain(|placed| !Arc::ptr_eq(&placed.tap, &self.tap));
        self.hub.is_tapped.store(!taps.is_empty(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, target: Option<TapTarget>, filter: Option<&str>) -> TapRequest {
        TapRequest { name: name.to_owned(), target, filter: filter.map(str::to_owned) }
    }

    fn hub() -> Arc<TapHub> {
        let hub = Arc::<TapHub>::default();
        let names = |names: [&'static str; 2]| names.into_iter().map(str::to_owned);
        hub.name(names(["app", "both"]), names(["archive", "both"]));
        hub
    }

    #[test]
    fn nothing_is_looked_at_before_somebody_asks_and_after_he_is_gone() {
        let hub = hub();
        assert!(hub.of(TapTarget::Source, "app").is_none() && !hub.is_tapped());
        let tap = hub.begin(request("app", None, None)).unwrap();
        assert!(hub.of(TapTarget::Source, "app").is_some());
        assert!(hub.of(TapTarget::Source, "both").is_none() && hub.of(TapTarget::Sink, "app").is_none());
        drop(tap);
        assert!(hub.of(TapTarget::Source, "app").is_none() && !hub.is_tapped());
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let hub = hub();
        for (name, target, filter, expected) in [
            ("archive", None, None, Ok(TapTarget::Sink)),
            ("both", Some(TapTarget::Sink), None, Ok(TapTarget::Sink)),
            ("both", None, None, Err("write `source:both` or `sink:both`")),
            ("app", Some(TapTarget::Sink), None, Err("the sinks `archive`, `both`")),
            ("none", None, None, Err("there is no `none`: the sources are `app`, `both`")),
            ("app", None, Some("("), Err("no regular expression")),
        ] {
            let begun = hub.begin(request(name, target, filter)).map(|tap| tap.target);
            match (begun, expected) {
                (Err(words), Err(expected)) => assert!(words.contains(expected), "{words}"),
                (begun, expected) => assert_eq!(begun.ok(), expected.ok(), "{name}"),
            }
        }
        let taps: Vec<_> = (0..MOST_TAPS).map(|_| hub.begin(request("app", None, None)).unwrap()).collect();
        assert!(hub.begin(request("app", None, None)).is_err());
        drop(taps);
        assert!(hub.begin(request("app", None, None)).is_ok());
    }
}
