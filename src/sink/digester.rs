//! SHA-256 of request bodies, for their signatures: one by one, or several side by side where that is cheaper on this CPU.

use std::array::from_fn;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use standpipe_simd::{EightLanes, Sha256Digest, SixteenLanes, has_sha_instructions};
use tokio::sync::oneshot;

use super::body_size::{BODY_BYTES, most_bytes};
use crate::limits::{TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};

/// What the CPU has for SHA-256.
#[derive(Clone, Copy, Debug)]
pub struct HashCpu {
    /// Instructions for it.
    pub sha_instructions: bool,
    /// Registers for eight bodies side by side.
    pub eight: Option<EightLanes>,
    /// Registers for sixteen.
    pub sixteen: Option<SixteenLanes>,
}

impl HashCpu {
    /// This machine's.
    #[must_use]
    pub fn detect() -> Self {
        let (eight, sixteen) = (EightLanes::detect(), SixteenLanes::detect());
        Self { sha_instructions: has_sha_instructions(), eight, sixteen }
    }
}

/// How bodies are hashed here, and those that wait for it.
#[derive(Debug)]
pub struct Digester {
    /// Bytes that memory has for bodies.
    memory: usize,
    costs: HashCosts,
    /// The requests whose bodies wait for one another to be hashed together; none where each is hashed when it is made.
    grouped: Option<RequestSize>,
    /// The lock covers a look at a short list.
    queue: Mutex<HashQueue>,
}

/// Of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct RequestSize {
    /// Payload bytes that it is filled to.
    payload: usize,
    /// Bytes of its body.
    body: usize,
}

/// As much as the service takes, and half of it: more bodies of these find room, and a call costs little beside its hash. Still
/// smaller ones would cost throughput where answers are late.
const SIZES: [RequestSize; 2] = [
    RequestSize { payload: TARGET_REQUEST_BYTES, body: BODY_BYTES },
    RequestSize { payload: 2 * TARGET_RECORD_BYTES, body: most_bytes(2 * TARGET_RECORD_BYTES, 2) },
];

/// Those that wait, in the order they came.
#[derive(Debug, Default)]
struct HashQueue {
    next_number: u64,
    bodies: Vec<UnhashedBody>,
}

/// What a byte costs by each method, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct HashCosts {
    one: f64,
    eight: Option<(EightLanes, f64)>,
    sixteen: Option<(SixteenLanes, f64)>,
}

/// As measured where there are both SHA instructions and AVX-512 (Zen 5), and with the former switched off. What matters is how
/// they compare, which differs little from CPU to CPU.
const COST_BY_INSTRUCTIONS: f64 = 0.46;
const COST_WITHOUT: f64 = 1.8;
const COST_OF_EIGHT: f64 = 0.38;
const COST_OF_SIXTEEN: f64 = 0.24;

/// A body without its digest.
#[derive(Debug)]
struct UnhashedBody {
    number: u64,
    body: Vec<u8>,
    done: oneshot::Sender<HashedBody>,
}

/// A body and its digest in lower-case hexadecimal.
#[derive(Debug)]
pub(super) struct HashedBody {
    pub(super) body: Vec<u8>,
    pub(super) sha256: String,
}

/// A way to hash one or more bodies at once.
#[derive(Clone, Copy, Debug)]
enum HashMethod {
    One,
    Eight(EightLanes),
    Sixteen(SixteenLanes),
}

impl HashMethod {
    fn width(self) -> usize {
        match self {
            Self::One => 1,
            Self::Eight(_) => 8,
            Self::Sixteen(_) => 16,
        }
    }

    fn digests(self, bodies: &[&[u8]]) -> Vec<Sha256Digest> {
        let body = |lane: usize| bodies.get(lane).copied().unwrap_or_default();
        let mut digests = match self {
            Self::One => bodies.iter().map(|body| one(body)).collect(),
            Self::Eight(eight) => eight.digests(from_fn(body)).to_vec(),
            Self::Sixteen(sixteen) => sixteen.digests(from_fn(body)).to_vec(),
        };
        digests.truncate(bodies.len());
        digests
    }
}

fn one(body: &[u8]) -> Sha256Digest {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest(&SHA256, body).as_ref()) {
        *to = *from;
    }
    bytes
}

/// Lanes are used where they cost at most this share of one by one: a body that waits for others is no longer in the cache.
const WORTHWHILE: f64 = 0.7;

