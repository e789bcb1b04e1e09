//! Large buffers, used again: what is read into and what is sent would otherwise be mapped, zeroed and unmapped by the kernel
//! each time, or leave the allocator's heap in pieces.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one purpose, all of one size.
#[derive(Debug)]
pub struct Buffers {
    /// How many bytes each has room for.
    size: usize,
    /// Those at rest. The lock covers a push or a pop.
    free: Mutex<Vec<Vec<u8>>>,
    /// Most that are kept at rest.
    keep: usize,
}

impl Buffers {
    /// Buffers of `size` bytes, up to `keep` of which are kept at rest.
    #[must_use]
    pub fn new(size: usize, keep: usize) -> Arc<Self> {
        Arc::new(Self { size, free: Mutex::new(Vec::new()), keep })
    }

    /// Empty memory with room for `wanted` bytes: a buffer of the one size, or exactly as much as is wanted where that is
    /// less than half of it, or more.
    #[must_use]
    pub fn take(&self, wanted: usize) -> Vec<u8> {
        if wanted < self.size / 2 || wanted > self.size {
            return Vec::with_capacity(wanted);
        }
        let at_rest = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        at_rest.unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// Makes the bytes readable by many; a buffer comes back when the last of them is gone.
    #[must_use]
    pub fn share(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        if buffer.capacity() != self.size {
            return buffer.into();
        }
        Bytes::from_owner(Shared { buffer, home: Arc::clone(self) })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.keep {
            free.push(buffer);
        }
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
        let again = buffers.take(500);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (place, 0, 1000));
    }

    #[test]
    fn what_is_of_another_size_takes_what_it_needs_and_is_not_kept() {
        let buffers = Buffers::new(1000, 1);
        for wanted in [0, 10, 499, 1001, 5000] {
            let memory = buffers.take(wanted);
            assert_eq!(memory.capacity(), wanted);
            drop(buffers.share(memory));
        }
        assert!(buffers.free.lock().unwrap().is_empty());
    }

    #[test]
    fn no_more_are_kept_than_wanted() {
        let buffers = Buffers::new(1000, 1);
        let shared: Vec<Bytes> = (0..3).map(|_| buffers.share(buffers.take(1000))).collect();
        drop(shared);
        assert_eq!(buffers.free.lock().unwrap().len(), 1);
    }
}
