//! A bucket that is listed again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::contents::overwrite_at_next_get;
use super::world::{ObjectSettings, ObjectWorld, until};
use super::{gz, lines, text};
use crate::config::{ListingFeed, ListingStart, ObjectLayout};
use crate::event::Timestamp;
use crate::source::s3::sweep::{DAY, folder_of};

fn settings(layout: ObjectLayout, start: ListingStart, once: bool) -> ObjectSettings {
    let listing = ListingFeed {
        bucket: "b".to_owned(),
        prefix: "AWSLogs/".to_owned(),
        layout,
        start,
        lookback: Duration::from_hours(72),
        every: Duration::from_millis(50),
    };
    ObjectSettings { once, listing: Some(listing), ..ObjectSettings::default() }
}

impl ObjectWorld {
    /// Puts an object that changed last so many days ago.
    fn lay(&self, key: &str, days: i64) -> BTreeSet<String> {
        let lines = lines(key, 50);
        drop(self.aws.put(key, gz(&text(&lines))));
        let modified = Timestamp(Timestamp::now().0 - days * DAY - 1);
        self.aws.state().objects.get_mut(key).unwrap().modified = modified;
        lines
    }

    async fn until_read(&self, all: &BTreeSet<String>) {
        until("all of it is delivered", || all.iter().all(|line| self.lines().contains_key(line))).await;
    }
}

fn today() -> i64 {
    Timestamp::now().0.div_euclid(DAY)
}

#[tokio::test]
async fn each_object_of_a_bucket_is_read_once_however_often_it_is_listed_and_by_however_many_runs() {
    let world = ObjectWorld::new(settings(ObjectLayout::Flat, ListingStart::Beginning, false)).await;
    let mut all: BTreeSet<String> =
        (0..7).flat_map(|number| world.lay(&format!("AWSLogs/a b+{number}.gz"), number)).collect();
    world.lay("elsewhere.gz", 0);
    let run = world.start(false, 0);
    world.until_read(&all).await;
    // It sorts before what is known.
    all.extend(world.lay("AWSLogs/0.gz", 0));
    world.until_read(&all).await;
    let before = world.asked("list-type").len();
    until("it is listed again", || world.asked("list-type").len() > before + 10).await;
    run.stop().await.unwrap();
    all.extend(world.lay("AWSLogs/late.gz", 1));
    let run = world.start(false, 0);
    world.until_read(&all).await;
    run.stop().await.unwrap();
    world.check_once(&all);
    // Another content under the same key is another object.
    let old = all.clone();
    let new = lines("new", 5);
    drop(world.aws.put("AWSLogs/0.gz", text(&new)));
    all.extend(new);
    let run = world.start(false, 0);
    world.until_read(&all).await;
    run.stop().await.unwrap();
    world.check_once(&all);
    assert_eq!(world.count("outcome=\"read\""), 10);
    assert!(old.len() < all.len());
}

#[tokio::test]
async fn an_object_that_is_overwritten_while_it_is_read_is_read_once_as_it_is_then() {
    let world = ObjectWorld::new(settings(ObjectLayout::Flat, ListingStart::Beginning, false)).await;
    let (old, new) = (lines("old", 30_000), lines("new", 10));
    drop(world.aws.put("AWSLogs/a.log", text(&old)));
    overwrite_at_next_get(&world, "AWSLogs/a.log", &new);
    let run = world.start(false, 0);
    world.until_read(&new).await;
    let before = world.asked("list-type").len();
    until("it is listed again", || world.asked("list-type").len() > before + 5).await;
    run.stop().await.unwrap();
    // Neither is it read by another run.
    let run = world.start(false, 0);
    let before = world.asked("list-type").len();
    until("it is listed again", || world.asked("list-type").len() > before + 5).await;
    run.stop().await.unwrap();
    let delivered = world.lines();
    assert!(new.iter().all(|line| delivered[line] == 1), "what is there now is delivered once");
}

#[tokio::test]
async fn a_prefix_without_folders_of_its_layout_is_told() {
    let world = ObjectWorld::new(settings(ObjectLayout::Cloudtrail, ListingStart::Beginning, true)).await;
    world.lay("AWSLogs/07/31/x.json.gz", 0);
    world.start(false, 0).end().await.unwrap();
    assert_eq!((world.count("reason=\"layout\""), world.lines().len()), (1, 0));
}

