//! Calls without a client of their own: one signed request for every service, from plain values to plain values.
//!
//! A client crate for each service would be built for a few operations; what they have in common is here: the protocols,
//! the endpoints, the signature, and the retry of what may be tried again.

mod api_call;
mod client;
mod endpoint;
mod object;
mod options;
mod query;
mod regions;
mod rest;
mod unsigned;
mod wire;
mod xml;

pub use self::api_call::{ApiCall, AwsService, answer};
pub use self::client::ApiClient;
pub use self::object::{ObjectBody, ObjectRequest};
pub use self::options::CallOptions;

#[cfg(test)]
mod tests;
