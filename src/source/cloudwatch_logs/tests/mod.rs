//! Tests of the source against a model of the service.

mod day;
mod model;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use self::world::{Fate, MEMORY, Running, Service, settings};
use super::service::PullFaultKind::{Credentials, Denied, Passing, Throttled, Token};
use crate::config::PullSource;

const SECOND: Duration = Duration::from_secs(1);

/// Every one of these events was delivered once.
#[track_caller]
fn once(running: &Running, ids: &[u64]) {
    let delivered = running.delivered.lock();
    let others: Vec<_> = ids.iter().filter(|id| delivered.get(id) != Some(&1)).collect();
    assert!(others.is_empty() && delivered.len() == ids.len(), "{others:?} of {}", delivered.len());
}

/// Events of now and of before, with what is done wrong meanwhile: each is delivered once.
async fn check(wrong: impl Fn(&Service)) {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    service.create("/app/b");
    let mut ids = service.put("/app/a", 730, Duration::from_mins(20));
    ids.extend(service.put("/app/b", 7, SECOND));
    wrong(&service);
    let running = Running::start(dir.path(), &service, settings(), false);
    running.until_delivered(&ids).await;
    wrong(&service);
    ids.extend(service.put("/app/a", 321, Duration::ZERO));
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn each_event_is_delivered_once_whatever_the_service_does_wrong() {
    check(|_| {}).await;
    check(|service| service.state.lock().empty_pages = 3).await;
    check(|service| service.state.lock().faults = [Throttled, Throttled, Passing, Throttled].into()).await;
    check(|service| service.state.lock().token_faults = [Token, Passing, Token].into()).await;
    // More events of one millisecond than a page has.
    check(|service| service.state.lock().page = 13).await;
}

#[tokio::test]
async fn stops_and_starts_double_nothing() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    let mut all = Vec::new();
    for round in 0..4 {
        let ids = service.put("/app/a", 300, Duration::from_mins(10 * (round % 2)));
        let running = Running::start(dir.path(), &service, settings(), false);
        running.until_delivered(&ids).await;
        once(&running, &ids);
        running.stop().await.unwrap();
        all.extend(ids);
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_and_doubles_what_was_on_its_way_at_most() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    let (mut all, mut times) = (Vec::new(), std::collections::BTreeMap::<u64, usize>::new());
    for round in 0..6_u64 {
        all.extend(service.put("/app/a", 500, Duration::from_mins(round)));
        let running = Running::start(dir.path(), &service, settings(), false);
        let least = usize::try_from(100 + 50 * round).unwrap();
        running.until("something is delivered", |delivered| delivered.len() >= least).await;
        running.save();
        let delivered = Arc::clone(&running.delivered);
        running.kill().await;
        for (id, count) in &*delivered.lock() {
            *times.entry(*id).or_default() += count;
        }
    }
    let running = Running::start(dir.path(), &service, settings(), false);
    let missing: Vec<u64> = all.iter().copied().filter(|id| !times.contains_key(id)).collect();
    running.until_delivered(&missing).await;
    running.stop().await.unwrap();
    // Each kill finds what was delivered within the last moment not stored: a few pages.
    let doubled: usize = times.values().map(|count| count - 1).sum();
    assert!(doubled <= 6 * 1_500, "{doubled} of {}", all.len());
}

#[tokio::test]
async fn what_was_given_up_is_read_again() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    let ids = service.put("/app/a", 450, Duration::from_mins(3));
    let running = Running::start(dir.path(), &service, settings(), false);
    *running.fate.lock() = Fate::GiveUp;
    sleep(SECOND / 2).await;
    assert!(running.delivered.lock().is_empty());
    *running.fate.lock() = Fate::Deliver;
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_that_comes_late_is_found_and_one_beyond_the_window_is_not() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    let mut ids = service.put("/app/a", 10, SECOND);
    let window = Duration::from_mins(5);
    let config = PullSource { window, ..settings() };
    let running = Running::start(dir.path(), &service, config, false);
    running.until_delivered(&ids).await;
    // Floors have passed what lies beyond the window, once a poll began after that.
    sleep(3 * SECOND).await;
    service.put("/app/a", 1, Duration::from_mins(30));
    ids.extend(service.put("/app/a", 5, Duration::from_mins(4)));
    ids.extend(service.put("/app/a", 5, Duration::from_secs(90)));
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn log_groups_come_and_go() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/other");
    let running = Running::start(dir.path(), &service, settings(), false);
    sleep(SECOND / 5).await;
    service.create("/app/new");
    let mut ids = service.put("/app/new", 20, SECOND);
    running.until_delivered(&ids).await;
    // Gone in the middle, and another of the same name.
    service.state.lock().groups.remove("/app/new");
    sleep(2 * SECOND).await;
    assert!(running.status.issues().is_empty(), "{:?}", running.status.issues());
    service.create("/app/new");
    ids.extend(service.put("/app/new", 20, SECOND));
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_log_group_that_is_denied_is_held_and_named_while_others_are_read() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    service.create("/app/b");
    service.state.lock().denied = Some("/app/b".to_owned());
    let mut ids = service.put("/app/a", 20, SECOND);
    let denied = service.put("/app/b", 20, SECOND);
    let running = Running::start(dir.path(), &service, settings(), false);
    running.until_delivered(&ids).await;
    let said =
        || running.status.issues().iter().any(|issue| issue.contains("log group `/app/b` cannot be read"));
    running.until("it is said", |_| said()).await;
    service.state.lock().denied = None;
    ids.extend(denied);
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.until("nothing is wrong", |_| running.status.issues().is_empty()).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_run_with_once_reads_what_is_there_and_ends() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    service.create("/app/b");
    for round in 0..2 {
        let mut ids = service.put("/app/a", 250, Duration::from_mins(30));
        ids.extend(service.put("/app/b", 5, SECOND));
        service.state.lock().faults = [Throttled, Passing].into();
        let running = Running::start(dir.path(), &service, settings(), true);
        let delivered = Arc::clone(&running.delivered);
        running.end().await.unwrap();
        let delivered = delivered.lock();
        assert_eq!(delivered.len(), ids.len(), "round {round}");
        assert!(ids.iter().all(|id| delivered.get(id) == Some(&1)), "round {round}");
    }
    for fault in [Denied, Credentials] {
        service.state.lock().faults = [fault].into();
        let running = Running::start(dir.path(), &service, settings(), true);
        assert!(running.end().await.is_err(), "what is left out is said");
    }
}

