//! SHA-256 of request bodies, for their signatures: one by one, or several side by side where that is cheaper on this machine.

mod lanes;

use std::array::from_fn;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::oneshot;

use self::lanes::{Eight, Sha256Digest, Sixteen};
use super::body_size::{BODY_BYTES, most_bytes};
use crate::limits::{TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};

/// How bodies are hashed here, and those that wait for it.
#[derive(Debug)]
pub struct Digester {
    /// Bytes that memory has for bodies.
    memory: usize,
    /// Measured when the first body is to be hashed.
    choice: OnceLock<HashPlan>,
    /// The lock covers a look at a short list.
    waiting: Mutex<HashQueue>,
}

#[derive(Debug)]
struct HashPlan {
    costs: HashCosts,
    /// The requests whose bodies wait for one another to be hashed together; none where each is hashed when it is made.
    grouped: Option<RequestSize>,
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
    eight: Option<(Eight, f64)>,
    sixteen: Option<(Sixteen, f64)>,
}

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

/// A way to hash up to so many bodies at once.
#[derive(Clone, Copy, Debug)]
enum HashMethod {
    One,
    Eight(Eight),
    Sixteen(Sixteen),
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

/// Lanes may cost so much of what one by one does: a body that waits for others is no longer in the cache.
const WORTHWHILE: f64 = 0.7;

impl HashCosts {
    /// Measured on this machine, for about two milliseconds.
    fn measured() -> Self {
        let bytes = vec![b'x'; MEASURED_BYTES];
        let cost = |method: HashMethod| {
            let bodies = vec![bytes.as_slice(); method.width()];
            let run = |_| {
                let before = Instant::now();
                std::hint::black_box(method.digests(&bodies));
                before.elapsed().as_secs_f64()
            };
            let least = (0..MEASURED_RUNS).map(run).fold(f64::INFINITY, f64::min);
            #[expect(clippy::cast_precision_loss, reason = "a few bytes of many do not matter")]
            let hashed = (bytes.len() * method.width()) as f64;
            least * 1e9 / hashed
        };
        Self {
            one: cost(HashMethod::One),
            eight: Eight::available().map(|eight| (eight, cost(HashMethod::Eight(eight)))),
            sixteen: Sixteen::available().map(|sixteen| (sixteen, cost(HashMethod::Sixteen(sixteen)))),
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

impl HashPlan {
    /// The size whose bodies are the cheapest to hash together in so much memory, if that is cheaper than each by itself.
    fn of(costs: HashCosts, memory: usize) -> Self {
        let cost = |size: &RequestSize| {
            // One of them is on its way while the others wait.
            let waiting = (memory / size.body).saturating_sub(1);
            costs.grouped(&vec![size.body; waiting]).map(|cost| (*size, cost))
        };
        let best = SIZES.iter().filter_map(cost).min_by(|a, b| a.1.total_cmp(&b.1));
        Self { costs, grouped: best.map(|(size, _)| size) }
    }
}

const MEASURED_BYTES: usize = 32 * 1024;
const MEASURED_RUNS: usize = 3;

impl Digester {
    /// For bodies that take no more than so many bytes of memory together.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self { memory, choice: OnceLock::new(), waiting: Mutex::default() }
    }

    fn choice(&self) -> &HashPlan {
        self.choice.get_or_init(|| HashPlan::of(HashCosts::measured(), self.memory))
    }

    /// Whether a body is better left to [`enter`](Self::enter) than hashed when it is made.
    pub(super) fn is_grouped(&self) -> bool {
        self.choice().grouped.is_some()
    }

    /// Payload bytes that requests are best filled to, where so many may be under way; none where that is as much as they may carry.
    pub(super) fn best_request(&self, concurrency: usize) -> Option<usize> {
        let RequestSize { payload, body } = self.choice().grouped?;
        (payload < TARGET_REQUEST_BYTES && concurrency >= self.memory / body).then_some(payload)
    }

    /// Leaves a body to be hashed together with others. Returns its number, and where it comes back.
    pub(super) fn enter(&self, body: Vec<u8>) -> (u64, oneshot::Receiver<HashedBody>) {
        let (done, hashed) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let bodies = &mut waiting.bodies;
        let Some(own) = bodies.iter().position(|waiting| waiting.number == number) else {
            return (Vec::new(), HashMethod::One);
        };
        let own = bodies.remove(own);
        bodies.insert(0, own);
        let lengths: Vec<usize> = bodies.iter().map(|waiting| waiting.body.len()).collect();
        let method = self.choice().costs.method(&lengths);
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

    /// HashCosts that differ from machine to machine, in nanoseconds a byte: of one at a time, of eight lanes, of sixteen.
    fn costs([one, eight, sixteen]: [f64; 3]) -> HashCosts {
        HashCosts {
            one,
            eight: Eight::available().map(|lanes| (lanes, eight)),
            sixteen: Sixteen::available().map(|lanes| (lanes, sixteen)),
        }
    }

    const WITHOUT_SHA_INSTRUCTIONS: [f64; 3] = [1.8, 0.4, 0.25];
    const WITH_SHA_INSTRUCTIONS: [f64; 3] = [0.5, 0.4, 0.25];

    /// Which width is chosen for bodies of these lengths, where the CPU has lanes at all.
    #[track_caller]
    fn check(machine: [f64; 3], lengths: &[usize], expected: usize) {
        let widest = costs(machine).methods().map(|(method, _)| method.width()).max().unwrap_or(1);
        assert_eq!(costs(machine).method(lengths).width(), expected.min(widest), "{machine:?} {lengths:?}");
    }

    #[test]
    fn bodies_are_hashed_together_where_that_is_cheaper() {
        check(WITHOUT_SHA_INSTRUCTIONS, &[], 1);
        check(WITHOUT_SHA_INSTRUCTIONS, &[100], 1);
        check(WITHOUT_SHA_INSTRUCTIONS, &[100, 100], 1);
        check(WITHOUT_SHA_INSTRUCTIONS, &[100; 3], 8);
        check(WITHOUT_SHA_INSTRUCTIONS, &[100, 1, 1, 1, 1, 1], 1);
        check(WITHOUT_SHA_INSTRUCTIONS, &[100; 16], 16);
        check(WITH_SHA_INSTRUCTIONS, &[100; 4], 1);
        check(WITH_SHA_INSTRUCTIONS, &[100; 8], 1);
        check([0.5, 0.9, 0.9], &[100; 16], 1);
    }

    #[test]
    fn every_body_comes_back_with_its_own_digest_whoever_asks_for_it() {
        for machine in [WITHOUT_SHA_INSTRUCTIONS, WITH_SHA_INSTRUCTIONS] {
            let digester = Digester::new(MIB);
            assert!(digester.choice.set(HashPlan::of(costs(machine), MIB)).is_ok());
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
    fn check_size(machine: [f64; 3], mib: usize, expected: Option<usize>) {
        let lanes = Eight::available().is_some();
        let grouped = HashPlan::of(costs(machine), mib * MIB).grouped.map(|size| size.payload);
        assert_eq!(grouped, expected.filter(|_| lanes), "{machine:?} {mib} MiB");
    }

    #[test]
    fn requests_are_smaller_where_more_of_them_are_hashed_together_then() {
        let halves = Some(2 * TARGET_RECORD_BYTES);
        check_size(WITHOUT_SHA_INSTRUCTIONS, 3, None);
        check_size(WITHOUT_SHA_INSTRUCTIONS, 24, halves);
        check_size(WITHOUT_SHA_INSTRUCTIONS, 96, Some(TARGET_REQUEST_BYTES));
        check_size(WITH_SHA_INSTRUCTIONS, 12, None);
        check_size([0.5, 0.9, 0.9], 96, None);
    }

    #[test]
    fn requests_are_as_large_as_may_be_where_few_may_be_under_way() {
        let digester = Digester::new(24 * MIB);
        let choice = HashPlan::of(costs(WITHOUT_SHA_INSTRUCTIONS), 24 * MIB);
        let smaller = choice.grouped.map(|size| size.payload);
        assert!(digester.choice.set(choice).is_ok());
        assert_eq!([1, 4, 16].map(|concurrency| digester.best_request(concurrency)), [None, None, smaller]);
    }

    #[test]
    fn hexadecimal_is_in_lower_case() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
