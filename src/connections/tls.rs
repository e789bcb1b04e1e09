//! The certificate and key that connections are served with.

use std::fs;
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
    /// The key takes a passphrase.
    #[error("the private key in `{}` is encrypted, and nobody can be asked for its passphrase: write it without, with `openssl pkey -in FILE -out NEW`", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
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
    let key = match PrivateKeyDer::from_pem_file(key) {
        Err(_) if is_encrypted(key) => return Err(TlsFilesError::EncryptedKey { path: key.to_owned() }),
        read => read.map_err(pem(key))?,
    };
    // The provider is named here: the process may hold another one that nobody chose.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whether a file has a key that takes a passphrase: of PKCS #8, or as OpenSSL writes older ones.
fn is_encrypted(key: &Path) -> bool {
    let text = fs::read_to_string(key).unwrap_or_default();
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}
