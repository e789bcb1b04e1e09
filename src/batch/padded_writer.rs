//! Writes into a buffer piece by piece, also more than is meant to stay: copying sixteen bytes costs less than copying three.

/// Writes behind what a buffer holds; the buffer ends with what was written once the writer is dropped.
#[derive(Debug)]
pub(super) struct PaddedWriter<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
    /// How much room is made at a time: what is made is zeroed first, and what is left of it is given back.
    step: usize,
}

impl<'a> PaddedWriter<'a> {
    /// A writer that makes room for `step` bytes at a time.
    pub(super) fn new(out: &'a mut Vec<u8>, step: usize) -> Self {
        let at = out.len();
        Self { out, at, step }
    }

    /// Where the next byte will stand.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes back what was written from `at` on.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = self.at.min(at);
    }

    /// Writes all of `bytes`.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        if end > self.out.len() {
            self.grow(bytes.len());
        }
        if let Some(space) = self.out.get_mut(self.at..end) {
            space.copy_from_slice(bytes);
        }
        self.at = end;
    }

    /// Writes all of a few bytes.
    #[inline]
    pub(super) fn put_all<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.fill(|space| {
            *space = *bytes;
            N
        });
    }

    /// Has `write` fill the next `N` bytes as far as it likes; what it returns is how many of them count.
    #[inline]
    pub(super) fn fill<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N]) -> usize) {
        if self.out.len().saturating_sub(self.at) < N {
            self.grow(N);
        }
        if let Some(space) = self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            self.at = self.at.saturating_add(write(space).min(N));
        }
    }

    #[cold]
    fn grow(&mut self, room: usize) {
        self.out.resize(self.at.saturating_add(room.max(self.step)), 0);
    }
}

impl Drop for PaddedWriter<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_buffer_holds_what_was_written_and_no_more(
            before in prop::collection::vec(any::<u8>(), 0..20),
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3_000), any::<[u8; 16]>(), 0_usize..=16), 0..10),
        ) {
            let mut out = before.clone();
            let mut expected = before;
            let mut writer = PaddedWriter::new(&mut out, 100);
            for (whole, front, len) in &pieces {
                writer.put(whole);
                writer.fill(|space| {
                    *space = *front;
                    *len
                });
                let at = writer.at();
                writer.put(whole);
                writer.back_to(at);
                expected.extend_from_slice(whole);
                expected.extend_from_slice(&front[..*len]);
            }
            drop(writer);
            prop_assert_eq!(out, expected);
        }
    }
}
