//! Access between accounts: who may do what, and which policy says so.

pub mod policy;
pub mod plan;
pub mod render;
