//! Access between accounts: who may do what, which policy says so, and which hop is broken.

pub mod apply;
mod command;
pub mod doctor;
pub mod live;
pub mod policy;
pub mod plan;
pub mod render;
pub mod report;
pub mod verify;
