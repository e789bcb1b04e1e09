//! The endpoints of the daemon itself.
