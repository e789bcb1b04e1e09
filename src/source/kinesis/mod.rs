//! Kinesis Data Streams, alone or shared by a fleet: `type = "kinesis"`.
//!
//! A stream has shards, and each shard is read by one worker at a time, who has its *lease*. Leases are in the state directory, or in a
//! table of `DynamoDB` in the form of the Kinesis Client Library, version 2, where any number of processes share them.
//!
//! ```text
//!            ┌── taker: whose is what ◀── lease_table ──▶ held_lease: renewed, written to
//! fleet ─────┼── shards: what needs a lease ◀── client         │ position
//!            └── shard_reader ◀── feed: polled or subscribed ◀── client
//!                     └──page──▶ records, aggregate ──▶ reading ──▶ intake
//! ```
//!
//! A shard that was split or merged is followed by its children, which are read once it is done. A lease is ours for as long as the last
//! write to it is younger than the failover time: then nobody else can have seen it stand still, whatever the clocks say.

mod aggregate;
mod answer;
mod client;
mod consumer;
mod feed;
mod fleet;
mod held_lease;
mod lease;
mod lease_fault;
mod lease_store;
mod lease_table;
mod left;
mod md5;
mod place;
mod polled;
mod position;
mod quick_json;
mod reading;
mod records;
mod rival;
mod shard_pace;
mod shard_reader;
mod shards;
#[cfg(test)]
mod simulation;
mod source;
mod subscribed;
mod taker;

pub use self::position::ShardPosition;
pub use self::source::KinesisShards;
