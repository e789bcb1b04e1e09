//! The table of breaks, by where they are.

mod assumed;
mod bucket;
mod destination;
mod harmless;
mod senders;
mod stream;

pub(super) use self::harmless::harmless;
use super::{Break, Model, broken};

/// Every single break.
pub(super) fn all() -> Vec<Break> {
    let parts = [
        senders::breaks(),
        senders::vended(),
        destination::breaks(),
        assumed::writers(),
        assumed::consumers(),
        assumed::readers(),
        assumed::log_readers(),
        stream::breaks(),
        bucket::breaks(),
        bucket::keys(),
    ];
    parts.into_iter().flatten().collect()
}
