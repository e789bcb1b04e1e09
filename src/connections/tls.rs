//! The certificate and key that connections are served with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsFilesError {
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
    Unfit(#[from] rustls::Error),
}

/// Reads both files and makes an acceptor of them, for a protocol of this name if it has one in TLS.
pub(crate) fn acceptor(
    cert: &Path,
    key: &Path,
    protocol: Option<&[u8]>,
) -> Result<TlsAcceptor, TlsFilesError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsFilesError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(cert).map_err(pem(cert))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(pem(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    // The provider is named here: the process may hold another one that nobody chose.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
