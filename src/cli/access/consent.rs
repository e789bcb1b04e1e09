//! Whether changes may be made, and what is said of them.

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

/// What is said of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ApplyWords {
    /// Everything.
    All,
    /// Only what failed, and what is asked about.
    Failures,
    /// JSON, for machines.
    Json,
}

impl ApplyWords {
    /// As the options say.
    #[must_use]
    pub const fn new(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (false, true) => Self::Failures,
            (false, false) => Self::All,
        }
    }
}
