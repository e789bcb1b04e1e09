//! One content is read once, however it is announced; and what is received stays hidden until it is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::aws::FakeObject;
use super::world::{ObjectSettings, ObjectWorld, until};
use super::{lines, records, text};
use crate::event::Timestamp;

/// The next body breaks off, and the object has another content by then.
pub(super) fn overwrite_at_next_get(world: &ObjectWorld, key: &'static str, new: &BTreeSet<String>) {
    let body = text(new);
    let mut state = world.aws.state();
    state.cut_after = Some(500_000);
    state.at_next_get = Some(Box::new(move |state| {
        let object = FakeObject { body, etag: "another".to_owned(), modified: Timestamp::now() };
        state.objects.insert(key.to_owned(), object);
        state.cut_after = None;
    }));
}

/// How `CloudTrail` itself announces an object: without its `ETag`.
fn of_cloudtrail(key: &str) -> Value {
    json!({ "s3Bucket": "b", "s3ObjectKey": [key] })
}

#[tokio::test]
async fn what_is_announced_without_an_etag_is_read_once_too() {
    // Announced by S3 before, between and after; and by CloudTrail alone.
    for of_s3 in [&[0][..], &[1], &[2], &[]] {
        let world = ObjectWorld::new(ObjectSettings::default()).await;
        let one = lines("one", 100);
        let announced = records([world.aws.put("one", text(&one))]);
        for place in 0..3 {
            let is_s3 = of_s3.contains(&place);
            let message = if is_s3 { announced.clone() } else { of_cloudtrail("one") };
            world.aws.send(&message, one.clone());
        }
        let run = world.start(true, 0);
        until("all are looked at", || world.asked("GET /b/one").len() >= 2 + usize::from(of_s3.is_empty()))
            .await;
        run.open_sink();
        world.emptied().await;
        run.stop().await.unwrap();
        world.check_once(&one);
        assert_eq!((world.count("outcome=\"read\""), world.count("outcome=\"repeated\"")), (1, 2));
    }
}

#[tokio::test]
async fn what_replaced_the_announced_content_is_read_once() {
    for is_late in [false, true] {
        let world = ObjectWorld::new(ObjectSettings::default()).await;
        let (old, new) = (lines("old", 10), lines("new", 100));
        let first = records([world.aws.put("app.log", text(&old))]);
        let second = records([world.aws.put("app.log", text(&new))]);
        world.aws.send(&first, BTreeSet::new());
        if !is_late {
            world.aws.send(&second, new.clone());
        }
        let run = world.start(false, 0);
        world.emptied().await;
        if is_late {
            world.aws.send(&second, new.clone());
            world.emptied().await;
        }
        run.stop().await.unwrap();
        world.check_once(&new);
    }
}

#[tokio::test]
async fn what_replaces_a_content_that_is_read_is_read_once() {
    let world = ObjectWorld::new(ObjectSettings::default()).await;
    let (old, new) = (lines("old", 30_000), lines("new", 10));
    let announced = records([world.aws.put("app.log", text(&old))]);
    overwrite_at_next_get(&world, "app.log", &new);
    world.aws.send(&announced, new.clone());
    let run = world.start(false, 0);
    world.emptied().await;
    let again = json!({ "eventName": "ObjectCreated:Put", "s3": {
        "bucket": { "name": "b" }, "object": { "key": "app.log", "eTag": "another", "versionId": "2" } } });
    world.aws.send(&records([again]), new.clone());
    world.emptied().await;
    run.stop().await.unwrap();
    let delivered = world.lines();
    assert!(
        new.iter().all(|line| delivered[line] == 1),
        "{:?}",
        new.iter().map(|line| delivered[line]).max()
    );
}

#[tokio::test]
async fn what_is_received_stays_hidden_while_there_is_no_memory_for_it() {
    let settings =
        ObjectSettings { memory: 5 << 20, visibility: Duration::from_secs(3), ..ObjectSettings::default() };
    let world = ObjectWorld::new(settings).await;
    let mut all = BTreeSet::new();
    for number in 0..30 {
        all.extend(world.announce(&format!("{number}.log"), 5_000, false));
    }
    let run = world.start(true, 0);
    until("the memory is spent", || run.budget.used() >= 3 << 20).await;
    let before = world.asked("ChangeMessageVisibility ").len();
    until("they were extended for long", || {
        world.asked("ChangeMessageVisibility ").len() > before + 3 * world.aws.hidden().max(1)
    })
    .await;
    let received = usize::try_from(world.aws.received()).unwrap();
    assert_eq!(
        (world.aws.hidden(), world.aws.left()),
        (received, 30),
        "each was received once, and is hidden"
    );
    // A stop does not wait for memory, and gives all of them back.
    run.stop().await.unwrap();
    assert_eq!(world.aws.hidden(), 0);
    let run = world.start(false, 0);
    world.emptied().await;
    run.stop().await.unwrap();
    world.check_once(&all);
}
