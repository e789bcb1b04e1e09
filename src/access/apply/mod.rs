//! Makes what is there be as planned: what is to be done is worked out and shown first, then done call by call.
//!
//! `changes` and `removals` are pure. `act` makes the calls, and tells of each; it can be stopped between any two resources, and what
//! it left is found by the next look.

mod act;
mod changes;
mod compare;
mod removals;
mod show;

#[cfg(test)]
mod tests;

pub use self::act::{ApplyEvent, ApplyStep, StepError, StepRunner};
pub use self::changes::{AspectDifference, ChangeAction, PlannedChange, changes};
pub use self::compare::same;
pub use self::removals::{PlannedRemoval, RemovalAction, removals};
pub use self::show::{change_json, removal_json, show_change, show_removal};
