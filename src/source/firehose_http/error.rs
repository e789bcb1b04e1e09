//! Why the endpoint cannot be served.

use std::net::SocketAddr;

use crate::connections::TlsFilesError;

/// Why the endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not ours.
    #[error("cannot listen on `{listen}`: choose a free address of this host in `listen`")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificate or key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
    /// An ARN's pattern.
    #[error("cannot read a pattern in `source_arns`")]
    SourceArns(#[from] globset::Error),
}
