//! Access between accounts: who may do what, which policy says so, and which hop is broken.

pub mod apply;
pub mod call;
pub mod doctor;
pub mod live;
pub mod policy;
pub mod plan;
pub mod render;
pub mod verify;
