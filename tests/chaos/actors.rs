//! Who acts while things go wrong: the writer of the log files, the writer of standard input, Firehose's connections, who logs to log
//! groups that are pulled, who puts objects, and the watch that scrapes and looks at memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::arena::{Arena, BESIDE, Flow, MEMORY};
use crate::daemon::Daemon;
use crate::ledger::{ANNOUNCED, FIRST_SENDER, INPUT, LISTED, LOGS, SENDERS};
use crate::plan::STREAMS;
use crate::standin::{Lines, NewObject, Total};
use crate::story::pause;
use crate::world::{Envelope, Scrape, Sender, get};
use crate::{clock, hostile, peers};

/// The running actors.
pub(crate) struct Actors {
    writers: Vec<JoinHandle<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Actors {
    pub(crate) fn start(arena: &Arc<Arena>, seed: u64) -> Self {
        let spawn = |act: fn(&Arena, u64), seed: u64| {
            let arena = Arc::clone(arena);
            thread::spawn(move || act(&arena, seed))
        };
        let mut writers = vec![spawn(write_files, seed), spawn(write_input, seed)];
        if arena.flow != Flow::Plain {
            writers.push(spawn(write_log_groups, seed));
        }
        if arena.has_objects {
            writers.push(spawn(put_objects, seed));
        }
        if arena.is_hostile {
            writers.extend([spawn(hostile::write, seed), spawn(clock::jump, seed)]);
            writers.extend((0..peers::PEERS).map(|peer| spawn(peers::annoy, seed ^ (200 + peer))));
        }
        writers.extend((0..SENDERS).map(|sender| {
            let arena = Arc::clone(arena);
            thread::spawn(move || send(&arena, sender, seed))
        }));
        Self { writers, watch: Some(spawn(watch, seed)) }
    }

    /// Waits until each writer has ended what it was at.
    pub(crate) fn join(&mut self, arena: &Arena) {
        arena.halt.store(true, Ordering::Release);
        for writer in self.writers.drain(..) {
            if writer.join().is_err() {
                arena.trouble("an actor panicked".to_owned());
            }
        }
    }

    /// Waits for the watch too, once nothing is left to watch.
    pub(crate) fn end(mut self, arena: &Arena) {
        arena.quiet.store(true, Ordering::Release);
        if self.watch.take().is_some_and(|watch| watch.join().is_err()) {
            arena.trouble("the watch panicked".to_owned());
        }
    }
}

/// Waits while nobody is to write.
fn wait_while_quiet(arena: &Arena) {
    while arena.quiet.load(Ordering::Acquire) && !arena.is_over() {
        pause(Duration::from_millis(10));
    }
}

/// About 2,500 lines a second, in bursts.
fn write_files(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 1);
    while !arena.is_over() {
        wait_while_quiet(arena);
        let lines = Arena::lock(&arena.files).append(rng.u64(1..500));
        Arena::lock(&arena.ledger).files = lines;
        pause(Duration::from_millis(rng.u64(10..200)));
    }
}

/// About 500 lines a second.
fn write_input(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 2);
    while !arena.is_over() {
        wait_while_quiet(arena);
        if let Some(tapped) = &mut *Arena::lock(&arena.tap) {
            let mut ledger = Arena::lock(&arena.ledger);
            ledger.input_next += tapped.tap.write(Lines::of_run(INPUT), ledger.input_next);
        }
        pause(Duration::from_millis(rng.u64(1..50)));
    }
}

/// About 500 events a second, in three log groups, many of them late.
fn write_log_groups(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 3);
    let mut next = 0;
    while !arena.is_over() {
        wait_while_quiet(arena);
        let end = next + rng.u64(1..100);
        let (group, age) = (format!("/chaos/{}", rng.u8(..3)), rng.i64(0..600_000) * rng.i64(0..2));
        arena.standin.log(&group, LOGS, next..end, age);
        Arena::lock(&arena.ledger).logs = end;
        next = end;
        pause(Duration::from_millis(rng.u64(20..200)));
    }
}

/// About 500 lines a second, in objects that are announced or only there; a few are large, some compressed, some come in pieces.
fn put_objects(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 4);
    let mut ends = [0; 2];
    for number in 0_u64.. {
        wait_while_quiet(arena);
        if arena.is_over() {
            return;
        }
        let is_large = rng.u8(..50) == 0;
        let count = if is_large { rng.u64(5_000..6_000) } else { rng.u64(1..120) };
        let object = NewObject {
            key: &format!("day {}/{number}.log", rng.u8(..3)),
            is_announced: rng.bool(),
            // What is large only when it is unpacked is read again from its beginning after a stop.
            is_gzipped: rng.bool() && !is_large,
            bad_gets: if rng.u8(..4) == 0 { rng.u32(1..4) } else { 0 },
        };
        let place = usize::from(object.is_announced);
        let end = ends[place] + count;
        arena.standin.put_object(&object, [LISTED, ANNOUNCED][place], ends[place]..end);
        ends[place] = end;
        {
            let mut ledger = Arena::lock(&arena.ledger);
            [ledger.listed, ledger.announced] = ends;
        }
        pause(Duration::from_millis(rng.u64(100..400)));
    }
}

