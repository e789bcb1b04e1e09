//! Why the source cannot be served.

use std::io;

use crate::config::ForwardListen;
use crate::connections::TlsFilesError;

/// Why the source cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardServeError {
    /// The address or path is taken, or not ours.
    #[error(
        "cannot listen on `{listen}`: choose a free address of this host, or a path in a folder that standpipe may write to, in `listen`"
    )]
    Listen { listen: ForwardListen, source: io::Error },
    /// The certificate or key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
}