impl HashCosts {
    fn of(cpu: HashCpu) -> Self {
        Self {
            one: if cpu.sha_instructions { COST_BY_INSTRUCTIONS } else { COST_WITHOUT },
            eight: cpu.eight.map(|lanes| (lanes, COST_OF_EIGHT)),
            sixteen: cpu.sixteen.map(|lanes| (lanes, COST_OF_SIXTEEN)),
        }
    }

    fn methods(&self) -> impl Iterator<Item = (HashMethod, f64)> {
        let eight = self.eight.map(|(eight, cost)| (HashMethod::Eight(eight), cost));
        let sixteen = self.sixteen.map(|(sixteen, cost)| (HashMethod::Sixteen(sixteen), cost));
        eight.into_iter().chain(sixteen)
    }

    /// What a byte of bodies of these lengths costs if they are hashed together, where that is worthwhile.
    fn grouped(&self, lengths: &[usize]) -> Option<f64> {
        self.best(lengths).map(|(_, cost)| cost)
    }

    /// The cheapest way to hash bodies of these lengths.
    fn method(&self, lengths: &[usize]) -> HashMethod {
        self.best(lengths).map_or(HashMethod::One, |(method, _)| method)
    }

    /// The cheapest method a byte for bodies of these lengths, of which it takes as many from the front as it is wide, and its
    /// cost; none where each by itself is as cheap.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn best(&self, lengths: &[usize]) -> Option<(HashMethod, f64)> {
        let each = |(method, cost): (HashMethod, f64)| {
            let taken = lengths.get(..method.width()).unwrap_or(lengths);
            let useful: usize = taken.iter().sum();
            let longest = taken.iter().max().copied().unwrap_or(0);
            (method, cost * (longest * method.width()) as f64 / useful.max(1) as f64)
        };
        let best = self.methods().map(each).min_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(_, cost)| !lengths.is_empty() && *cost < self.one * WORTHWHILE)
    }
}

/// The request size whose bodies are cheapest to hash together in this much memory; none if each by itself is as cheap.
fn grouped_size(costs: &HashCosts, memory: usize) -> Option<RequestSize> {
    let cost = |size: &RequestSize| {
        // One of them is on its way while the others wait.
        let waiting = (memory / size.body).saturating_sub(1);
        costs.grouped(&vec![size.body; waiting]).map(|cost| (*size, cost))
    };
    let best = SIZES.iter().filter_map(cost).min_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|(size, _)| size)
}

impl Digester {
    /// A digester for bodies that share `memory` bytes, on this kind of CPU.
    #[must_use]
    pub fn new(memory: usize, cpu: HashCpu) -> Self {
        let costs = HashCosts::of(cpu);
        Self { memory, costs, grouped: grouped_size(&costs, memory), queue: Mutex::default() }
    }

    /// Whether a body is better left to [`enter`](Self::enter) than hashed when it is made.
    pub(super) fn is_grouped(&self) -> bool {
        self.grouped.is_some()
    }

    /// The payload bytes that requests may be filled to, if there is no memory for the body of one that carries as much as it may.
    pub(super) fn most_request(&self) -> Option<usize> {
        let [_, RequestSize { payload, .. }] = SIZES;
        (self.memory < BODY_BYTES).then_some(payload)
    }

    /// The payload bytes that requests are best filled to, if that is less than they may carry. `concurrency` is the most requests
    /// under way.
    pub(super) fn best_request(&self, concurrency: usize) -> Option<usize> {
        let RequestSize { payload, body } = self.grouped?;
        (payload < TARGET_REQUEST_BYTES && concurrency >= self.memory / body).then_some(payload)
    }

    /// Leaves a body to be hashed together with others. Returns its number, and where it comes back.
    pub(super) fn enter(&self, body: Vec<u8>) -> (u64, oneshot::Receiver<HashedBody>) {
        let (done, hashed) = oneshot::channel();
        let mut waiting = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next_number;
        waiting.next_number = number.wrapping_add(1);
        waiting.bodies.push(UnhashedBody { number, body, done });
        (number, hashed)
    }

    /// Hashes the body of this number, if it still waits, and those that can be hashed along with it.
    pub(super) fn hash(&self, number: u64) {
        let (group, method) = self.group(number);
        let bodies: Vec<&[u8]> = group.iter().map(|waiting| waiting.body.as_slice()).collect();
        let digests = method.digests(&bodies);
        for (UnhashedBody { body, done, .. }, digest) in group.into_iter().zip(digests) {
            // Nobody waits any more when the sink was stopped at the deadline.
            done.send(HashedBody { body, sha256: hex(&digest) }).ok();
        }
    }

