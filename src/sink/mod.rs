//! Records to their destination, until each one has ended.
//!
//! In:      records from a [`RecordQueue`], as many as fit into one request.
//! Out:     settled ack guards: delivered, or a dead letter on disk.
//! Full:    takes no more than its window of requests.
//! Failure: see [`Answer`]; nothing is dropped, only what the service refuses by itself becomes a dead letter.
//! Stop:    ends when its queue has ended and is empty.

mod answer;
mod body_size;
mod cap;
mod capped_sends;
mod compressed;
mod deliver;
mod destination_name;
mod digester;
mod directory;
mod fault;
mod firehose;
mod held;
mod hold_state;
mod in_flight;
mod offload;
mod pacing;
mod pending_request;
mod rate;
mod record_queue;
mod refused;
mod resources;
mod send_order;
mod service;
#[cfg(test)]
mod simulation;
mod split_record;
mod step;
mod waits;

pub use answer::{Answer, Hold, Rejected};
pub use body_size::BODY_BYTES;
pub use cap::RateCap;
pub use deliver::{DeliveryLoop, DeliverySettings};
pub use destination_name::DestinationName;
pub use digester::{Digester, HashCpu};
pub use directory::Directory;
pub use firehose::Firehose;
pub use offload::{Offload, OffloadTask};
pub use record_queue::RecordQueue;
pub use resources::SinkResources;
pub use send_order::{ClearedSend, ReservedSend, SendPermit};
pub use service::{RecordParts, ServiceReply, SinkService};
