//! Pools of HTTPS connections: whom they trust, and which proxy they use.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::error::AwsError;

/// A pool for the SDK's clients.
pub(super) fn http_client(context: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, _components| connect(settings, &context))
}

/// A pool for calls without a client.
pub(super) fn connector(context: &TlsContext, timeout: Duration) -> Connector {
    let settings = HttpConnectorSettings::builder().connect_timeout(timeout).build();
    connect(Some(&settings), context)
}

/// Uses the environment's proxy.
fn connect(settings: Option<&HttpConnectorSettings>, context: &TlsContext) -> Connector {
    let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
    if let Some(settings) = settings {
        connector = connector.connector_settings(settings.clone());
    }
    connector
        .enable_tcp_nodelay(true)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context.clone())
        .build()
}

/// Trusts the system's authorities, and the `ca_file` of the connection that is `whose`.
pub(super) fn tls_context(ca_file: Option<&PathBuf>, whose: &str) -> Result<TlsContext, AwsError> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca_file {
        trust = trust.with_pem_certificate(read_ca(path, whose)?);
    }
    TlsContext::builder().with_trust_store(trust).build().map_err(|error| AwsError::Ca {
        path: ca_file.cloned().unwrap_or_default(),
        whose: whose.to_owned(),
        reason: error.to_string(),
    })
}

/// Reads the certificates, and sees that there is one.
fn read_ca(path: &Path, whose: &str) -> Result<Vec<u8>, AwsError> {
    let (path, whose) = (path.to_path_buf(), whose.to_owned());
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(AwsError::CaFile { path, whose, source }),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let reason = match certificates {
        Ok(found) if found.is_empty() => "it holds no PEM certificate".to_owned(),
        Ok(_) => return Ok(pem),
        Err(error) => error.to_string(),
    };
    Err(AwsError::Ca { path, whose, reason })
}
