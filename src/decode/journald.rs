//! Entries of systemd's journal, as `journalctl` exports them: their messages as events, each found where it stands.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::long::LengthLimit;
use super::recent_origins::RecentOrigins;
use crate::event::{Event, Events, Field, Message, Origin, Timestamp};
use crate::journal_export::{ExportError, ExportField, ExportFields, JournalCursor};

/// How entries become events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournaldEntries {
    pub(crate) limit: LengthLimit,
}

/// One worker's buffers for entries.
#[derive(Debug, Default)]
pub(crate) struct JournaldScratch {
    /// A message that was cut.
    long: Vec<u8>,
    origins: RecentOrigins,
}

/// A buffer is kept up to this size.
const KEEP_BYTES: usize = 1 << 20;

impl JournaldScratch {
    /// Gives back what an unusually large message needed.
    pub(crate) fn shrink(&mut self) {
        self.long.clear();
        self.long.shrink_to(KEEP_BYTES);
    }
}

/// Entries, or those that are left for later.
#[derive(Debug)]
pub(crate) struct JournaldLeft {
    payload: Bytes,
    /// Where the next entry begins.
    at: usize,
}

impl JournaldLeft {
    pub(crate) const fn new(payload: Bytes) -> Self {
        Self { payload, at: 0 }
    }

    /// Whether nothing is told of them.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.at == 0
    }

    /// All of them.
    pub(crate) fn into_payload(self) -> Bytes {
        self.payload
    }
}

const UNDECODABLE: &str = "journald";

impl JournaldEntries {
    /// Tells as many entries as there is room for, and returns what is left.
    pub(crate) fn decode<E: Events>(
        &self,
        scratch: &mut JournaldScratch,
        origin: &Arc<Origin>,
        mut left: JournaldLeft,
        events: &mut E,
    ) -> Option<JournaldLeft> {
        scratch.origins.set(origin);
        loop {
            let rest = left.payload.get(left.at..).unwrap_or_default();
            if rest.is_empty() {
                return None;
            }
            // Where the entry after one that is none begins is not told.
            let Ok((entry, len)) = JournaldEntry::read(rest) else {
                if !events.fits(rest.len(), 1) {
                    return Some(left);
                }
                events.origin(origin);
                events.undecodable(UNDECODABLE, rest);
                return None;
            };
            if !events.fits_message(Message::Raw(entry.message)) {
                return Some(left);
            }
            self.entry(scratch, &entry, rest, events);
            left.at = left.at.saturating_add(len);
        }
    }

    fn entry<E: Events>(
        &self,
        scratch: &mut JournaldScratch,
        entry: &JournaldEntry<'_>,
        bytes: &[u8],
        events: &mut E,
    ) {
        if events.wants_places() {
            let cursor = JournalCursor::of_entry(bytes).and_then(JournalCursor::parse);
            // The entry's time is the next best.
            let place = cursor.map_or(entry.written.unwrap_or_default(), JournalCursor::place);
            events.at(place);
        }
        let [host, unit, identifier] = [entry.host, entry.unit, entry.identifier].map(named);
        let priority = named(entry.priority.filter(|priority| matches!(priority, [b'0'..=b'7'])));
        let fields =
            [(Field::Unit, &*unit), (Field::Identifier, &*identifier), (Field::Priority, &*priority)];
        events.origin(scratch.origins.of(&host, &fields));
        let timestamp = entry.sent.or(entry.written).map(in_milliseconds);
        let event = Event { message: Message::Raw(entry.message), timestamp, id: None, part: None };
        self.limit.apply(event, &mut scratch.long, events);
    }
}

/// What is told of an entry, where it stands.
#[derive(Clone, Copy, Debug, Default)]
struct JournaldEntry<'a> {
    /// Empty where it has none.
    message: &'a [u8],
    host: Option<&'a [u8]>,
    unit: Option<&'a [u8]>,
    identifier: Option<&'a [u8]>,
    priority: Option<&'a [u8]>,
    /// When the journal took it, in microseconds since 1970.
    written: Option<u64>,
    /// When its program sent it, where that is known.
    sent: Option<u64>,
}

impl<'a> JournaldEntry<'a> {
    /// Reads the entry at the front, and where it ends.
    fn read(bytes: &'a [u8]) -> Result<(Self, usize), ExportError> {
        let mut fields = ExportFields::from(bytes, 0);
        let mut entry = Self::default();
        while let Some(ExportField { name, value }) = fields.field()? {
            match name {
                b"MESSAGE" => entry.message = value,
                b"PRIORITY" => entry.priority = Some(value),
                b"SYSLOG_IDENTIFIER" => entry.identifier = Some(value),
                b"_SYSTEMD_UNIT" => entry.unit = Some(value),
                b"_HOSTNAME" => entry.host = Some(value),
                b"__REALTIME_TIMESTAMP" => entry.written = microseconds(value),
                b"_SOURCE_REALTIME_TIMESTAMP" => entry.sent = microseconds(value),
                _ => {}
            }
        }
        Ok((entry, fields.at()))
    }
}

/// Most bytes of a name; what is longer is cut.
const MOST_NAME: usize = 256;