    /// The body of this number and its company, and how to hash them.
    fn group(&self, number: u64) -> (Vec<UnhashedBody>, HashMethod) {
        let mut waiting = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let bodies = &mut waiting.bodies;
        let Some(own) = bodies.iter().position(|waiting| waiting.number == number) else {
            return (Vec::new(), HashMethod::One);
        };
        let own = bodies.remove(own);
        bodies.insert(0, own);
        let lengths: Vec<usize> = bodies.iter().map(|waiting| waiting.body.len()).collect();
        let method = self.costs.method(&lengths);
        let taken = method.width().min(bodies.len());
        (bodies.drain(..taken).collect(), method)
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// This CPU's lanes, with or without instructions of its own for SHA-256.
    fn cpu(sha_instructions: bool) -> HashCpu {
        HashCpu { sha_instructions, ..HashCpu::detect() }
    }

    const NO_LANES: HashCpu = HashCpu { sha_instructions: false, eight: None, sixteen: None };

    /// Which width is chosen for bodies of these lengths, where the CPU has lanes at all.
    #[track_caller]
    fn check(cpu: HashCpu, lengths: &[usize], expected: usize) {
        let costs = HashCosts::of(cpu);
        let widest = costs.methods().map(|(method, _)| method.width()).max().unwrap_or(1);
        assert_eq!(costs.method(lengths).width(), expected.min(widest), "{cpu:?} {lengths:?}");
    }

    #[test]
    fn bodies_are_hashed_together_where_that_is_cheaper() {
        check(cpu(false), &[], 1);
        check(cpu(false), &[100], 1);
        check(cpu(false), &[100, 100], 1);
        check(cpu(false), &[100; 3], 8);
        check(cpu(false), &[100, 1, 1, 1, 1, 1], 1);
        check(cpu(false), &[100; 16], 16);
        check(cpu(true), &[100; 4], 1);
        check(cpu(true), &[100; 8], 1);
        check(NO_LANES, &[100; 16], 1);
        // Sixteen in full, which takes AVX-512, are cheaper than SHA instructions too.
        let sixteen = if SixteenLanes::detect().is_some() { 16 } else { 1 };
        check(cpu(true), &[100; 16], sixteen);
    }

    #[test]
    fn every_body_comes_back_with_its_own_digest_whoever_asks_for_it() {
        for cpu in [cpu(false), cpu(true), NO_LANES] {
            let digester = Digester::new(MIB, cpu);
            let body = |number: u8| vec![number; 1_000 + usize::from(number)];
            let (numbers, mut waiting): (Vec<u64>, Vec<_>) =
                (0..20).map(|number| digester.enter(body(number))).unzip();
            for number in numbers.into_iter().rev() {
                digester.hash(number);
            }
            for (number, waiting) in (0..20).zip(&mut waiting) {
                let HashedBody { body: hashed, sha256 } = waiting.try_recv().unwrap();
                assert_eq!(hashed, body(number));
                assert_eq!(sha256, hex(&one(&hashed)));
            }
        }
    }

    /// The payload of the requests whose bodies are hashed together with so much memory for them; none where each is by itself.
    #[track_caller]
    fn check_size(cpu: HashCpu, mib: usize, expected: Option<usize>) {
        let grouped = Digester::new(mib * MIB, cpu).grouped.map(|size| size.payload);
        assert_eq!(grouped, expected.filter(|_| cpu.eight.is_some()), "{cpu:?} {mib} MiB");
    }

    #[test]
    fn requests_are_smaller_where_more_of_them_are_hashed_together_then() {
        let halves = Some(2 * TARGET_RECORD_BYTES);
        check_size(cpu(false), 3, None);
        check_size(cpu(false), 24, halves);
        check_size(cpu(false), 96, Some(TARGET_REQUEST_BYTES));
        check_size(cpu(true), 24, None);
        check_size(NO_LANES, 96, None);
    }

    #[test]
    fn requests_are_as_large_as_may_be_where_few_may_be_under_way() {
        let digester = Digester::new(24 * MIB, cpu(false));
        let smaller = digester.grouped.map(|size| size.payload);
        assert_eq!([1, 4, 16].map(|concurrency| digester.best_request(concurrency)), [None, None, smaller]);
    }

    #[test]
    fn no_request_has_a_body_that_is_larger_than_their_memory() {
        let smaller = Some(2 * TARGET_RECORD_BYTES);
        let most = |mib: usize| Digester::new(mib * MIB, cpu(true)).most_request();
        assert_eq!([3, 5, 6, 24].map(most), [smaller, smaller, None, None]);
    }

    #[test]
    fn hexadecimal_is_in_lower_case() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
