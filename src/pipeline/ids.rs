//! Ids of events that have none of their own, by where their chunk was read.

use aws_lc_rs::digest::{Context, SHA256};

use crate::event::{AckGuard, EventPlace, PlaceId};

/// Records of a request are so far apart, as an exponent: further than any is long.
const RECORD_BITS: u32 = 32;

/// The id of a chunk's first byte. It is the same whenever the chunk is read again, or its request is sent again; where nothing is
/// known that stays the same, it is one that no other chunk has.
pub(super) fn of_chunk(source: &str, ack: &AckGuard) -> PlaceId {
    if let Some(EventPlace { unit, offset }) = ack.place() {
        return PlaceId::new(hash(&[source, unit]), *offset);
    }
    match ack.request() {
        Some(names) => {
            let unit = hash(&[source, &names.source_arn, &names.request_id]);
            PlaceId::new(unit, ack.number() << RECORD_BITS)
        }
        None => PlaceId::new(fastrand::u64(..), 0),
    }
}

/// A hash of texts, of which none can be taken for a part of another.
fn hash(texts: &[&str]) -> u64 {
    let mut context = Context::new(&SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