/// One connection of Firehose's: each request is posted until it is answered 200.
fn send(arena: &Arena, sender: usize, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ (100 + sender as u64));
    let run = FIRST_SENDER + u32::try_from(sender).unwrap();
    let mut connection = Sender::to(&arena.endpoint);
    let (mut next, mut request) = (0, 0);
    while !arena.is_over() {
        wait_while_quiet(arena);
        let first = next;
        let mut payloads = Vec::new();
        for _ in 0..rng.u32(1..4) {
            let end = next + rng.u64(10..200);
            payloads.push(Envelope::of_lines(run, next..end).gzipped());
            next = end;
        }
        request += 1;
        let id = format!("{sender}-{request}-{first}");
        let (ends, mut is_repeated) = (Arena::lock(&arena.ledger).ends, false);
        while !is_acknowledged(arena, &mut connection, &id, &payloads) {
            if arena.is_lost() {
                return;
            }
            is_repeated = true;
            pause(Duration::from_millis(rng.u64(20..200)));
        }
        let mut ledger = Arena::lock(&arena.ledger);
        ledger.requests[sender] = next;
        if is_repeated && ledger.ends != ends {
            // What a process delivered of a request that it did not answer 200, the next one does not know.
            ledger.explained += (next - first) * STREAMS.len() as u64;
        }
        drop(ledger);
        pause(Duration::from_millis(rng.u64(50..500)));
    }
}

fn is_acknowledged(arena: &Arena, connection: &mut Sender, id: &str, payloads: &[Vec<u8>]) -> bool {
    // An error is a daemon that is down, or was killed.
    let Ok(reply) = connection.post(id, payloads) else { return false };
    match reply.status {
        200 => {
            let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if told.get("requestId").and_then(|told| told.as_str()) != Some(id) {
                arena.trouble(format!("the answer to request {id} is {}", reply.text()));
            }
            true
        }
        503 => false,
        status => {
            arena.trouble(format!("request {id} is answered {status}: {}", reply.text()));
            false
        }
    }
}

/// Twice a second, until the run is over and nobody writes any more.
fn watch(arena: &Arena, _seed: u64) {
    while !(arena.is_lost() || arena.is_over() && arena.quiet.load(Ordering::Acquire)) {
        look_at_streams(arena);
        look_at_daemon(arena);
        pause(Duration::from_millis(500));
    }
}

fn look_at_streams(arena: &Arena) {
    let report = arena.standin.report();
    let Total { seen, duplicates, damaged, other, .. } = report.total();
    Arena::lock(&arena.ledger).sample(Instant::now(), seen + duplicates);
    // Lines of the hostile writer are no lines that are counted.
    if damaged > 0 || other > 0 && !arena.is_hostile {
        arena
            .trouble(format!("{damaged} lines arrived damaged, and {other} are not lines that were written"));
    }
    if report.limit_violations > 0 {
        arena.trouble(format!("the service's limits are broken: {:?}", report.violations));
    }
}

fn look_at_daemon(arena: &Arena) {
    let (pid, admin) = {
        let mut daemon = Arena::lock(&arena.daemon);
        let Some(daemon) = &mut *daemon else { return };
        if daemon.has_ended() {
            return arena.trouble("it ended by itself".to_owned());
        }
        (daemon.pid, daemon.admin().unwrap_or_default())
    };
    if let Some((memory, _)) = Daemon::size(pid) {
        arena.peak_memory.fetch_max(memory, Ordering::AcqRel);
        if memory > MEMORY + BESIDE {
            arena.trouble(format!("{} MiB resident, of {} allowed", memory >> 20, (MEMORY + BESIDE) >> 20));
        }
    }
    // It may be killed at this moment.
    let Ok(reply) = get(&admin, "/metrics") else { return };
    let scrape = Scrape::parse(reply.text());
    arena.scrapes.fetch_add(1, Ordering::AcqRel);
    let lag = scrape.sum("source_lag_seconds", &["source=\"app\""]);
    Arena::lock(&arena.ledger).lag = Duration::try_from_secs_f64(lag).unwrap_or_default();
    if let Some(leak) = scrape.leak() {
        arena.trouble(format!("what it counts does not add up: {leak}"));
    }
}
