//! A stand-in for Amazon Data Firehose, STS and the services that sources read from: real HTTP and TLS, real signatures, the
//! services' limits and errors, faults on demand, and an oracle that knows every line that was accepted.
//!
//! In a test it runs beside the test, in threads of its own; `main.rs` makes a process of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for tests may stop at once")]
#![allow(dead_code, unused_imports, reason = "shared by tests, benches and a process of its own")]

mod body;
mod control;
mod describe;
mod dynamodb;
mod errors;
mod fan_out;
mod faults;
mod firehose;
mod fleet_control;
mod fleet_words;
mod kinesis;
mod lines;
mod logs;
mod objects;
mod oracle;
mod queue;
mod quota;
mod reply;
mod server;
mod settings;
mod sigv4;
mod state;
mod stream_writer;
mod sts;
mod tls;
mod traffic;
mod writer;

pub(crate) use describe::UNREADABLE;
pub(crate) use dynamodb::DynamoDb;
pub(crate) use faults::{Faults, ProxyFault, QuotaMode, Refusal};
pub(crate) use fleet_words::LeaseTake;
pub(crate) use kinesis::{Kinesis, shard_id, stream_arn};
pub(crate) use lines::{Found, Lines, find};
pub(crate) use logs::{ACCOUNT as LOGS_ACCOUNT, Logs};
pub(crate) use oracle::{Kept, Report, StreamReport};
pub(crate) use server::Standin;
pub(crate) use settings::{HttpOffer, Key, Role, Scrutiny, Settings, Stream};
pub(crate) use traffic::Traffic;
