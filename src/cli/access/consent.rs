//! Whether changes may be made, and whether somebody is to be asked.

/// Whether changes may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// They may.
    Given,
    /// Someone is there to be asked.
    Asked,
    /// Nobody is: then nothing is done.
    Lacking,
}

impl Consent {
    /// With `--yes` it is given; else whoever sits at the terminal is asked.
    #[must_use]
    pub const fn new(yes: bool, is_terminal: bool) -> Self {
        match (yes, is_terminal) {
            (true, _) => Self::Given,
            (false, true) => Self::Asked,
            (false, false) => Self::Lacking,
        }
    }
}
