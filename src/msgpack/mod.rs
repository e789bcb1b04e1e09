//! `MessagePack`: values found in bytes without copying them, and the few that are written.
//!
//! Source of the format: <https://github.com/msgpack/msgpack/blob/master/spec.md>. A length that is declared is never believed:
//! nothing is allocated for it, and what is not there is said to be missing.

mod scan;
mod token;
mod write;

#[cfg(test)]
mod tests;

pub use self::scan::{PackScan, PackSpan};
pub use self::token::{PackError, PackReader, PackToken};
pub(crate) use self::write::{put_array, put_bin, put_bool, put_map, put_str};
