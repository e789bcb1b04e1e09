//! The certificate and key that the endpoint is served with.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::error::ServeError;
use crate::config::Tls;

/// Reads both files and makes an acceptor of them.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let pem = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| ServeError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&tls.cert).map_err(pem(&tls.cert))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(pem(&tls.cert))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(pem(&tls.key))?;
    // The provider is named here: the process may hold another one that nobody chose.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
