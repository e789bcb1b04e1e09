//! Pacing against a model of Firehose's quota: senders, a network with latency, and a bucket that holds a second's worth. Pure, so
//! that minutes of many quotas pass in a moment.

mod input;
mod service;
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use self::input::SimInput;
use self::service::{SimAnswer, SimService};
use super::pacing::{Pacing, Room};
use super::step::RequestLoad;
use crate::limits::{MAX_REQUEST_RECORDS, TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};

/// How the service says that it is too much.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SimMode {
    /// Single records inside a 200.
    Records,
    /// The call.
    Calls,
    /// One or the other.
    Mixed,
}

/// What is simulated.
#[derive(Clone, Copy, Debug)]
struct SimCase {
    /// Bytes a second.
    bytes: f64,
    /// Records a second.
    records: f64,
    latency: Duration,
    senders: usize,
    mode: SimMode,
    /// The size of events that are records by themselves; none: lines, which records of any size are made of.
    event: Option<usize>,
    /// Seconds between the senders' starts.
    stagger: u64,
    /// When the first sender leaves.
    leaves: u64,
    /// Records and calls that fail whatever the rate.
    faults: (f64, f64),
    /// The seconds of an outage.
    outage: (u64, u64),
    /// Bytes that are written for each sender in a second; none: there is ever more to send.
    input: Option<f64>,
    /// Seconds of it that are there at the start.
    backlog: u64,
    seconds: u64,
    seed: u64,
}

const MIB: f64 = 1_048_576.0;

impl SimCase {
    fn of(mib: f64, latency: u64, senders: usize, mode: SimMode) -> Self {
        Self {
            bytes: mib * MIB,
            records: f64::INFINITY,
            latency: Duration::from_millis(latency),
            senders,
            mode,
            event: None,
            stagger: 0,
            leaves: u64::MAX,
            faults: (0.0, 0.0),
            outage: (0, 0),
            input: None,
            backlog: 0,
            seconds: 120,
            seed: 1,
        }
    }

    /// A quota of records, of events of 2 KiB that are records by themselves.
    fn of_events(self) -> Self {
        Self { records: self.bytes / 2048.0, bytes: f64::INFINITY, event: Some(2048), ..self }
    }
}

#[derive(Default)]
struct SimTally {
    accepted: f64,
    sent: f64,
    refused: f64,
    calls: u32,
}

/// One sender's loop, as [`super::Delivery`] keeps it, with ever more to send.
struct SimSender {
    pacing: Pacing,
    waiting: Vec<(f64, u32, Vec<usize>)>,
    in_flight: usize,
    /// Bytes under way: memory is bounded.
    bytes: usize,
    paused: f64,
    /// When the next request may leave.
    departure: f64,
    /// When it looks next what it may send.
    looks: f64,
    starts: f64,
    input: Option<SimInput>,
    by_second: Vec<SimTally>,
}

struct SimFlight {
    sender: usize,
    launched: f64,
    sent: f64,
    attempts: u32,
    request: Vec<usize>,
    answer: Option<SimAnswer>,
}

struct SimWorld {
    case: SimCase,
    zero: Instant,
    service: SimService,
    senders: Vec<SimSender>,
    flights: Vec<SimFlight>,
    /// Microseconds, and what happens: a sender looks, or a flight goes on.
    events: BinaryHeap<Reverse<(u64, u64, SimEvent)>>,
    order: u64,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum SimEvent {
    Look(usize),
    Arrive(usize),
    Land(usize),
}

/// Payload that records and requests under way may hold of the default 64 MiB.
const MEMORY: usize = 36_000_000;

/// The next request leaves so long after the one before, in seconds.
const HEAD_START: f64 = 0.01;

/// Bytes a second of a sender's network and CPU.
const WIRE: f64 = 600e6;

impl SimWorld {
    fn run(case: SimCase) -> Vec<SimSender> {
        let zero = Instant::now() + Duration::from_secs(1_000);
        let mut rng = fastrand::Rng::with_seed(case.seed ^ 0xA5A5);
        let senders = (0..case.senders).map(|number| {
            let starts =
                seconds_of(case.stagger) * f64::from(u32::try_from(number).unwrap()) + 0.3 * rng.f64();
            SimSender {
                pacing: Pacing::new(16, zero + Duration::from_secs_f64(starts)),
                waiting: Vec::new(),
                in_flight: 0,
                bytes: 0,
                paused: 0.0,
                departure: 0.0,
                looks: f64::INFINITY,
                starts,
                input: case.input.map(|rate| SimInput {
                    rate,
                    starts: starts - seconds_of(case.backlog),
                    taken: 0.0,
                }),
                by_second: Vec::new(),
            }
        });
        let senders: Vec<_> = senders.collect();
        let service = SimService::new(case);
        let mut world = Self {
            case,
            zero,
            service,
            senders,
            flights: Vec::new(),
            events: BinaryHeap::new(),
            order: 0,
            rng,
        };
        for number in 0..case.senders {
            world.look_at(number, world.senders[number].starts);
        }
        while let Some(Reverse((micros, _, event))) = world.events.pop() {
            let now = Duration::from_micros(micros).as_secs_f64();
            if now > seconds_of(case.seconds) {
                break;
            }
            match event {
                SimEvent::Look(sender) => world.look(sender, now),
                SimEvent::Arrive(flight) => world.arrive(flight, now),
                SimEvent::Land(flight) => world.land(flight, now),
            }
        }
        world.senders
    }

