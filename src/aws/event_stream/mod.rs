//! Event streams (`application/vnd.amazon.eventstream`): what a service sends for minutes in one answer, message by message.

mod body;
mod frames;
mod message;

pub use self::body::{EventStream, StreamNext};
pub use self::frames::{FrameFault, MessageBuffer};
pub use self::message::StreamMessage;
