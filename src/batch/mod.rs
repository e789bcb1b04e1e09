//! Events to records: encoded as the sink wants them, packed to Firehose's limits and billing steps. Pure.
//!
//! In:      decoded events, an origin at a time.
//! Out:     [`Block`](crate::event::Block)s of encoded events, and from those [`Record`](crate::event::Record)s.
//! Full:    never; memory is admitted before a source reads.
//! Failure: an event too large for a record is split, cut or handed back as a dead letter.
//! Stop:    an open record is closed on request.

mod border;
mod encode;
mod json;
mod message;
mod object;
mod oversize;
mod packer;
mod padded_writer;

pub use encode::{BUFFER_BYTES, Encoder, Output, TooLarge};
pub use json::{LONGEST_ESCAPE, escape, escaped_len, unescape};
pub use message::message_bytes;
pub use object::ObjectMessage;
pub use packer::Packer;
