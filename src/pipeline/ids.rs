//! Ids of events that have none of their own, by where their chunk was read.

use aws_lc_rs::digest::{Context, SHA256};

use crate::event::{AckGuard, EventPlace, PlaceId};

/// Records of a request are so far apart, as an exponent: further than any is long.
const RECORD_BITS: u32 = 32;

/// The id of a chunk's first byte. It is the same whenever the chunk is read again, or its request is sent again; where nothing is
/// known that stays the same, it is one that no other chunk has.
pub(super) fn of_chunk(source: &str, ack: &AckGuard) -> PlaceId {
    if let Some(EventPlace { unit, part, offset }) = ack.place() {
        let hash = match part {
            Some(part) => hash(&[&[source], &[unit, " ", part]]),
            None => hash(&[&[source], &[unit]]),
        };
        return PlaceId::new(hash, *offset);
    }
    match ack.request() {
        Some(names) => {
            let unit = hash(&[&[source], &[&names.source_arn], &[&names.request_id]]);
            PlaceId::new(unit, ack.number() << RECORD_BITS)
        }
        None => PlaceId::new(fastrand::u64(..), 0),
    }
}

/// A hash of texts, each in pieces, of which none can be taken for a part of another.
fn hash(texts: &[&[&str]]) -> u64 {
    let mut context = Context::new(&SHA256);
    for pieces in texts {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        context.update(&(len as u64).to_be_bytes());
        pieces.iter().for_each(|piece| context.update(piece.as_bytes()));
    }
    context.finish().as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Acknowledge, LONGEST_ID, Outcome};

    struct IgnoredAck;

    impl Acknowledge for IgnoredAck {
        fn acknowledge(&self, _: u64, _: Outcome) {}
    }

    #[test]
    fn a_part_of_a_unit_has_the_id_of_a_unit_that_is_named_after_both() {
        let id = |place: EventPlace| {
            let ack = AckGuard::open(Arc::new(IgnoredAck), 0).placed(place);
            let id = of_chunk("app", &ack).text(&mut [0; LONGEST_ID]).to_owned();
            ack.settle();
            id
        };
        let part = |unit: &str, part: &str| EventPlace {
            part: Some(part.into()),
            ..EventPlace::new(unit.into(), 7)
        };
        let whole = id(EventPlace::new("arn shard-0 495".into(), 7));
        assert_eq!(id(part("arn shard-0", "495")), whole);
        assert_eq!(whole, "6405fced5afbfdbe-7", "as versions before have it");
        assert_ne!(id(part("arn shard-", "0495")), whole);
    }
}
