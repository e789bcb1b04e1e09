//! Promises, kept by the real binary on real sockets and files.
//!
//! Sizes suit a laptop; `STANDPIPE_TEST_SCALE=full` moves two million lines in each test that counts them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at once; the allowances for tests do not reach the harness"
)]

#[path = "../standin/mod.rs"]
mod standin;
mod world;

mod cli;
mod delivery;
mod destinations;
mod docs;
mod drain;
mod held;
mod limits;
mod metrics;
mod moto;
mod pacing;
mod roles;
mod rotation;
mod stalled;
mod stand_in;
mod subscriptions;
mod tidy;
