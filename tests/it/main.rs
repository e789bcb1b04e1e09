//! Promises, kept by the real binary on real sockets and files.
//!
//! Sizes suit a laptop; `STANDPIPE_TEST_SCALE=full` moves two million lines in each test that counts them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop at once; the allowances for tests do not reach the harness"
)]

#[path = "../standin/mod.rs"]
mod standin;
mod world;

mod access;
mod apply;
mod bounds;
mod buffer;
mod cli;
mod corpus;
mod credentials;
mod dashboards;
mod delivery;
mod destinations;
mod docs;
mod doctor;
mod drain;
mod encodings;
mod enrichment;
mod errors;
mod fan_out;
mod files;
mod fixes;
mod fleet;
mod fleet_elsewhere;
mod fleet_trouble;
mod forward;
mod full;
mod held;
mod help;
mod ids;
mod journald;
mod kinesis;
mod letters;
mod limiting;
mod limits;
mod live;
mod metrics;
mod mistakes;
mod moto;
mod objects;
mod once;
mod pacing;
mod packaging;
mod page;
mod parsing;
mod pull;
mod redaction;
mod reload;
mod revision;
mod roles;
mod rotation;
mod scenarios;
mod schema;
mod shells;
mod simulator;
mod stalled;
mod stand_in;
mod status;
mod subscribe;
mod subscriptions;
mod systemd;
mod terminal;
mod testing;
mod tidy;
