//! A request between its making and its signature.

/// A request that is not signed yet.
#[derive(Debug)]
pub(super) struct UnsignedRequest {
    pub(super) method: &'static str,
    /// Escaped.
    pub(super) path: String,
    /// Escaped.
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl UnsignedRequest {
    /// The bucket of a request of S3, which is the first part of its path.
    pub(super) fn bucket(&self) -> &str {
        self.bucket_and_key().0
    }

    /// The first part of the path, and what follows it without the slash between.
    pub(super) fn bucket_and_key(&self) -> (&str, &str) {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        path.split_once('/').unwrap_or((path, ""))
    }
}
