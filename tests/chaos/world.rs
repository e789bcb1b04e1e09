//! What the other tests have and this one needs too: an HTTP client, Firehose's side of the HTTP endpoint, a reader of /metrics.

#![allow(dead_code, reason = "shared with other tests, which use more of it")]

#[path = "../it/world/http.rs"]
mod http;
#[path = "../it/world/scrape.rs"]
mod scrape;
#[path = "../it/world/sender.rs"]
mod sender;
#[path = "../it/world/wait.rs"]
mod wait;

pub(crate) use http::{Connection, get};
pub(crate) use scrape::Scrape;
pub(crate) use sender::{ACCESS_KEY, Envelope, Sender};
pub(crate) use wait::progress;
