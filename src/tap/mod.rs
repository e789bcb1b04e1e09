//! Live views: events as they pass, for whoever asks on a socket in the state directory.
//!
//! In:      what workers offer of the events that pass, a few hundred a tap and tenth of a second.
//! Out:     one line of JSON an event, to the process that asked.
//! Full:    what finds no room is skipped and counted; nothing of the flow waits.
//! Failure: a tap that cannot be served ends; the flow does not notice.
//! Stop:    taps end with the process, or when who asked is gone.

mod event_tap;
mod hub;
mod protocol;
mod server;
mod socket;

pub(crate) use self::event_tap::{ChunkTaps, OfferedText};
pub(crate) use self::hub::TapHub;
pub(crate) use self::protocol::{TapReply, TapRequest, TapTarget};
pub(crate) use self::server::{LiveServer, connect};
pub(crate) use self::socket::LiveSocketFile;