    fn at(&mut self, when: f64, event: SimEvent) {
        self.order += 1;
        let micros = u64::try_from(Duration::from_secs_f64(when).as_nanos().div_ceil(1_000)).unwrap();
        self.events.push(Reverse((micros, self.order, event)));
    }

    /// A sender looks again, unless it does so sooner.
    fn look_at(&mut self, number: usize, when: f64) {
        if when < self.senders[number].looks {
            self.senders[number].looks = when;
            self.at(when, SimEvent::Look(number));
        }
    }

    fn instant(&self, when: f64) -> Instant {
        self.zero + Duration::from_secs_f64(when)
    }

    /// A sender sends what it may, or looks again when it may.
    fn look(&mut self, number: usize, now: f64) {
        let (instant, event, chance) = (self.instant(now), self.case.event, self.rng.f64());
        let zero = self.zero;
        let sender = &mut self.senders[number];
        // An event's time is in whole microseconds.
        if now + 1e-6 < sender.looks {
            return;
        }
        sender.looks = f64::INFINITY;
        let left = number == 0 && now >= seconds_of(self.case.leaves);
        if left || sender.in_flight >= sender.pacing.window() || sender.bytes > MEMORY {
            return;
        }
        let next = sender.pacing.next().map_or(0.0, |next| next.duration_since(zero).as_secs_f64());
        let blocked = next.max(sender.paused);
        if blocked > now {
            sender.pacing.idle(false, instant);
            return self.look_at(number, blocked);
        }
        let (attempts, request) = sender.request(now, event);
        if request.is_empty() {
            sender.pacing.idle(sender.may_take(), instant);
            let due = sender.waiting.iter().map(|(at, ..)| *at).fold(f64::INFINITY, f64::min);
            let input = sender.input.filter(|_| sender.may_take());
            let ready = input.map_or(f64::INFINITY, |input| input.ready());
            return self.look_at(number, due.min(ready).max(now + 1e-6));
        }
        let load = RequestLoad::new(request.iter().sum(), request.len());
        let waiting = RequestLoad::new(sender.waiting_bytes(), sender.waiting.len());
        sender.pacing.send(load, waiting, instant, chance);
        sender.in_flight += 1;
        sender.bytes += request.iter().sum::<usize>();
        let sent = now.max(sender.departure);
        let written = sent + load.bytes / WIRE;
        sender.departure = written + HEAD_START.min(self.case.latency.as_secs_f64());
        let there = written + self.half_latency();
        self.flights.push(SimFlight { sender: number, launched: now, sent, attempts, request, answer: None });
        self.at(there, SimEvent::Arrive(self.flights.len() - 1));
        self.look_at(number, now);
    }

    fn half_latency(&mut self) -> f64 {
        self.case.latency.as_secs_f64() / 2.0 * (0.9 + 0.2 * self.rng.f64())
    }

    fn arrive(&mut self, flight: usize, now: f64) {
        let answer = self.service.put(now, &self.flights[flight].request);
        self.flights[flight].answer = Some(answer);
        let back = now + self.half_latency();
        self.at(back, SimEvent::Land(flight));
    }

    fn land(&mut self, flight: usize, now: f64) {
        let SimFlight { sender: number, launched, sent, attempts, request, answer } =
            &mut self.flights[flight];
        let launched = self.zero + Duration::from_secs_f64(*launched);
        let (number, attempts, request) = (*number, *attempts + 1, std::mem::take(request));
        let (sent, at) =
            (self.zero + Duration::from_secs_f64(*sent), self.zero + Duration::from_secs_f64(now));
        let SimAnswer { accepted, refused, by } = answer.take().unwrap();
        let (all, bad) = (
            RequestLoad::new(request.iter().sum(), request.len()),
            RequestLoad::new(refused.iter().sum(), refused.len()),
        );
        let chance = self.rng.f64();
        let sender = &mut self.senders[number];
        sender.in_flight -= 1;
        sender.bytes -= request.iter().sum::<usize>();
        sender.count(now, all, bad);
        sender.pacing.answered(launched, at, all, bad, by);
        if !accepted.is_empty() {
            sender.pacing.accepted(at);
            sender.paused = 0.0;
        } else if let Some(pause) = sender.pacing.failed(sent, at, chance) {
            sender.paused = now + pause.as_secs_f64();
        }
        if !refused.is_empty() {
            let delay = Pacing::record_delay(attempts, chance).as_secs_f64();
            sender.waiting.push((now + delay, attempts, refused));
            self.look_at(number, now + delay);
        }
        self.look_at(number, now);
    }
}

impl SimSender {
    /// Whether it takes what is new: requests that wait to be sent again have their place.
    fn may_take(&self) -> bool {
        self.in_flight + self.waiting_bytes().div_ceil(TARGET_REQUEST_BYTES) < self.pacing.window()
    }

