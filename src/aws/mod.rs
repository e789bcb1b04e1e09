//! The one place that speaks to AWS: connections with their credentials, roles, endpoints, TLS and timeouts; the SDK's clients; calls
//! without a client.
//!
//! The SDK's crates are named here and in `sink/firehose`, and nowhere else. The SDK reads the environment (`AWS_*`, `HTTPS_PROXY`)
//! when a connection loads it.

mod assume;
mod call;
mod clock;
mod connection;
mod credentials;
mod error;
mod event_stream;
mod failure;
mod fault;
mod firehose;
mod foreign_answer;
mod host;
mod http;
mod iam;
mod key_check;
mod probe;
mod process;
mod profile;
mod role;
mod stream_http;
mod transport_fault;
mod web_identity;

pub use self::call::{ApiCall, ApiClient, AwsService, CallOptions, ObjectBody, ObjectRequest, answer};
pub use self::connection::AwsConnection;
pub use self::credentials::Credentials;
pub use self::error::AwsError;
pub use self::event_stream::{EventStream, FrameFault, MessageBuffer, StreamMessage, StreamNext};
pub(crate) use self::failure::call_failure;
pub use self::fault::{CredentialsFault, principal_in};
pub use self::firehose::{FirehoseClient, FirehoseClients};
pub(crate) use self::foreign_answer::ForeignAnswer;
pub use self::iam::{PolicySimulation, SimulatedRequest};
pub use self::probe::{CallError, NoAnswer, StreamDescription};
pub use self::role::ResolvedRole;
