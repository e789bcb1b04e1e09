//! Configuration: files and environment in, checked values out.

mod secret;
mod types;

pub use secret::Secret;
pub use types::*;
