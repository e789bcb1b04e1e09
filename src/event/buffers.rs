//! Large buffers, used again: what is read into and what is sent would otherwise be mapped, zeroed and unmapped by the kernel
//! each time, or leave the allocator's heap in pieces.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one purpose, of one size, its half, and its quarter.
#[derive(Debug)]
pub struct Buffers {
    /// How many bytes the largest has room for.
    size: usize,
    /// How many bytes at rest it is made for.
    keep: usize,
    /// The lock covers a push or a pop.
    rest: Mutex<Rest>,
}

/// So many sizes, each half of the one before.
const STEPS: usize = 3;

/// Buffers at rest.
#[derive(Debug)]
struct Rest {
    /// Of the size, its half and its quarter.
    free: [Vec<Vec<u8>>; STEPS],
    /// Bytes of them.
    bytes: usize,
    /// Most bytes that are kept.
    keep: usize,
}

impl Rest {
    /// One of this step; or none, and as much of the other sizes is given up, since the caller is about to allocate.
    fn take(&mut self, step: usize, size: usize) -> Option<Vec<u8>> {
        let found = self.free.get_mut(step).and_then(Vec::pop);
        let wanted = self.bytes.saturating_sub(size);
        while found.is_none() && self.bytes > wanted && self.give_up_one() {}
        self.bytes = self.bytes.saturating_sub(found.as_ref().map_or(0, Vec::capacity));
        found
    }

    fn give_up_one(&mut self) -> bool {
        let given_up = self.free.iter_mut().find_map(Vec::pop);
        self.bytes = self.bytes.saturating_sub(given_up.as_ref().map_or(0, Vec::capacity));
        given_up.is_some()
    }

    fn keep(&mut self, step: usize, buffer: Vec<u8>) {
        let bytes = self.bytes.saturating_add(buffer.capacity());
        if let Some(free) = self.free.get_mut(step)
            && bytes <= self.keep
        {
            free.push(buffer);
            self.bytes = bytes;
        }
    }
}

impl Buffers {
    /// Buffers of `size` bytes and less; at rest are kept as many bytes as `keep` of them have.
    #[must_use]
    pub fn new(size: usize, keep: usize) -> Arc<Self> {
        let keep = size.saturating_mul(keep);
        let rest = Rest { free: Default::default(), bytes: 0, keep };
        Arc::new(Self { size, keep, rest: Mutex::new(rest) })
    }

    /// Keeps no more than so many bytes at rest from now on, nor more than it was made for.
    pub fn keep_at_most(&self, bytes: usize) {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).keep = bytes.min(self.keep);
    }

    /// Empty memory with room for `wanted` bytes: a buffer of the least size that has it, or exactly as much as is wanted where
    /// that is less than an eighth of the largest, or more than all of it.
    #[must_use]
    pub fn take(&self, wanted: usize) -> Vec<u8> {
        if wanted < self.size_of(STEPS) || wanted > self.size {
            return Vec::with_capacity(wanted);
        }
        let step = (1..STEPS).take_while(|step| wanted <= self.size_of(*step)).last().unwrap_or(0);
        let size = self.size_of(step);
        let at_rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take(step, size);
        at_rest.unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// Makes the bytes readable by many; a buffer comes back when the last of them is gone.
    #[must_use]
    pub fn share(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        if self.step_of(&buffer).is_none() {
            return buffer.into();
        }
        Bytes::from_owner(Shared { buffer, home: Arc::clone(self) })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let Some(step) = self.step_of(&buffer) else { return };
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).keep(step, buffer);
    }

    /// The size, halved so many times.
    fn size_of(&self, step: usize) -> usize {
        self.size.checked_shr(u32::try_from(step).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    #[cfg(test)]
    fn at_rest(&self) -> [usize; STEPS] {
        self.rest.lock().unwrap().free.each_ref().map(Vec::len)
    }

    fn step_of(&self, buffer: &Vec<u8>) -> Option<usize> {
        (0..STEPS).find(|step| buffer.capacity() == self.size_of(*step))
    }
}

struct Shared {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_last_reader_is_gone() {
        let buffers = Buffers::new(1000, 1);
        let mut buffer = buffers.take(1000);
        buffer.extend_from_slice(b"some bytes");
        let place = buffer.as_ptr();
        let whole = buffers.share(buffer);
        let part = whole.slice(5..);
        drop(whole);
        let other = buffers.take(1000);
        assert_ne!(other.as_ptr(), place, "it is still read");
        assert_eq!(part, "bytes");
        drop(part);
        let again = buffers.take(600);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (place, 0, 1000));
    }

    #[test]
    fn what_is_small_or_large_takes_what_it_needs_and_is_not_kept() {
        let buffers = Buffers::new(1000, 1);
        for wanted in [0, 10, 124, 1001, 5000] {
            let memory = buffers.take(wanted);
            assert_eq!(memory.capacity(), wanted);
            drop(buffers.share(memory));
        }
        assert_eq!(buffers.at_rest(), [0, 0, 0]);
    }

    #[test]
    fn the_least_size_that_has_room_is_taken() {
        let buffers = Buffers::new(1000, 8);
        for (wanted, capacity) in [(125, 250), (250, 250), (251, 500), (500, 500), (501, 1000), (1000, 1000)]
        {
            assert_eq!(buffers.take(wanted).capacity(), capacity, "{wanted}");
        }
    }

    #[test]
    fn no_more_bytes_are_kept_than_wanted() {
        let buffers = Buffers::new(1000, 2);
        let shared: Vec<Bytes> = (0..3).map(|_| buffers.share(buffers.take(1000))).collect();
        drop(shared);
        assert_eq!(buffers.at_rest(), [2, 0, 0]);
    }

    #[test]
    fn fewer_are_kept_where_there_is_less_memory() {
        let buffers = Buffers::new(1000, 3);
        let check = |most, expected| {
            buffers.keep_at_most(most);
            let shared: Vec<Bytes> = (0..4).map(|_| buffers.share(buffers.take(1000))).collect();
            drop(shared);
            assert_eq!(buffers.at_rest(), [expected, 0, 0]);
        };
        check(2_500, 2);
        check(5_000, 3);
    }

    #[test]
    fn a_new_size_takes_the_place_of_those_at_rest() {
        let buffers = Buffers::new(1000, 2);
        drop((0..8).map(|_| buffers.share(buffers.take(250))).collect::<Vec<Bytes>>());
        assert_eq!(buffers.at_rest(), [0, 0, 8]);
        let large = buffers.share(buffers.take(1000));
        assert_eq!(buffers.at_rest(), [0, 0, 4]);
        let half = buffers.share(buffers.take(400));
        assert_eq!(buffers.at_rest(), [0, 0, 2]);
        drop((large, half));
        assert_eq!(buffers.at_rest(), [1, 1, 2]);
    }
}
