//! A source of objects against services that fail in every way that they may.

mod aws;
mod contents;
mod listing;
mod world;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::world::{ObjectSettings, ObjectWorld, until};
use crate::config::{Format, ObjectContents};
use crate::event::Timestamp;

/// Lines of an object, each with the object's name and its number.
fn lines(name: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("{name} line {number:07} {}", "x".repeat(number % 60))).collect()
}

fn text(lines: &BTreeSet<String>) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn records(all: impl IntoIterator<Item = Value>) -> Value {
    json!({ "Records": all.into_iter().collect::<Vec<_>>() })
}

impl ObjectWorld {
    /// Puts an object of so many lines and announces it.
    fn announce(&self, key: &str, count: usize, packed: bool) -> BTreeSet<String> {
        let lines = lines(key, count);
        let body = if packed { gz(&text(&lines)) } else { text(&lines) };
        let record = self.aws.put(key, body);
        self.aws.send(&records([record]), lines.clone());
        lines
    }

    async fn emptied(&self) {
        until("every message is deleted", || self.aws.left() == 0).await;
    }

    /// Every one of these lines was delivered, and no other; none twice.
    #[track_caller]
    fn check_once(&self, lines: &BTreeSet<String>) {
        self.check_all(lines);
        let doubled: Vec<_> = self.lines().into_iter().filter(|(_, times)| *times > 1).collect();
        assert_eq!(doubled.len(), 0, "delivered more than once: {:?}", doubled.first());
    }

    #[track_caller]
    fn check_all(&self, lines: &BTreeSet<String>) {
        let delivered: BTreeSet<String> = self.lines().into_keys().collect();
        let missing: Vec<_> = lines.difference(&delivered).collect();
        assert_eq!(missing.len(), 0, "not delivered: {:?}", missing.first());
        let invented: Vec<_> = delivered.difference(lines).collect();
        assert_eq!(invented.len(), 0, "nobody put: {:?}", invented.first());
        assert_eq!(self.aws.state().violations, Vec::<String>::new());
    }

    fn asked(&self, what: &str) -> Vec<String> {
        self.aws.state().asked.iter().filter(|asked| asked.contains(what)).cloned().collect()
    }
}

#[tokio::test]
async fn a_body_that_is_cut_again_and_again_is_resumed_where_it_broke() {
    for packed in [false, true] {
        let world = ObjectWorld::new(ObjectSettings::default()).await;
        let lines = world.announce("app.log", 30_000, packed);
        world.aws.state().cut_after = Some(if packed { 40_000 } else { 500_000 });
        let run = world.start(false, 0);
        world.emptied().await;
        run.stop().await.unwrap();
        world.check_once(&lines);
        assert!(world.asked("bytes=").len() > 1, "{:?}", world.asked("GET"));
    }
}

#[tokio::test]
async fn an_object_that_is_overwritten_while_it_is_read_is_read_as_it_is_then() {
    let world = ObjectWorld::new(ObjectSettings::default()).await;
    let old = world.announce("app.log", 30_000, false);
    let new = lines("new", 10);
    let body = text(&new);
    {
        let mut state = world.aws.state();
        state.cut_after = Some(500_000);
        state.at_next_get = Some(Box::new(move |state| {
            let object = aws::FakeObject { body, etag: "another".to_owned(), modified: Timestamp::now() };
            state.objects.insert("app.log".to_owned(), object);
        }));
    }
    let run = world.start(false, 0);
    until("the new content is delivered", || new.iter().all(|line| world.lines().contains_key(line))).await;
    run.stop().await.unwrap();
    assert!(world.lines().keys().any(|line| old.contains(line)), "what was read before is delivered");
    assert_eq!(world.count("reason=\"changed\""), 1);
}

