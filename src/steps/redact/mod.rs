//! What must not leave the process is found in messages and replaced.
//!
//! One pass over a run of lines, a block at a time, finds the places where a known pattern may be (`scan`); only there it is looked
//! for (`finders`). Patterns of one's own are looked for line by line (`own`). A message that is the inside of a JSON string is unescaped
//! where that may matter (`unescaped`), and what is found is replaced in the escaped text.

mod cards;
mod finders;
mod hits;
mod internet;
mod mail;
mod own;
mod payload;
mod redacting;
mod redactor;
mod runs;
mod scan;
mod secrets;
mod unescaped;

#[cfg(test)]
mod tests;

pub use self::redacting::Redacting;
pub use self::redactor::{RedactScratch, Redactor};
