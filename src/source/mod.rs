//! Where events come from.

pub mod firehose_http;
