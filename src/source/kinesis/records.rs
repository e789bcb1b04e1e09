//! An answer of `GetRecords`, or an event of `SubscribeToShard`: its records, decoded one by one from where they stand in it. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use base64_simd::STANDARD;
use serde::Deserialize;

use super::lease::HashRange;
use super::place::SequenceNumber;
use super::quick_json::QuickReader;
use super::shards::ListedShard;

/// An answer, still as it came.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordsPage<'a> {
    /// The records.
    #[serde(borrow, default)]
    pub(super) records: Vec<PageRecord<'a>>,
    #[serde(borrow, default)]
    next_shard_iterator: Option<PageText<'a>>,
    /// Where a subscription goes on after this event; none: the shard has ended.
    #[serde(borrow, default)]
    continuation_sequence_number: Option<PageText<'a>>,
    /// How far the shard's newest record is ahead of this page, in milliseconds.
    #[serde(default)]
    pub(super) millis_behind_latest: Option<i64>,
    /// What came of a shard that has ended.
    #[serde(borrow, default)]
    child_shards: Option<Vec<PageChild<'a>>>,
}

/// A record of a page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PageRecord<'a> {
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    /// In base64.
    #[serde(borrow, default)]
    data: Cow<'a, str>,
    #[serde(borrow, default)]
    partition_key: Option<PageText<'a>>,
}

/// A text that stands in the answer; an option of a plain one would be copied out of it.
#[derive(Debug, Deserialize)]
struct PageText<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PageChild<'a> {
    #[serde(borrow)]
    shard_id: Cow<'a, str>,
    #[serde(borrow, default)]
    parent_shards: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    hash_key_range: PageHashes<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PageHashes<'a> {
    #[serde(borrow)]
    starting_hash_key: Cow<'a, str>,
    #[serde(borrow)]
    ending_hash_key: Cow<'a, str>,
}

impl<'a> RecordsPage<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        // All of it is looked at once, rather than each text by itself.
        let text = simdutf8::basic::from_utf8(bytes).ok()?;
        Self::quick(text).or_else(|| serde_json::from_str(text).ok())
    }

    /// The same of an answer in the usual form; none: it is in another.
    fn quick(text: &'a str) -> Option<Self> {
        let mut reader = QuickReader::new(text);
        let (mut records, mut next, mut continuation, mut behind) = (None, None, None, None);
        reader.object(|reader, name| {
            match name {
                "Records" if records.is_none() => {
                    let list = records.insert(Vec::new());
                    reader.array(|reader| Some(list.push(PageRecord::quick(reader)?)))?;
                }
                "NextShardIterator" if next.is_none() => next = Some(reader.string_or_null()?),
                "ContinuationSequenceNumber" if continuation.is_none() => {
                    continuation = Some(reader.string_or_null()?);
                }
                "MillisBehindLatest" if behind.is_none() => behind = Some(reader.number()?.parse().ok()?),
                _ => return None,
            }
            Some(())
        })?;
        let text = |text: Option<Option<&'a str>>| text.flatten().map(|text| PageText(Cow::Borrowed(text)));
        reader.is_at_end().then(|| Self {
            records: records.unwrap_or_default(),
            next_shard_iterator: text(next),
            continuation_sequence_number: text(continuation),
            millis_behind_latest: behind,
            child_shards: None,
        })
    }

    /// None: an answer that no page is, or that has a record without a number.
    pub(super) fn whole(bytes: &'a [u8]) -> Option<Self> {
        Self::read(bytes)
            .filter(|page| page.records.iter().all(|record| SequenceNumber::is_one(&record.sequence_number)))
    }

    /// Where a subscription goes on after this event.
    pub(super) fn continuation(&self) -> Option<SequenceNumber> {
        self.continuation_sequence_number.as_ref().and_then(|number| SequenceNumber::new(&number.0))
    }

    /// Where the next page begins; none: the shard has ended.
    pub(super) fn next_iterator(&self) -> Option<&str> {
        self.next_shard_iterator.as_ref().map(|iterator| &*iterator.0)
    }

    /// Whether nothing is waiting to be read.
    pub(super) fn is_at_tip(&self) -> bool {
        self.millis_behind_latest.map_or(self.records.is_empty(), |behind| behind <= 0)
    }

    /// The payload bytes of all records, or a few more.
    pub(super) fn payload(&self) -> usize {
        self.records.iter().map(PageRecord::len).sum()
    }

    /// What came of the shard, as far as the answer tells.
    pub(super) fn children(&self) -> Vec<ListedShard> {
        let child = |child: &PageChild<'_>| ListedShard {
            id: Arc::from(&*child.shard_id),
            parents: child.parent_shards.iter().map(|parent| Arc::from(&**parent)).collect(),
            hashes: HashRange {
                first: Arc::from(&*child.hash_key_range.starting_hash_key),
                last: Arc::from(&*child.hash_key_range.ending_hash_key),
            },
            first: SequenceNumber::zero(),
            is_closed: false,
        };
        self.child_shards.iter().flatten().map(child).collect()
    }
}