#[tokio::test]
async fn a_message_is_deleted_when_all_that_it_announces_is_done_and_not_before() {
    let world = ObjectWorld::new(ObjectSettings::default()).await;
    let (one, two) = (lines("one", 100), lines("two", 100));
    let both = [world.aws.put("one", text(&one)), world.aws.put("two", gz(&text(&two)))];
    let all: BTreeSet<String> = one.union(&two).cloned().collect();
    world.aws.send(&records(both), all.clone());
    let run = world.start(true, 0);
    until("both are read", || world.asked("GET /b/").len() == 2).await;
    assert_eq!(world.asked("DeleteMessageBatch"), Vec::<String>::new());
    run.open_sink();
    world.emptied().await;
    run.stop().await.unwrap();
    world.check_once(&all);
    assert_eq!((world.count("outcome=\"deleted\""), world.count("outcome=\"read\"")), (1, 2));
}

#[tokio::test]
async fn a_message_stays_hidden_while_its_object_is_on_its_way() {
    let settings = ObjectSettings { visibility: Duration::from_secs(1), ..ObjectSettings::default() };
    let world = ObjectWorld::new(settings).await;
    let lines = world.announce("app.log", 10, false);
    let run = world.start(true, 0);
    until("its time is extended", || world.asked("ChangeMessageVisibility ").len() >= 4).await;
    assert_eq!((world.asked("GET /b/").len(), world.aws.hidden()), (1, 1), "nobody else gets it");
    run.open_sink();
    world.emptied().await;
    run.stop().await.unwrap();
    world.check_once(&lines);
}

#[tokio::test]
async fn a_message_that_is_anothers_by_now_is_not_deleted() {
    let settings = ObjectSettings { visibility: Duration::from_secs(1), ..ObjectSettings::default() };
    let world = ObjectWorld::new(settings).await;
    world.announce("app.log", 10, false);
    world.aws.state().refuse_extensions = true;
    let run = world.start(true, 0);
    until("it is lost", || world.count("outcome=\"lost\"") == 1).await;
    run.stop().await.unwrap();
    assert_eq!((world.asked("DeleteMessageBatch").len(), world.aws.left()), (0, 1));
}

#[tokio::test]
async fn deletions_that_fail_are_tried_again() {
    let world = ObjectWorld::new(ObjectSettings::default()).await;
    let mut all = BTreeSet::new();
    for number in 0..15 {
        all.extend(world.announce(&format!("{number}.log"), 5, false));
    }
    world.aws.state().failing_deletions = 12;
    let run = world.start(false, 0);
    world.emptied().await;
    until("they are counted", || world.count("outcome=\"deleted\"") == 15).await;
    run.stop().await.unwrap();
    world.check_once(&all);
    assert_eq!(world.count("outcome=\"lost\""), 0);
}

#[tokio::test]
async fn what_is_announced_twice_is_read_once() {
    let world = ObjectWorld::new(ObjectSettings::default()).await;
    let (one, two) = (lines("one", 100), lines("two", 100));
    let (first, second) = (world.aws.put("one", text(&one)), world.aws.put("two", text(&two)));
    let all: BTreeSet<String> = one.union(&two).cloned().collect();
    // In every order, so that who waits for whom makes no circle.
    for pair in [[&first, &second], [&second, &first], [&first, &first], [&second, &second]] {
        world.aws.send(&records(pair.map(Clone::clone)), BTreeSet::new());
    }
    let run = world.start(true, 0);
    until("both are read", || world.asked("GET /b/").len() == 2).await;
    run.open_sink();
    world.emptied().await;
    run.stop().await.unwrap();
    world.check_once(&all);
}

