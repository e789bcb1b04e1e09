//! Large buffers, used again: what is read into and what is sent would otherwise be mapped, zeroed and unmapped by the kernel
//! each time, or leave the allocator's heap in pieces.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one purpose, all about the same size.
#[derive(Debug)]
pub struct Buffers {
    /// Those at rest. The lock covers a push or a pop.
    free: Mutex<Vec<Vec<u8>>>,
    /// Most that are kept at rest.
    keep: usize,
}

impl Buffers {
    /// Keeps up to `keep` buffers at rest.
    #[must_use]
    pub fn new(keep: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(Vec::new()), keep })
    }

    /// A buffer with nothing in it, and room for `capacity` bytes.
    #[must_use]
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = free.iter().position(|buffer| buffer.capacity() >= capacity);
        let found = fitting.map(|at| free.swap_remove(at));
        drop(free);
        found.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// Makes the bytes readable by many; the buffer comes back when the last of them is gone.
    #[must_use]
    pub fn share(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
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
        let buffers = Buffers::new(1);
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
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn no_more_are_kept_than_wanted() {
        let buffers = Buffers::new(1);
        let shared: Vec<Bytes> = (0..3).map(|_| buffers.share(Vec::with_capacity(10))).collect();
        drop(shared);
        assert_eq!(buffers.free.lock().unwrap().len(), 1);
    }
}
