//! One view of the events that pass, as workers see it: a budget, a filter, and a queue that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use regex::bytes::Regex;
use tokio::sync::mpsc;

use crate::event::{Origin, Timestamp};

/// Events of a tap that wait for who asked.
pub(super) const QUEUE: usize = 64;

/// Events that a tap looks at until its budget is filled again, at the most.
pub(super) const LOOKS: u32 = 200;

/// Most bytes of an event that are looked at.
pub(super) const LONGEST: usize = 16 << 10;

/// An event, copied.
#[derive(Clone, Debug)]
pub(crate) struct OfferedEvent {
    /// Where it comes from.
    pub(crate) origin: Arc<Origin>,
    /// The stream that it goes to, at a sink.
    pub(crate) stream: Option<String>,
    /// Its own time.
    pub(crate) timestamp: Option<Timestamp>,
    /// What it says, as far as it is looked at.
    pub(crate) text: Bytes,
    /// Whether that is not all.
    pub(crate) is_cut: bool,
}

/// The text of an event, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfferedText<'a> {
    bytes: &'a [u8],
    is_cut: bool,
}

impl<'a> OfferedText<'a> {
    /// As much of the bytes as is looked at.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        match bytes.get(..LONGEST) {
            Some(first) => Self { bytes: first, is_cut: bytes.len() > LONGEST },
            None => Self { bytes, is_cut: false },
        }
    }

    /// The same, where it is known that there was more.
    pub(crate) const fn cut(self, is_cut: bool) -> Self {
        Self { is_cut: self.is_cut || is_cut, ..self }
    }

    /// The same of the inside of a JSON string, which is not cut within an escape.
    pub(crate) fn of_escaped(text: &'a str) -> (&'a str, bool) {
        if text.len() <= LONGEST {
            return (text, false);
        }
        let first = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default();
        // The longest escape has six letters: one that begins within the last of these may not be whole.
        let near = first.get(first.floor_char_boundary(first.len().saturating_sub(6))..).unwrap_or_default();
        let cut = match near.find('\\') {
            Some(at) => {
                let whole = first.get(..first.len().saturating_sub(near.len()).saturating_add(at));
                whole.unwrap_or_default().trim_end_matches('\\')
            }
            None => first,
        };
        (cut, true)
    }
}

/// One view.
#[derive(Debug)]
pub(super) struct EventTap {
    filter: Option<Regex>,
    /// Looks that are left until the budget is filled again.
    left: AtomicU32,
    passed: AtomicU64,
    looked_at: AtomicU64,
    events_tx: mpsc::Sender<OfferedEvent>,
}

impl EventTap {
    /// A view, and what comes of it.
    pub(super) fn new(filter: Option<Regex>) -> (Arc<Self>, mpsc::Receiver<OfferedEvent>) {
        let (events_tx, events_rx) = mpsc::channel(QUEUE);
        let tap = Self {
            filter,
            left: AtomicU32::new(LOOKS),
            passed: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            events_tx,
        };
        (Arc::new(tap), events_rx)
    }

    /// Fills the budget.
    pub(super) fn refill(&self) {
        self.left.store(LOOKS, Ordering::Relaxed);
    }

