//! What would become of events: the way of the data as a configuration makes it, from a payload to its destinations, with nothing
//! read, written or sent.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::error::RunError;
use super::generation::{Generation, worker_state};
use crate::config::{Config, MetadataKind, SinkKind};
use crate::deadletter::folder_of_source;
use crate::event::{
    AckGuard, Acknowledge, Block, Borders, Chunk, EventPlace, Origin, Outcome, Piece, Timestamp,
};
use crate::health::{Status, Watchdog};
use crate::metadata::HostFacts;
use crate::metrics::Metrics;
use crate::pipeline::{Processor, RehearsedChunk};

/// The way of the data, as a configuration makes it.
#[derive(Debug)]
pub struct Rehearsal {
    config: Config,
    generation: Generation,
    processor: Arc<Processor>,
    /// Where standpipe is said to run.
    facts: Arc<HostFacts>,
}

/// What would become of a payload.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rehearsed {
    /// What each destination would have.
    pub delivered: Vec<RehearsedDelivery>,
    /// Events that no sink would have, by the route that decides it (none: no route does) and why.
    pub dropped: BTreeMap<(Option<usize>, &'static str), u64>,
    /// Events that would be dead letters, by their folder and reason.
    pub dead_letters: BTreeMap<(String, &'static str), u64>,
}

/// What a destination would have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RehearsedDelivery {
    /// The sink.
    pub sink: String,
    /// The stream's name.
    pub stream: String,
    /// The account of the last role; none: no role is assumed.
    pub account: Option<String>,
    /// The region, where one is set.
    pub region: Option<String>,
    /// The events, as the sink writes them; without newlines at their ends, and inflated.
    pub events: Vec<Vec<u8>>,
}

/// Nobody waits for what is rehearsed.
struct Unasked;

impl Acknowledge for Unasked {
    fn acknowledge(&self, _number: u64, _outcome: Outcome) {}
}

/// An envelope is shown inflated up to here.
const MOST_SHOWN: u64 = 64 << 20;

impl Rehearsal {
    /// Builds what a run would; to be called within a runtime.
    ///
    /// # Errors
    /// When something cannot be built.
    pub fn new(mut config: Config) -> Result<Self, RunError> {
        config.limits.workers = 1;
        // Nobody is called, so that no certificate of another machine is needed.
        for sink in config.sinks.values_mut() {
            if let SinkKind::Firehose(firehose) = &mut sink.kind {
                firehose.aws.ca_file = None;
            }
        }
        let status = Arc::new(Status::default());
        let (facts, watchdog) = (Arc::<HostFacts>::default(), Watchdog::default());
        let generation =
            Generation::build(&config, &Metrics::new(), &status, &watchdog, &Arc::default(), &facts)?;
        let processor = Arc::clone(generation.workers.processor());
        Ok(Self { config, generation, processor, facts })
    }

    /// What would become of a payload that comes from `origin`; none: there is not the memory to open it.
    /// `metadata`: where standpipe is said to run.
    pub fn play(
        &self,
        origin: Origin,
        payload: Bytes,
        at: Timestamp,
        metadata: &BTreeMap<MetadataKind, BTreeMap<String, String>>,
    ) -> Option<Rehearsed> {
        for kind in MetadataKind::ALL {
            let told = metadata.get(&kind).into_iter().flatten();
            let named = |(name, value): (&String, &String)| {
                (format!("{}.{name}", kind.name()).into(), value.as_str().into())
            };
            self.facts.set(kind, told.map(named).collect());
        }
        let source = Arc::clone(&origin.source);
        let held = self.generation.budget.charge(payload.len() as u64);
        // The ids of events, by which routes take samples, are the same each time.
        let place = EventPlace::new("test".into(), 0);
        let ack = AckGuard::open(Arc::new(Unasked), 0).placed(place);
        let (origin, piece) = (Arc::new(origin), Piece::default());
        let chunk = Chunk { origin, payload, piece, read_at: at, ack, held };
        // What routes count, they count anew. It could be made before.
        let mut state = worker_state(&self.config, &self.generation.sinks).ok()?();
        let rehearsed = self.processor.rehearse(chunk, &mut state)?;
        Some(self.named(&source, rehearsed))
    }

    /// The same with the names of sinks.
    fn named(&self, source: &str, rehearsed: RehearsedChunk) -> Rehearsed {
        let sink = |index: usize| self.generation.sinks.get(index).map(|sink| sink.name.clone());
        let mut named = Rehearsed::default();
        for segment in rehearsed.delivered {
            let role = segment.key.roles.last();
            let arn: Option<crate::arn::Arn> = role.and_then(|role| role.arn.parse().ok());
            named.add(RehearsedDelivery {
                sink: sink(segment.sink).unwrap_or_default(),
                stream: segment.key.stream,
                account: arn.map(|arn| arn.account),
                region: segment.key.region,
                events: segment.blocks.iter().flat_map(events).collect(),
            });
        }
        for (why, events) in rehearsed.filtered {
            let count = named.dropped.entry((why.route, why.reason.label())).or_default();
            *count = count.saturating_add(events);
        }
        for letter in rehearsed.undeliverable {
            let folder = letter.sink.and_then(sink).unwrap_or_else(|| folder_of_source(source));
            let count = named.dead_letters.entry((folder, letter.reason)).or_default();
            *count = count.saturating_add(letter.events);
        }
        named
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.generation.workers.close();
        self.generation.workers.kill();
    }
}

impl Rehearsed {
    /// Adds events to those of their destination.
    fn add(&mut self, delivery: RehearsedDelivery) {
        let is_same = |known: &&mut RehearsedDelivery| {
            (&known.sink, &known.stream, &known.account, &known.region)
                == (&delivery.sink, &delivery.stream, &delivery.account, &delivery.region)
        };
        match self.delivered.iter_mut().find(is_same) {
            Some(known) => known.events.extend(delivery.events),
            None => self.delivered.push(delivery),
        }
    }
}

/// The events of a block, one by one.
fn events(block: &Block) -> Vec<Vec<u8>> {
    match &block.borders {
        Borders::Newlines(_) => {
            let lines = block.data.split_inclusive(|byte| *byte == b'\n');
            lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect()
        }
        Borders::Ends(ends) => {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let event = |(start, end): (u32, &u32)| block.data.get(start as usize..*end as usize);
            starts.zip(ends).filter_map(event).map(inflated).collect()
        }
    }
}

fn inflated(event: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    if event.starts_with(&[0x1f, 0x8b])
        && MultiGzDecoder::new(event).take(MOST_SHOWN).read_to_end(&mut text).is_ok()
    {
        return text;
    }
    event.strip_suffix(b"\n").unwrap_or(event).to_vec()
}
