//! How the process is: what is wrong at present, and whether what should move still moves.

mod status;
mod stuck;
mod watchdog;

pub use self::status::{Heartbeat, Status};
pub use self::watchdog::{Activity, Watchdog};