fn named(name: Option<&[u8]>) -> Cow<'_, str> {
    let name = name.unwrap_or_default();
    String::from_utf8_lossy(name.get(..MOST_NAME).unwrap_or(name))
}

fn microseconds(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn in_milliseconds(microseconds: u64) -> Timestamp {
    Timestamp(i64::try_from(microseconds / 1_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Decoding, Format, TooLong};
    use crate::decode::testing::{SeenEvents, config, decode_with};
    use crate::decode::{Decoder, Scratch, Undecoded};
    use crate::event::Piece;
    use crate::journal_export::{end_entry, put_field};

    const CURSOR: &str = "s=1;i=a;b=2;m=3;t=4;x=5";
    const TIME: (&str, &[u8]) = ("__REALTIME_TIMESTAMP", b"1764499001002003");

    fn entry(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        put_field(&mut out, "__CURSOR", CURSOR.as_bytes());
        for (name, value) in fields {
            put_field(&mut out, name, value);
        }
        end_entry(&mut out);
        out
    }

    fn how() -> Decoding {
        config(Format::Journald)
    }

    #[track_caller]
    fn check(payload: &[u8], told: &[&str]) -> SeenEvents {
        let seen = decode_with(&how(), payload);
        assert_eq!(seen.told(), told);
        seen
    }

    #[test]
    fn an_entry_is_an_event_with_its_time_and_where_it_comes_from() {
        let fields: [(&str, &[u8]); 6] = [
            TIME,
            ("_HOSTNAME", b"web-1"),
            ("_SYSTEMD_UNIT", b"nginx.service"),
            ("SYSLOG_IDENTIFIER", b"nginx"),
            ("PRIORITY", b"4"),
            ("MESSAGE", b"two\nlines"),
        ];
        let seen = check(&entry(&fields), &["1764499001002 two\nlines"]);
        let expected = Origin::new("test", "web-1")
            .with(Field::Unit, "nginx.service")
            .with(Field::Identifier, "nginx")
            .with(Field::Priority, "4");
        assert_eq!(*seen.origins[0], expected);
        assert_eq!(seen.places, [11]);
        let sent = [TIME, ("_SOURCE_REALTIME_TIMESTAMP", b"1764499001000999"), ("MESSAGE", b"a")];
        check(&entry(&sent), &["1764499001000 a"]);
    }

    #[test]
    fn what_an_entry_lacks_is_left_out_and_none_is_dropped() {
        let seen = check(&entry(&[TIME]), &["1764499001002 "]);
        assert_eq!(*seen.origins[0], Origin::new("test", ""));
        check(&entry(&[("MESSAGE", b"no time")]), &["no time"]);
        check(&entry(&[("__REALTIME_TIMESTAMP", b"soon"), ("MESSAGE", b"a")]), &["a"]);
        let odd = check(&entry(&[("PRIORITY", b"8"), ("MESSAGE", b"\xff")]), &["\u{fffd}"]);
        assert_eq!(odd.origins[0].get(Field::Priority), None);
    }

    #[test]
    fn origins_of_entries_that_alternate_are_made_once() {
        let of = |unit: &'static [u8]| entry(&[("_SYSTEMD_UNIT", unit), ("MESSAGE", b"m")]);
        let seen = check(&[of(b"a"), of(b"b"), of(b"a")].concat(), &["m", "m", "m"]);
        let [first, second, third] = seen.origins.as_slice() else { panic!("{:?}", seen.origins) };
        assert!(Arc::ptr_eq(first, third) && !Arc::ptr_eq(first, second));
    }

    #[test]
    fn what_is_no_entry_is_undecodable_with_all_behind_it() {
        let good = entry(&[("MESSAGE", b"good")]);
        check(&[&good[..], b"-- Reboot --\nx"].concat(), &["good", "undecodable journald -- Reboot --\nx"]);
        check(
            &good[..good.len() - 1],
            &[&format!("undecodable journald {}", String::from_utf8_lossy(&good[..good.len() - 1]))],
        );
    }

    #[test]
    fn a_message_that_is_too_long_is_treated_as_configured() {
        let long = "x".repeat(1_500);
        let payload = entry(&[("MESSAGE", long.as_bytes())]);
        check(&payload, &[&"x".repeat(1_000), &"x".repeat(500)]);
        let letter = Decoding { too_long: TooLong::DeadLetter, ..how() };
        assert_eq!(decode_with(&letter, &payload).told(), [format!("undecodable too_long {long}")]);
    }

    #[test]
    fn entries_without_room_are_told_later_and_once() {
        let entries: Vec<u8> =
            (0..20).flat_map(|number| entry(&[("MESSAGE", format!("{number}").as_bytes())])).collect();
        let decoder = Decoder::new(&how());
        let (origin, mut scratch) = (Arc::default(), Scratch::default());
        let mut seen = SeenEvents::with_room(Some(6), usize::MAX);
        let mut left = Some(Undecoded::new(Bytes::from(entries), Piece::default()));
        let mut steps = 0;
        while let Some(undecoded) = left {
            seen.begin_step();
            left = decoder.decode_some(&mut scratch, &origin, undecoded, &mut seen);
            steps += 1;
        }
        let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(seen.told(), expected);
        assert!(steps > 5, "{steps} steps");
    }
}