#[tokio::test]
async fn a_run_that_reads_once_fills_in_what_every_account_and_region_has_and_ends() {
    let world = ObjectWorld::new(settings(ObjectLayout::Cloudtrail, ListingStart::Beginning, true)).await;
    let mut all = BTreeSet::new();
    for (root, days) in [
        ("AWSLogs/1/CloudTrail/us-east-1/", vec![0, 1, 400]),
        ("AWSLogs/1/CloudTrail/eu-west-1/", vec![0, 2]),
        ("AWSLogs/o-1/2/CloudTrail/us-east-1/", vec![3, 90]),
        ("AWSLogs/o-1/2/CloudTrail-Insight/us-east-1/", vec![5]),
    ] {
        for day in days {
            all.extend(world.lay(&format!("{}x.json.gz", folder_of(root, today() - day)), day));
        }
    }
    world.lay(&format!("{}d.json.gz", folder_of("AWSLogs/1/CloudTrail-Digest/us-east-1/", today())), 0);
    world.lay(&format!("{}v.log.gz", folder_of("AWSLogs/1/vpcflowlogs/us-east-1/", today())), 0);
    world.start(false, 0).end().await.unwrap();
    world.check_once(&all);
    // What is older than what may be late is listed no more.
    let before = world.asked("list-type").len();
    world.start(false, 0).end().await.unwrap();
    world.check_once(&all);
    let asked: Vec<String> = world.asked("list-type").into_iter().skip(before).collect();
    let old = folder_of("AWSLogs/1/CloudTrail/us-east-1/", today() - 400).replace('/', "%2F");
    assert!(!asked.iter().any(|asked| asked.contains(&old)), "{asked:?}");
    let late =
        world.lay(&format!("{}late.json.gz", folder_of("AWSLogs/1/CloudTrail/us-east-1/", today() - 2)), 0);
    all.extend(late);
    world.start(false, 0).end().await.unwrap();
    world.check_once(&all);
}

#[tokio::test]
async fn a_source_that_starts_now_or_some_days_ago_leaves_what_was_there_before() {
    for (start, days) in [(ListingStart::Now, 0), (ListingStart::Ago(Duration::from_hours(49)), 2)] {
        let world = ObjectWorld::new(settings(ObjectLayout::Flat, start, false)).await;
        let mut all: BTreeSet<String> =
            (0..days).flat_map(|day| world.lay(&format!("AWSLogs/{day}.gz"), day)).collect();
        world.lay("AWSLogs/old.gz", 5);
        let run = world.start(false, 0);
        until("it is listed", || !world.asked("list-type").is_empty()).await;
        all.extend(world.lay("AWSLogs/new.gz", -1));
        world.until_read(&all).await;
        run.stop().await.unwrap();
        world.check_once(&all);
    }
}

#[tokio::test]
async fn stops_kills_and_faults_lose_no_object_of_a_listing() {
    let world = ObjectWorld::new(settings(ObjectLayout::Flat, ListingStart::Beginning, false)).await;
    world.aws.state().faults = 8;
    let mut all = BTreeSet::new();
    for round in 0..4 {
        all.extend((0..5).flat_map(|number| world.lay(&format!("AWSLogs/{round}-{number}.gz"), 0)));
        let run = world.start(false, 5);
        until("something is read", || world.lines().len() > 200 * round).await;
        if round % 2 == 0 { run.stop().await.unwrap() } else { run.kill().await }
    }
    world.aws.heal();
    let run = world.start(false, 0);
    world.until_read(&all).await;
    run.stop().await.unwrap();
    world.check_all(&all);
}

#[tokio::test]
async fn a_bucket_that_may_not_be_listed_holds_the_source_and_names_what_is_missing() {
    let world = ObjectWorld::new(settings(ObjectLayout::Flat, ListingStart::Beginning, true)).await;
    world.aws.state().refuse_lists = true;
    let run = world.start(false, 0);
    until("it is said", || !world.status.issues().is_empty()).await;
    let issue = world.status.issues().concat();
    assert!(issue.contains("`s3:ListBucket` on the bucket itself (`arn:aws:s3:::b`"), "{issue}");
    assert!(run.end().await.is_err(), "a run that reads once does not wait for ever");
}