    /// How many events have passed, and how many of them were looked at.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.looked_at.load(Ordering::Relaxed))
    }

    fn has_looks(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Takes one look of the budget.
    fn take_look(&self) -> bool {
        // An error says that none is left.
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn offer(&self, text: OfferedText<'_>, event: impl FnOnce() -> OfferedEvent) {
        if !self.take_look() {
            return;
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.is_match(text.bytes)) {
            self.looked_at.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // What finds no room was not looked at.
        if let Ok(place) = self.events_tx.try_reserve() {
            self.looked_at.fetch_add(1, Ordering::Relaxed);
            place.send(event());
        }
    }
}

/// The taps that see a chunk's events.
#[derive(Debug)]
pub(crate) struct ChunkTaps {
    taps: Vec<Arc<EventTap>>,
    passed: u64,
}

impl ChunkTaps {
    pub(super) fn new(taps: Vec<Arc<EventTap>>) -> Self {
        Self { taps, passed: 0 }
    }

    /// So many events pass.
    pub(crate) fn pass(&mut self, events: u64) {
        self.passed = self.passed.saturating_add(events);
    }

    /// Whether any tap looks at more.
    pub(crate) fn wants_more(&self) -> bool {
        self.taps.iter().any(|tap| tap.has_looks())
    }

    /// Offers an event to each tap; what is to be known beside its text is asked for only where it is taken.
    pub(crate) fn offer(
        &self,
        text: OfferedText<'_>,
        origin: &Arc<Origin>,
        stream: Option<&str>,
        timestamp: Option<Timestamp>,
    ) {
        for tap in &self.taps {
            tap.offer(text, || OfferedEvent {
                origin: Arc::clone(origin),
                stream: stream.map(str::to_owned),
                timestamp,
                text: Bytes::copy_from_slice(text.bytes),
                is_cut: text.is_cut,
            });
        }
    }
}

impl Drop for ChunkTaps {
    fn drop(&mut self) {
        for tap in &self.taps {
            tap.passed.fetch_add(self.passed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(tap: &Arc<EventTap>) -> ChunkTaps {
        ChunkTaps::new(vec![Arc::clone(tap)])
    }

    fn offer(taps: &mut ChunkTaps, text: &str) {
        taps.pass(1);
        taps.offer(OfferedText::of(text.as_bytes()), &Arc::default(), None, None);
    }

    #[test]
    fn what_finds_no_room_is_skipped_and_nobody_waits() {
        let (tap, mut events_rx) = EventTap::new(None);
        let mut taps = chunk(&tap);
        for _ in 0..3 {
            tap.refill();
            (0..1_000).for_each(|_| offer(&mut taps, "x"));
        }
        assert!(!taps.wants_more());
        drop(taps);
        assert_eq!(tap.counts(), (3_000, QUEUE as u64));
        let mut received = 0;
        while events_rx.try_recv().is_ok() {
            received += 1;
        }
        assert_eq!(received, QUEUE);
    }

    #[test]
    fn a_filter_looks_at_no_more_than_its_budget() {
        let (tap, mut events_rx) = EventTap::new(Some(Regex::new("ERR").unwrap()));
        let mut taps = chunk(&tap);
        (0..10).for_each(|number| offer(&mut taps, if number == 4 { "an ERROR" } else { "fine" }));
        assert_eq!(events_rx.try_recv().unwrap().text, "an ERROR");
        (0..10 * LOOKS).for_each(|_| offer(&mut taps, "fine"));
        offer(&mut taps, "an ERROR");
        assert!(events_rx.try_recv().is_err(), "there was no look left");
        drop(taps);
        assert_eq!(tap.counts(), (u64::from(10 * LOOKS) + 11, u64::from(LOOKS)));
    }

    #[test]
    fn a_long_text_is_cut_and_never_within_an_escape() {
        let long = "x".repeat(LONGEST + 1);
        let text = OfferedText::of(long.as_bytes());
        assert_eq!((text.bytes.len(), text.is_cut), (LONGEST, true));
        for escape in ["\\u0041", "\\n", "\\\\", "\\\\\\\\\\\\\\\\", "é"] {
            for before in LONGEST - 14..=LONGEST {
                let text = format!("{}{}", "x".repeat(before), escape.repeat(20));
                let (cut, is_cut) = OfferedText::of_escaped(&text);
                assert!(
                    is_cut && cut.len() <= LONGEST && cut.len() > LONGEST - 100,
                    "{} of {before}",
                    cut.len()
                );
                let whole: Result<String, _> = serde_json::from_str(&format!("\"{cut}\""));
                assert!(whole.is_ok(), "{before} {escape}");
            }
        }
        assert_eq!(OfferedText::of_escaped("a\\n"), ("a\\n", false));
    }
}