impl<'a> PageRecord<'a> {
    /// Reads a record in the usual form.
    fn quick(reader: &mut QuickReader<'a>) -> Option<Self> {
        let (mut sequence, mut data, mut partition_key, mut time, mut encryption) =
            (None, None, None, None, None);
        reader.object(|reader, name| {
            let (to, is_text) = match name {
                "Data" => (&mut data, true),
                "SequenceNumber" => (&mut sequence, true),
                "PartitionKey" => (&mut partition_key, true),
                "ApproximateArrivalTimestamp" => (&mut time, false),
                "EncryptionType" => (&mut encryption, true),
                _ => return None,
            };
            let value = if is_text { reader.string()? } else { reader.number()? };
            // Given twice, it is not read so.
            to.replace(value).is_none().then_some(())
        })?;
        Some(Self {
            sequence_number: Cow::Borrowed(sequence?),
            data: Cow::Borrowed(data.unwrap_or_default()),
            partition_key: partition_key.map(|key| PageText(Cow::Borrowed(key))),
        })
    }

    /// So many bytes its data has at most.
    pub(super) fn len(&self) -> usize {
        self.data.len() / 4 * 3
    }

    pub(super) fn partition_key(&self) -> Option<&str> {
        self.partition_key.as_ref().map(|key| &*key.0)
    }

    pub(super) fn sequence(&self) -> Option<SequenceNumber> {
        SequenceNumber::new(&self.sequence_number)
    }

    /// Its data; what is not in base64 is given as it stands.
    pub(super) fn data(&self) -> Vec<u8> {
        STANDARD.decode_to_vec(self.data.as_bytes()).unwrap_or_else(|_| self.data.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn records_are_found_whatever_stands_around_them() {
        let page = br#"{"MillisBehindLatest":12,"Records":[
            {"ApproximateArrivalTimestamp":1.7E9,"Data":"b25l","PartitionKey":"a\"b","SequenceNumber":"495"},
            {"Data":"dHdv\/w==","SequenceNumber":"496","EncryptionType":"KMS"}],"NextShardIterator":"AAA\/b"}"#;
        let page = RecordsPage::read(page).unwrap();
        assert_eq!(page.next_iterator(), Some("AAA/b"));
        assert_eq!((page.millis_behind_latest, page.children().len()), (Some(12), 0));
        let [first, second] = &page.records[..] else { panic!("{page:?}") };
        assert_eq!((first.data(), first.partition_key()), (b"one".to_vec(), Some("a\"b")));
        assert_eq!(first.sequence(), SequenceNumber::new("495"));
        assert_eq!((second.data(), second.partition_key()), (b"two\xff".to_vec(), None));
    }

