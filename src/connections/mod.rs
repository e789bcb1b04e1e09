//! Connections from peers that need not be friendly, for the endpoint of a source and for the admin server.
//!
//! A peer that is silent, never reads, or drips costs its own connection and nobody else's: each connection has a slot, the one
//! that was idle longest gives way to a newcomer when all are taken, and what does not move is cut.

mod listener;
mod peer_log;
mod slots;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

pub(crate) use listener::{Accept, BoundedListener, ListenerEvent, Newcomer};
pub(crate) use peer_log::{PEER_LOG, PeerLog};
pub(crate) use slots::{ConnectionSlot, ConnectionSlots};
pub(crate) use stream::{ConnectionState, GuardedStream, HeadLimit};
pub use tls::TlsFilesError;
pub(crate) use tls::acceptor;
