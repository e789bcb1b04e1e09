//! Records that the Kinesis Producer Library put into one. Pure; for any bytes.
//!
//! `F3 89 9A C2`, an `AggregatedRecord` of protocol buffers, and its MD5. What is not all of that is one plain record.
//! Source: <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.

use std::ops::Range;

use super::md5::md5;

const MAGIC: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
const DIGEST: usize = 16;

/// Partition keys beyond so many are not told: records have few, and their table is to stay small.
const MOST_KEYS: usize = 16_384;

const PARTITION_KEYS: u64 = 1;
const RECORDS: u64 = 3;
const KEY_INDEX: u64 = 1;
const DATA: u64 = 3;

/// A record that holds others.
#[derive(Debug)]
pub(super) struct Aggregate<'a> {
    message: &'a [u8],
    /// Where the partition keys stand in the message.
    keys: Vec<Range<usize>>,
}

/// One of the records in an aggregate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct UserRecord<'a> {
    pub(super) data: &'a [u8],
    pub(super) partition_key: Option<&'a str>,
}

impl<'a> Aggregate<'a> {
    /// None: the record is a plain one.
    pub(super) fn open(record: &'a [u8]) -> Option<Self> {
        let (message, digest) = record.strip_prefix(MAGIC)?.split_last_chunk::<DIGEST>()?;
        if message.is_empty() || md5(message) != *digest {
            return None;
        }
        let mut keys = Vec::new();
        let mut reader = WireReader { bytes: message, at: 0 };
        while reader.has_more() {
            match reader.field()? {
                (PARTITION_KEYS, WireValue::Bytes(range)) if keys.len() < MOST_KEYS => keys.push(range),
                (RECORDS, WireValue::Bytes(range)) => drop(user_record(message.get(range)?)?),
                _ => {}
            }
        }
        Some(Self { message, keys })
    }

    /// The records in it, in order.
    pub(super) fn records(&self) -> impl Iterator<Item = UserRecord<'a>> + use<'a, '_> {
        let message = self.message;
        let mut reader = WireReader { bytes: message, at: 0 };
        std::iter::from_fn(move || {
            while reader.has_more() {
                if let (RECORDS, WireValue::Bytes(range)) = reader.field()? {
                    let (data, key) = user_record(message.get(range)?)?;
                    let key = key.and_then(|key| self.keys.get(usize::try_from(key).ok()?));
                    let key = key.and_then(|range| message.get(range.clone()));
                    let partition_key = key.and_then(|key| std::str::from_utf8(key).ok());
                    return Some(UserRecord { data, partition_key });
                }
            }
            None
        })
    }
}

/// The data of a record within an aggregate, and the index of its partition key.
fn user_record(message: &[u8]) -> Option<(&[u8], Option<u64>)> {
    let (mut data, mut key) = (None, None);
    let mut reader = WireReader { bytes: message, at: 0 };
    while reader.has_more() {
        match reader.field()? {
            (KEY_INDEX, WireValue::Number(index)) => key = Some(index),
            (DATA, WireValue::Bytes(range)) => data = message.get(range),
            _ => {}
        }
    }
    Some((data?, key))
}

/// Reads the fields of a message of protocol buffers.
/// Source: <https://protobuf.dev/programming-guides/encoding/>.
struct WireReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum WireValue {
    Number(u64),
    Bytes(Range<usize>),
    /// Of a type that aggregates do not use.
    Unused,
}

impl WireReader<'_> {
    const fn has_more(&self) -> bool {
        self.at < self.bytes.len()
    }

    /// The next field: its number, and its value.
    fn field(&mut self) -> Option<(u64, WireValue)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => WireValue::Number(self.number()?),
            1 => self.skip(8)?,
            2 => {
                let len = usize::try_from(self.number()?).ok()?;
                let start = self.at;
                self.skip(len)?;
                WireValue::Bytes(start..self.at)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn skip(&mut self, len: usize) -> Option<WireValue> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        self.at = end;
        Some(WireValue::Unused)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint(mut number: u64, out: &mut Vec<u8>) {
        while number > 0x7f {
            out.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        out.push(number.to_le_bytes()[0]);
    }

    fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
        varint((field << 3) | 2, out);
        varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }

    /// An aggregate as the producer library writes it: each record has a key of its own.
    pub(crate) fn aggregate(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut message = Vec::new();
        for (key, _) in records {
            bytes(1, key.as_bytes(), &mut message);
        }
        for (index, (_, data)) in records.iter().enumerate() {
            let mut record = Vec::new();
            varint(1 << 3, &mut record);
            varint(index as u64, &mut record);
            bytes(3, data, &mut record);
            bytes(4, b"\x0a\x01t", &mut record);
            bytes(3, &record, &mut message);
        }
        sealed(&message)
    }

    fn sealed(message: &[u8]) -> Vec<u8> {
        [MAGIC, message, &md5(message)].concat()
    }

    fn opened(record: &[u8]) -> Option<Vec<(Option<String>, Vec<u8>)>> {
        let aggregate = Aggregate::open(record)?;
        let owned = |record: UserRecord<'_>| (record.partition_key.map(str::to_owned), record.data.to_vec());
        Some(aggregate.records().map(owned).collect())
    }

    #[test]
    fn records_come_out_as_they_were_put_in() {
        let record = aggregate(&[("a", b"one"), ("b", b""), ("a", b"three")]);
        let found = opened(&record).unwrap();
        let expected = [("a", "one"), ("b", ""), ("a", "three")]
            .map(|(key, data)| (Some(key.to_owned()), data.as_bytes().to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_aggregate_is_a_plain_record() {
        let whole = aggregate(&[("a", b"one")]);
        let mut damaged = whole.clone();
        damaged[6] ^= 1;
        let mut foreign = whole.clone();
        foreign[0] = 0;
        for record in [&b""[..], b"one", &whole[..whole.len() - 1], MAGIC, &damaged, &foreign, &sealed(b"")] {
            assert_eq!(opened(record), None, "{record:x?}");
        }
        // A message that is cut off, with a digest that fits; a record without data.
        for message in [
            &b"\x1a\x05\x08\x00"[..],
            b"\x1a\x02\x08\x00",
            b"\x0b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(opened(&sealed(message)), None, "{message:x?}");
        }
    }

    #[test]
    fn a_key_that_is_not_there_takes_no_data_along() {
        // The index 9 of no keys; a record without an index; and a field of another version.
        let message = b"\x1a\x05\x08\x09\x1a\x01x\x1a\x03\x1a\x01y\x2a\x01z\x31\0\0\0\0\0\0\0\0";
        assert_eq!(opened(&sealed(message)).unwrap(), [(None, b"x".to_vec()), (None, b"y".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_message_is_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(opened(&message));
            if let Some(found) = opened(&sealed(&message)) {
                let bytes: usize = found.iter().map(|(_, data)| data.len()).sum();
                prop_assert!(bytes <= message.len());
            }
        }

        #[test]
        fn any_records_come_out_again(
            records in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u8>(), 0..40)), 1..30)
        ) {
            let put: Vec<(&str, &[u8])> = records.iter().map(|(key, data)| (key.as_str(), data.as_slice())).collect();
            let found = opened(&aggregate(&put)).unwrap();
            let expected: Vec<_> = records.iter().map(|(key, data)| (Some(key.clone()), data.clone())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