    #[test]
    fn an_event_of_a_subscription_tells_where_to_go_on() {
        let goes_on = |event: &str| RecordsPage::whole(event.as_bytes()).map(|event| event.continuation());
        let open = r#"{"Records":[],"ContinuationSequenceNumber":"497","MillisBehindLatest":0}"#;
        assert_eq!(goes_on(open), Some(SequenceNumber::new("497")));
        for ended in
            [r#"{"Records":[],"ContinuationSequenceNumber":null}"#, r#"{"Records":[],"ChildShards":[]}"#]
        {
            assert_eq!(goes_on(ended), Some(None), "{ended}");
        }
        assert_eq!(goes_on(r#"{"Records":[{"SequenceNumber":"x"}]}"#), None, "a record without a number");
    }

    #[test]
    fn a_shard_that_has_ended_tells_what_came_of_it() {
        let child = json!({ "ShardId": "s2", "ParentShards": ["s0", "s1"],
            "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "9" } });
        let page = json!({ "Records": [], "NextShardIterator": null, "ChildShards": [child], "MillisBehindLatest": 0 });
        let text = page.to_string();
        let page = RecordsPage::read(text.as_bytes()).unwrap();
        assert!(page.next_iterator().is_none());
        let children = page.children();
        assert_eq!((&*children[0].id, children[0].parents.len(), &*children[0].hashes.last), ("s2", 2, "9"));
    }

    /// What is read quickly is what is read by the rules.
    #[track_caller]
    fn check(text: &str, is_quick: bool) {
        let quick = RecordsPage::quick(text);
        assert_eq!(quick.is_some(), is_quick, "{text}");
        if let Some(quick) = quick {
            let page: RecordsPage<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(format!("{quick:?}"), format!("{page:?}"));
        }
    }

    #[test]
    fn an_answer_is_read_quickly_where_it_is_in_the_usual_form() {
        let record = r#"{"SequenceNumber":"495","ApproximateArrivalTimestamp":1.795311516505E9,"Data":"b25l","PartitionKey":"a","EncryptionType":"KMS"}"#;
        let page = |more: &str| format!(r#"{{"Records":[{record},{record}],{more}}}"#);
        check(&page(r#""NextShardIterator":"AAA","MillisBehindLatest":12"#), true);
        check(&page(r#""NextShardIterator":null,"MillisBehindLatest":0"#), true);
        check(&page(r#""ContinuationSequenceNumber":"497","MillisBehindLatest":0"#), true);
        check(r#"{"Records":[{"SequenceNumber":"1"}]}"#, true);
        check(r#"{"Records":[]}"#, true);
        check("{}", true);
        for other in [
            r#""NextShardIterator":"AAA\/""#,
            r#""NextShardIterator":"A","NextShardIterator":"B""#,
            r#""NextShardIterator": "A""#,
            r#""Records":[]"#,
            r#""MillisBehindLatest":01"#,
            r#""MillisBehindLatest":-1"#,
            r#""MillisBehindLatest":1.5"#,
            r#""ChildShards":[]"#,
            r#""Else":1"#,
        ] {
            check(&page(other), false);
        }
        check("", false);
        check(r#"{"Records":[{"Data":"x"}]}"#, false);
        check("{\"Records\":[{\"SequenceNumber\":\"1\",\"Data\":\"\u{1}\"}]}", false);
        check(r#"{"Records":[{"SequenceNumber":"1","Data":"x"#, false);
    }

    proptest! {
        #[test]
        fn what_is_read_quickly_is_what_is_read_by_the_rules(data in prop::collection::vec("[ -~é]{0,140}", 0..6), at: prop::sample::Index, to in prop::sample::select("{}[]:,\"\\ 0\n1-.E".chars().collect::<Vec<_>>())) {
            let record = |data: &String| json!({ "SequenceNumber": "12", "Data": data, "PartitionKey": "k", "ApproximateArrivalTimestamp": 1.5 });
            let records: Vec<Value> = data.iter().map(record).collect();
            let text = json!({ "Records": records, "NextShardIterator": "x", "MillisBehindLatest": 0 }).to_string();
            let mut chars: Vec<char> = text.chars().collect();
            *at.get_mut(&mut chars) = to;
            for text in [text, chars.into_iter().collect()] {
                if let Some(quick) = RecordsPage::quick(&text) {
                    let page: RecordsPage<'_> = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(format!("{quick:?}"), format!("{page:?}"));
                }
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(RecordsPage::read(&bytes));
        }

        #[test]
        fn data_comes_out_as_it_was_put_in(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..9)) {
            let record = |(number, data): (usize, &Vec<u8>)| {
                json!({ "SequenceNumber": number.to_string(), "Data": STANDARD.encode_to_string(data), "PartitionKey": "k" })
            };
            let records: Vec<_> = all.iter().enumerate().map(record).collect();
            let text = json!({ "Records": records, "NextShardIterator": "x" }).to_string();
            let page = RecordsPage::read(text.as_bytes()).unwrap();
            let found: Vec<Vec<u8>> = page.records.iter().map(PageRecord::data).collect();
            prop_assert!(page.payload() >= all.iter().map(Vec::len).sum());
            prop_assert_eq!(found, all);
        }
    }
}
