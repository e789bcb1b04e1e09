//! One stream of one account: its queue, in memory or on disk, and what delivers it.

pub(crate) mod disk;
pub(crate) mod queue;
pub(crate) mod quota;
pub(crate) mod recovered;
pub(crate) mod registry;
pub(crate) mod store;