#[tokio::test]
async fn ids_that_cannot_be_stored_stop_the_source_until_they_can() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    service.create("/app/a");
    std::fs::write(dir.path().join("cloudwatch_logs"), "in the way").unwrap();
    let mut ids = service.put("/app/a", 20, SECOND);
    let running = Running::start(dir.path(), &service, settings(), false);
    let said = || running.status.issues().iter().any(|issue| issue.contains("cannot be kept in"));
    running.until("it is said", |_| said()).await;
    std::fs::remove_file(dir.path().join("cloudwatch_logs")).unwrap();
    running.until_delivered(&ids).await;
    ids.extend(service.put("/app/a", 20, SECOND));
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_source_that_waits_for_its_disk_keeps_no_memory_from_others() {
    let (dir, service) = (tempfile::tempdir().unwrap(), Service::new());
    let groups = ["/app/a", "/app/b", "/app/c", "/app/d", "/app/e", "/app/f", "/app/g", "/app/h"];
    let mut ids = Vec::new();
    for group in groups {
        service.create(group);
        ids.extend(service.put(group, 20, SECOND));
    }
    // So few calls that there is something to be read for seconds.
    let running = Running::start(dir.path(), &service, PullSource { calls: 2.0, ..settings() }, false);
    let [ids_of, aside] = ["cloudwatch_logs", "aside"].map(|name| dir.path().join(name));
    running.until("ids are stored", |_| ids_of.exists()).await;
    std::fs::rename(&ids_of, &aside).unwrap();
    std::fs::write(&ids_of, "in the way").unwrap();
    let said = || running.status.issues().iter().any(|issue| issue.contains("cannot be kept in"));
    running.until("it is said", |_| said()).await;
    // All of it can be had only while nobody holds any beside what is kept for good.
    running.until("all of the memory is free", |_| running.budget.try_admit(MEMORY).is_some()).await;
    std::fs::remove_file(&ids_of).unwrap();
    std::fs::rename(&aside, &ids_of).unwrap();
    running.until_delivered(&ids).await;
    once(&running, &ids);
    running.stop().await.unwrap();
}
