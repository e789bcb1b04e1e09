//! A count of bytes that only a bug can make negative.

/// Bytes that are somewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ByteCount(usize);

impl ByteCount {
    /// How many there are.
    pub(crate) fn get(self) -> usize {
        self.0
    }

    /// So many more.
    pub(crate) fn add(&mut self, bytes: usize) {
        let sum = self.0.checked_add(bytes);
        debug_assert!(sum.is_some(), "more bytes than there can be");
        self.0 = sum.unwrap_or(usize::MAX);
    }

    /// So many less.
    pub(crate) fn sub(&mut self, bytes: usize) {
        let left = self.0.checked_sub(bytes);
        debug_assert!(left.is_some(), "{bytes} bytes leave, and only {} are there", self.0);
        self.0 = left.unwrap_or(0);
    }
}