    /// What waits to be sent again.
    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().flat_map(|(.., records)| records).sum()
    }

    /// What goes next: what waits to be sent again, and what is new.
    fn request(&mut self, now: f64, event: Option<usize>) -> (u32, Vec<usize>) {
        let room = self.pacing.room();
        let (most, record) = match room {
            Room::Full => (TARGET_REQUEST_BYTES, TARGET_RECORD_BYTES),
            Room::Bytes { most, record } => (most.min(TARGET_REQUEST_BYTES), record),
            Room::One(record) => (1, record),
        };
        let (due, later) = std::mem::take(&mut self.waiting).into_iter().partition(|(at, ..)| *at <= now);
        self.waiting = later;
        let due: Vec<(f64, u32, Vec<usize>)> = due;
        let attempts = due.iter().map(|(_, attempts, _)| *attempts).min().unwrap_or(0);
        let mut again: Vec<usize> = due.into_iter().flat_map(|(.., records)| records).collect();
        if self.may_take() && again.iter().sum::<usize>() < most {
            again.extend(self.input.iter_mut().flat_map(|input| input.take(now)));
        }
        let again = again
            .into_iter()
            .flat_map(|large| if event.is_none() { cut(large, record) } else { vec![large] });
        let mut again = again.peekable();
        let fresh = if self.input.is_some() { 0 } else { event.unwrap_or(record) };
        let (mut request, mut left) = (Vec::new(), most);
        while request.len() < MAX_REQUEST_RECORDS {
            let next = again.peek().copied().unwrap_or(fresh);
            if next == 0 || (next > left && !request.is_empty()) {
                break;
            }
            left = left.saturating_sub(next);
            again.next();
            request.push(next);
        }
        let rest: Vec<usize> = again.collect();
        if !rest.is_empty() {
            self.waiting.insert(0, (now, attempts, rest));
        }
        (attempts, request)
    }

    fn count(&mut self, now: f64, all: RequestLoad, bad: RequestLoad) {
        let second = usize::try_from(Duration::from_secs_f64(now).as_secs()).unwrap();
        if self.by_second.len() <= second {
            self.by_second.resize_with(second + 1, SimTally::default);
        }
        let tally = &mut self.by_second[second];
        tally.accepted += all.bytes - bad.bytes;
        tally.sent += all.records;
        tally.refused += bad.records;
        tally.calls += 1;
    }

    fn sum(&self, from: u64, to: u64, of: impl Fn(&SimTally) -> f64) -> f64 {
        let seconds = usize::try_from(to - from).unwrap();
        self.by_second.iter().skip(usize::try_from(from).unwrap()).take(seconds).map(of).sum()
    }
}

/// As records are cut at lines.
fn cut(record: usize, size: usize) -> Vec<usize> {
    if record <= size + size / 2 {
        return vec![record];
    }
    let mut pieces = vec![size; record / size];
    if !record.is_multiple_of(size) {
        pieces.push(record % size);
    }
    pieces
}

fn seconds_of(seconds: u64) -> f64 {
    Duration::from_secs(seconds).as_secs_f64()
}

/// What the senders got from a second on.
#[derive(Debug)]
struct SimOutcome {
    /// Of the quota.
    goodput: f64,
    /// Of the records sent.
    refused: f64,
    /// The least and the most of a sender, of its fair share.
    shares: (f64, f64),
}

fn outcome(case: SimCase, from: u64) -> SimOutcome {
    let senders = SimWorld::run(case);
    let sum = |of: fn(&SimTally) -> f64| -> Vec<f64> {
        senders.iter().map(|sender| sender.sum(from, case.seconds, of)).collect()
    };
    let accepted = sum(|tally| tally.accepted);
    let total: f64 = accepted.iter().sum();
    let quota = if case.event.is_some() { case.records * 2048.0 } else { case.bytes };
    let fair = total / seconds_of(case.senders as u64);
    SimOutcome {
        goodput: total / quota / seconds_of(case.seconds - from),
        refused: sum(|tally| tally.refused).iter().sum::<f64>() / sum(|tally| tally.sent).iter().sum::<f64>(),
        shares: (
            accepted.iter().fold(f64::INFINITY, |least, share| least.min(share / fair)),
            accepted.iter().fold(0.0, |most: f64, share| most.max(share / fair)),
        ),
    }
}
