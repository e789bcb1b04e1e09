//! Connections for answers that go on for minutes: each request has one of its own, over HTTP/2 where the service speaks it.
//!
//! On a connection that several share, an answer that nobody reads at present takes the room of the others, and a service allows so
//! many of them at a time. What a connection may hold unread is set here, since it is beside the budget of memory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Builder, Error as ClientError};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::error::AwsError;
use super::http::{ProxyUse, is_direct, read_ca};
use super::transport_fault::TransportPeer;

/// What one answer may hold unread; at 50 ms to the service, it lets 2.5 MiB a second through, and a shard gives 2.
const WINDOW: u32 = 128 << 10;

/// Connects for one answer each.
#[derive(Clone)]
struct StreamConnector {
    tcp: TcpConnector,
    tls: Arc<ClientConfig>,
    /// The environment's proxy.
    matcher: Arc<Matcher>,
}

impl fmt::Debug for StreamConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamConnector").finish_non_exhaustive()
    }
}

/// Connections that trust the system's authorities, and the `ca_file` of the connection that is `whose`.
pub(super) fn stream_connector(
    ca_file: Option<&PathBuf>,
    whose: &str,
    timeout: Duration,
) -> Result<SharedHttpConnector, AwsError> {
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeout));
    let (tls, matcher) = (Arc::new(tls(ca_file, whose)?), Arc::new(Matcher::from_env()));
    Ok(SharedHttpConnector::new(StreamConnector { tcp, tls, matcher }))
}

fn tls(ca_file: Option<&PathBuf>, whose: &str) -> Result<ClientConfig, AwsError> {
    let wrong = |reason: String| AwsError::Ca {
        path: ca_file.cloned().unwrap_or_default(),
        whose: whose.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    // One that cannot be read is of no use to others, either.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        for certificate in CertificateDer::pem_slice_iter(&read_ca(path, whose)?) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| wrong(error.to_string()))?;
    let mut tls = versions.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

impl StreamConnector {
    async fn send(
        self,
        request: Request<SdkBody>,
        proxy: Option<Intercept>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .pool_max_idle_per_host(0)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW);
        let Some(proxy) = proxy else {
            let https = HttpsConnector::from((self.tcp, self.tls));
            return builder.build(https).request(request).await;
        };
        // The proxy itself may be one of HTTPS.
        let to_proxy = HttpsConnector::from((self.tcp, Arc::clone(&self.tls)));
        let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        builder.build(HttpsConnector::from((tunnel, self.tls))).request(request).await
    }
}

impl HttpConnector for StreamConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: Uri = request.uri().parse().unwrap_or_default();
        let proxy = if is_direct(&uri, ProxyUse::Services) { None } else { self.matcher.intercept(&uri) };
        let peer = TransportPeer::of(&uri, proxy.as_ref().map(Intercept::uri));
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = connector.send(request, proxy).await;
            let answer = answer.map_err(|error| peer.blame(ConnectorError::io(error.into())))?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
