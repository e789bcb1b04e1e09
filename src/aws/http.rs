//! Pools of HTTPS connections: whom they trust, and which proxy they use.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::error::AwsError;
use super::transport_fault::TransportPeer;

/// Which requests go past the environment's proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ProxyUse {
    /// Those to link-local addresses: nothing but this host answers there.
    Services,
    /// Those to a source of credentials on this host, too: what answers in clear text, and what is on a loopback address.
    Credentials,
}

/// A pool for the SDK's clients.
pub(super) fn http_client(context: &TlsContext, proxy_use: ProxyUse) -> SharedHttpClient {
    let pool = |proxy: ProxyConfig| {
        let context = context.clone();
        Builder::new()
            .build_with_connector_fn(move |settings, _components| connect(settings, &context, proxy.clone()))
    };
    let (direct, proxied) = (pool(ProxyConfig::disabled()), pool(ProxyConfig::from_env()));
    let matcher = Arc::new(Matcher::from_env());
    SharedHttpClient::new(TransportPools { direct, proxied, matcher, proxy_use })
}

/// A pool for calls without a client.
pub(super) fn connector(context: &TlsContext, timeout: Duration) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(timeout).build();
    let pool = |proxy| SharedHttpConnector::new(connect(Some(&settings), context, proxy));
    let (direct, proxied) = (pool(ProxyConfig::disabled()), pool(ProxyConfig::from_env()));
    let matcher = Arc::new(Matcher::from_env());
    SharedHttpConnector::new(Transport { direct, proxied, matcher, proxy_use: ProxyUse::Services })
}

fn connect(settings: Option<&HttpConnectorSettings>, context: &TlsContext, proxy: ProxyConfig) -> Connector {
    let mut connector = Connector::builder().proxy_config(proxy);
    if let Some(settings) = settings {
        connector = connector.connector_settings(settings.clone());
    }
    connector
        .enable_tcp_nodelay(true)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context.clone())
        .build()
}

/// Pools of connections, with the environment's proxy and without.
#[derive(Debug)]
struct TransportPools {
    direct: SharedHttpClient,
    proxied: SharedHttpClient,
    matcher: Arc<Matcher>,
    proxy_use: ProxyUse,
}

impl HttpClient for TransportPools {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let pool = |pools: &SharedHttpClient| pools.http_connector(settings, components);
        let (direct, proxied) = (pool(&self.direct), pool(&self.proxied));
        let matcher = Arc::clone(&self.matcher);
        SharedHttpConnector::new(Transport { direct, proxied, matcher, proxy_use: self.proxy_use })
    }
}

/// Sends requests with the environment's proxy or without, and names in errors whom they were for.
#[derive(Debug)]
struct Transport {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
    /// The environment's.
    matcher: Arc<Matcher>,
    proxy_use: ProxyUse,
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: Uri = request.uri().parse().unwrap_or_default();
        let direct = is_direct(&uri, self.proxy_use);
        let proxy = if direct { None } else { self.matcher.intercept(&uri) };
        let peer = TransportPeer::of(&uri, proxy.as_ref().map(Intercept::uri));
        let connector = if direct { &self.direct } else { &self.proxied };
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move { answer.await.map_err(|error| peer.blame(error)) })
    }
}

/// Whether a request goes past the proxy of the environment.
pub(super) fn is_direct(uri: &Uri, proxy_use: ProxyUse) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address: Option<IpAddr> = host.parse().ok();
    let is_link_local = match address {
        Some(IpAddr::V4(address)) => address.is_link_local(),
        // `fd00:ec2::/32` is where AWS's own services answer an instance.
        Some(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.segments().starts_with(&[0xfd00, 0x0ec2])
        }
        None => false,
    };
    let is_loopback = address.map_or(host == "localhost", |address| address.is_loopback());
    let is_here = is_loopback || uri.scheme_str() == Some("http");
    is_link_local || (proxy_use == ProxyUse::Credentials && is_here)
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
pub(super) fn read_ca(path: &Path, whose: &str) -> Result<Vec<u8>, AwsError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, for_services: bool, for_credentials: bool) {
        let uri: Uri = uri.parse().unwrap();
        assert_eq!(is_direct(&uri, ProxyUse::Services), for_services, "{uri}");
        assert_eq!(is_direct(&uri, ProxyUse::Credentials), for_credentials, "{uri}");
    }

    #[test]
    fn the_hosts_own_sources_of_credentials_are_asked_without_a_proxy() {
        check("http://169.254.169.254/latest/api/token", true, true);
        check("http://169.254.170.23/v1/credentials", true, true);
        check("http://[fd00:ec2::254]/latest/api/token", true, true);
        check("http://[fd00:ec2::23]/v1/credentials", true, true);
        check("http://[fe80::1]/", true, true);
        check("http://127.0.0.1:8080/creds", false, true);
        check("https://localhost:8443/creds", false, true);
        check("https://[::1]:8443/creds", false, true);
        check("http://metadata.internal/latest/api/token", false, true);
        check("https://broker.example.com/creds", false, false);
        check("https://firehose.us-east-1.amazonaws.com/", false, false);
        check("http://[fd00::1]/", false, true);
    }
}
