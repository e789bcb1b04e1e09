//! The Firehose stand-in as a process of its own.

fn main() {}
