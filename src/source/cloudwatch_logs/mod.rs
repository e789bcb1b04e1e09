//! `CloudWatch` Logs, pulled: for log groups that cannot have a subscription.
//!
//! One loop asks for pages of all log groups in turn, within a budget of calls a second. The service knows events by their time alone,
//! and they come late; so each log group is read from a *floor* on, again and again, and what was seen is known by its id.
//!
//! ```text
//! listing ──groups──▶ catalog ──▶ turns ──whose──▶ plan ──which span──▶ service ──page──▶ group ──new events──▶ intake
//!                                                   ▲                                        │
//!                                                   └── floors, once delivered ◀── ids, on disk (seen, seen_files)
//! ```
//!
//! A page stays as it came: its events are found in place, and the new ones are copied once, still escaped, into envelopes as
//! subscriptions bring them. Floors and ids are stored after delivery, ids first.

mod call_budget;
mod catalog;
mod ended_call;
mod envelopes;
mod group;
mod listing;
mod page;
mod plan;
mod position;
mod puller;
mod reports;
mod seen;
mod seen_files;
mod service;
mod source;
#[cfg(test)]
mod tests;
mod turns;

pub use self::position::{GroupPosition, ListingPosition};
pub use self::source::CloudWatchPull;
