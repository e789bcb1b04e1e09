//! Standpipe feeds Amazon Data Firehose: it takes log files and `CloudWatch` Logs subscription payloads, and delivers every line
//! to the right delivery stream in the right account.
//!
//! ```text
//! source ──chunks──▶ decode ──events──▶ route ──▶ batch ──records──▶ buffer ──▶ sink
//!    ▲                                                                            │
//!    └─────────────────────────── ack: what is done, in order ◀──────────────────┘
//! ```
//!
//! The modules stand in the order of that flow; `event` holds what travels, and `daemon` runs them.

pub mod event;
pub mod daemon;
pub mod pipeline;

pub mod source;
pub mod decode;
pub mod steps;
pub mod route;
pub mod batch;
pub mod buffer;
pub mod destination;
mod tap;
pub mod sink;
pub mod ack;

pub mod access;
pub mod admin;
pub mod arn;
pub mod aws;
pub mod causes;
pub mod cli;
pub mod config;
pub mod connections;
pub mod deadletter;
pub mod health;
pub mod journal_export;
pub mod limits;
pub mod metadata;
pub mod metrics;
pub mod msgpack;
pub mod overview;
pub mod state;
mod sync;
