//! Why a client cannot be built.

use std::path::PathBuf;

/// A client cannot be built. Each says whose connection it is, such as "sink `archive`".
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The authority's certificate cannot be read.
    #[error("cannot read `ca_file` `{}` of {whose}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Whose connection.
        whose: String,
        /// Why.
        source: std::io::Error,
    },
    /// The authority's certificate cannot be used.
    #[error("cannot use `ca_file` `{}` of {whose}: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Whose connection.
        whose: String,
        /// Why.
        reason: String,
    },
    /// The environment or the profile names a region that none can be.
    #[error(
        "found region `{region}` for {whose} in AWS_REGION, AWS_DEFAULT_REGION or the profile, expected a region such as `us-east-1`"
    )]
    Region {
        /// What was found.
        region: String,
        /// Whose connection.
        whose: String,
    },
    /// Nothing says which region.
    #[error("no region for {whose}: set its `region`, AWS_REGION, or a region in the profile")]
    NoRegion {
        /// Whose connection.
        whose: String,
    },
}
