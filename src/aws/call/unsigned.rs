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
