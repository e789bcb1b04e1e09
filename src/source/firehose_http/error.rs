//! Why the endpoint cannot be served.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// The certificate or key cannot be read.
    #[error("cannot read `{}` as PEM: `tls` needs a certificate chain in `cert` and its private key in `key`", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and key do not make a server.
    #[error("cannot serve TLS with the certificate and key in `tls`")]
    Tls(#[from] rustls::Error),
    /// An ARN's pattern.
    #[error("cannot read a pattern in `source_arns`")]
    SourceArns(#[from] globset::Error),
}