#[tokio::test]
async fn what_nobody_can_read_is_told_and_not_read_for_ever() {
    let world = ObjectWorld::new(ObjectSettings::default()).await;
    let parquet = world.aws.put("table.parquet", b"PAR1 and so on PAR1".to_vec());
    let good = lines("good", 1_000);
    let mut torn = gz(&text(&good));
    torn.truncate(torn.len() - 4);
    let torn = world.aws.put("torn.gz", torn);
    let gone = json!({ "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "b" }, "object": { "key": "gone" } } });
    let removed = json!({ "eventName": "ObjectRemoved:Delete", "s3": { "bucket": { "name": "b" }, "object": { "key": "k" } } });
    let unwanted = world.aws.put("a.tmp", b"a\n".to_vec());
    world.aws.send(&records([parquet, torn, gone, removed, unwanted]), BTreeSet::new());
    let run = world.start(false, 0);
    world.emptied().await;
    run.stop().await.unwrap();
    world.check_once(&good);
    let letters: Vec<(Option<&str>, Value)> = world
        .undecodable
        .lock()
        .iter()
        .map(|(reason, payload)| (*reason, serde_json::from_slice(payload).unwrap()))
        .collect();
    let told: Vec<_> = letters
        .iter()
        .map(|(reason, letter)| (*reason, letter["key"].as_str().unwrap(), letter["error"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (
                Some("unreadable"),
                "table.parquet",
                "it is compressed with Parquet, which standpipe does not read"
            ),
            (Some("unreadable"), "torn.gz", "its gzip ends too early"),
        ]
    );
    assert_eq!((world.count("outcome=\"vanished\""), world.count("outcome=\"skipped\"")), (1, 2));
}

#[tokio::test]
async fn a_message_that_announces_nothing_becomes_a_dead_letter_unless_its_queue_takes_it_aside() {
    for has_redrive in [false, true] {
        let world = ObjectWorld::new(ObjectSettings::default()).await;
        // Its time is over as soon as it was left.
        let left = || {
            let left = world.count("outcome=\"left\"");
            if world.aws.received() == left {
                world.aws.heal();
            }
            left
        };
        world.aws.state().has_redrive = has_redrive;
        world.aws.send(&json!({ "hello": "world" }), BTreeSet::new());
        let run = world.start(false, 0);
        if has_redrive {
            until("it is left often", || left() >= 8).await;
            assert_eq!((world.aws.left(), world.undecodable.lock().len()), (1, 0));
        } else {
            until("it is deleted", || left() >= 4 && world.aws.left() == 0).await;
            assert_eq!(
                *world.undecodable.lock(),
                [(Some("notification"), b"{\"hello\":\"world\"}".to_vec())]
            );
            assert_eq!(world.count("outcome=\"left\""), 4);
        }
        run.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_denial_holds_the_source_and_names_what_is_missing() {
    let world = ObjectWorld::new(ObjectSettings { once: true, ..ObjectSettings::default() }).await;
    let lines = world.announce("app.log", 10, false);
    {
        let mut state = world.aws.state();
        (state.refuse_gets, state.refuse_lists) = (Some((403, "AccessDenied")), true);
    }
    let run = world.start(false, 0);
    until("it is said", || !world.status.issues().is_empty()).await;
    let issue = world.status.issues().concat();
    for part in
        ["s3:GetObject", "`s3:ListBucket` on the bucket itself", "s3://b/app.log", "or it does not exist"]
    {
        assert!(issue.contains(part), "`{part}`: {issue}");
    }
    world.aws.state().refuse_lists = false;
    until("it is said better", || world.status.issues().concat().contains("kms:Decrypt")).await;
    let failed = run.end().await.unwrap_err();
    assert!(
        failed.to_string().contains("s3:GetObject"),
        "a run that reads once does not wait for ever: {failed}"
    );
    assert_eq!((world.aws.left(), world.aws.hidden()), (1, 0), "the message is given back");

    world.aws.state().refuse_gets = None;
    let run = world.start(false, 0);
    run.end().await.unwrap();
    world.check_once(&lines);
    assert_eq!((world.status.issues(), world.aws.left()), (Vec::new(), 0));
}

#[tokio::test]
async fn a_stop_gives_back_what_is_not_read_and_the_next_run_goes_on_where_it_was() {
    for packed in [false, true] {
        let world = ObjectWorld::new(ObjectSettings::default()).await;
        let lines = world.announce("large.log", 200_000, packed);
        {
            let mut state = world.aws.state();
            state.cut_after = Some(if packed { 800_000 } else { 4_000_000 });
            state.at_next_get = Some(Box::new(|state| state.refuse_gets = Some((503, "SlowDown"))));
        }
        let run = world.start(false, 0);
        until("some of it is delivered", || world.lines().len() > 10_000).await;
        run.stop().await.unwrap();
        let before = world.lines().len();
        assert!(before < lines.len(), "it is not done");
        assert_eq!((world.aws.left(), world.aws.hidden()), (1, 0), "the message is given back at once");
        (world.aws.state().refuse_gets, world.aws.state().cut_after) = (None, None);
        let run = world.start(false, 0);
        world.emptied().await;
        run.stop().await.unwrap();
        world.check_once(&lines);
    }
}

#[tokio::test]
async fn an_object_larger_than_the_memory_goes_through_it() {
    let settings = ObjectSettings { memory: 5 << 20, concurrency: 8, ..ObjectSettings::default() };
    let world = ObjectWorld::new(settings).await;
    let all: BTreeSet<String> =
        ["a", "b", "c"].into_iter().flat_map(|key| world.announce(key, 150_000, key == "b")).collect();
    let run = world.start(false, 0);
    world.emptied().await;
    let peak = run.budget.peak();
    assert!(peak <= 7 << 20, "{peak} bytes at most");
    run.stop().await.unwrap();
    world.check_once(&all);
}

#[tokio::test]
async fn a_trail_larger_than_the_memory_arrives_record_for_record() {
    let settings = ObjectSettings {
        contents: ObjectContents::Cloudtrail,
        format: Format::Cloudtrail,
        memory: 5 << 20,
        ..ObjectSettings::default()
    };
    let world = ObjectWorld::new(settings).await;
    let record = |number: usize| {
        json!({ "eventID": number.to_string(), "text": "a \"}],[{\" b".repeat(number % 40) }).to_string()
    };
    let all: BTreeSet<String> = (0..60_000).map(record).collect();
    let text = format!("{{\"Records\":[{}]}}", all.iter().map(String::as_str).collect::<Vec<_>>().join(","));
    assert!(text.len() > 10 << 20);
    let announced = world.aws.put("trail.json.gz", gz(text.as_bytes()));
    world.aws.send(&records([announced]), all.clone());
    let run = world.start(false, 0);
    world.emptied().await;
    let peak = run.budget.peak();
    assert!(peak <= 7 << 20, "{peak} bytes at most");
    run.stop().await.unwrap();
    world.check_once(&all);
}

/// What happens to a source at random.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Objects(u8),
    Again,
    Stop,
    Kill,
    Wait,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1_u8..5).prop_map(Happening::Objects),
        1 => Just(Happening::Again),
        1 => Just(Happening::Stop),
        1 => Just(Happening::Kill),
        2 => Just(Happening::Wait),
    ]
}

async fn play(happenings: Vec<Happening>, seed: u64) {
    let settings = ObjectSettings { visibility: Duration::from_secs(1), ..ObjectSettings::default() };
    let world = ObjectWorld::with_seed(settings, seed).await;
    world.aws.state().faults = 15;
    let mut run = world.start(false, 3);
    let (mut all, mut last, mut number) = (BTreeSet::new(), None, 0_u64);
    for happening in happenings {
        match happening {
            Happening::Objects(count) => {
                let mut announced = Vec::new();
                let mut of_message = BTreeSet::new();
                for _ in 0..count {
                    number += 1;
                    let lines = lines(&number.to_string(), fastrand::usize(..2_000));
                    let body = text(&lines);
                    let body = if number % 2 == 0 { gz(&body) } else { body };
                    announced.push(world.aws.put(&format!("{number}.log"), body));
                    of_message.extend(lines);
                }
                all.extend(of_message.iter().cloned());
                let message = records(announced);
                world.aws.send(&message, of_message.clone());
                last = Some((message, of_message));
            }
            Happening::Again => {
                if let Some((message, lines)) = &last {
                    world.aws.send(message, lines.clone());
                }
            }
            Happening::Stop => {
                run.stop().await.unwrap();
                run = world.start(false, 3);
            }
            Happening::Kill => {
                run.kill().await;
                run = world.start(false, 3);
            }
            Happening::Wait => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    run.stop().await.unwrap();
    world.aws.heal();
    let run = world.start(false, 0);
    world.emptied().await;
    run.stop().await.unwrap();
    world.check_all(&all);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever fails, stops and dies: every event is delivered, and no message is deleted before its events are.
    #[test]
    fn every_event_of_every_object_is_delivered(happenings in proptest::collection::vec(happening(), 1..12), seed: u64) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(play(happenings, seed));
    }
}
