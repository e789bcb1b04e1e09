//! The one place that builds SDK clients: credentials, roles, endpoints, TLS, timeouts.
//!
//! The SDK's own retries are off, since a sink has one loop that knows more; its stalled-stream protection is off, since a
//! request has a deadline.

mod call;
mod credentials;
mod fault;
mod iam;
mod probe;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};
use prometheus::Gauge;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Semaphore;

pub use self::call::{ApiClient, ClientIdentity};
pub use self::credentials::{Credentials, ResolvedRole};
pub use self::fault::{CredentialsFault, principal_in};
pub use self::iam::PolicySimulation;
pub use self::probe::{CallError, NoAnswer, StreamDescription};
use crate::config::FirehoseSink;

/// What a sink's clients have in common.
#[derive(Clone, Debug)]
pub struct AwsConnection {
    http: SharedHttpClient,
    settings: FirehoseSink,
    expiry: Gauge,
    clients: Arc<FirehoseClients>,
}

/// The clients that are in use: streams of one region, put to by one principal, share theirs, and so its credentials.
#[derive(Debug)]
struct FirehoseClients {
    /// One permit: with the one who looks for a client, or makes it.
    making: Semaphore,
    /// The lock covers a look and an entry.
    made: Mutex<HashMap<ClientKey, Weak<FirehoseClient>>>,
}

/// A client's region, if it was named, and the roles that it acts through.
type ClientKey = (Option<String>, Vec<ResolvedRole>);

/// A client, and who it acts as.
#[derive(Clone, Debug)]
pub struct FirehoseClient {
    /// The client.
    pub client: aws_sdk_firehose::Client,
    /// Its credentials.
    pub credentials: Arc<Credentials>,
    /// Its region.
    pub region: String,
}

/// A client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The authority's certificate cannot be read.
    #[error("cannot read `ca_file` `{}`", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The authority's certificate cannot be used.
    #[error("cannot use `ca_file` `{}`: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nothing says which region.
    #[error("no region: set `region` of the sink, AWS_REGION, or a region in the profile")]
    NoRegion,
}

impl AwsConnection {
    /// Prepares the clients of a sink; `expiry` is told when its credentials expire.
    ///
    /// # Errors
    /// When the sink's `ca_file` is of no use.
    pub fn new(settings: FirehoseSink, expiry: Gauge) -> Result<Self, AwsError> {
        let clients = Arc::new(FirehoseClients { making: Semaphore::new(1), made: Mutex::default() });
        Ok(Self { http: http_client(settings.ca_file.as_ref())?, settings, expiry, clients })
    }

    /// The sink's settings.
    #[must_use]
    pub fn settings(&self) -> &FirehoseSink {
        &self.settings
    }

    /// A client for `region`, or the environment's, which acts as the last of `roles`; the same one while it is in use.
    ///
    /// # Errors
    /// When there is no region.
    pub async fn firehose(
        &self,
        region: Option<String>,
        roles: Vec<ResolvedRole>,
    ) -> Result<Arc<FirehoseClient>, AwsError> {
        // Nobody closes the semaphore.
        let _making = self.clients.making.acquire().await;
        let whose = (region, roles);
        if let Some(client) = self.clients.with(|made| made.get(&whose).and_then(Weak::upgrade)) {
            return Ok(client);
        }
        let client = Arc::new(self.make_client(whose.clone()).await?);
        self.clients.with(|made| {
            made.retain(|_, client| client.strong_count() > 0);
            made.insert(whose, Arc::downgrade(&client));
        });
        Ok(client)
    }

    async fn make_client(&self, (region, roles): ClientKey) -> Result<FirehoseClient, AwsError> {
        let base = self.load(region).await;
        let region = base.region().cloned().ok_or(AwsError::NoRegion)?;
        let credentials = self.credentials(&base, &region, roles);
        let shared = SharedCredentialsProvider::new(credentials::SdkProvider(Arc::clone(&credentials)));
        let config = base.into_builder().credentials_provider(shared).build();
        let mut builder = aws_sdk_firehose::config::Builder::from(&config);
        if let Some(url) = &self.settings.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let client = aws_sdk_firehose::Client::from_conf(builder.build());
        Ok(FirehoseClient { client, credentials, region: region.to_string() })
    }

    async fn load(&self, region: Option<String>) -> SdkConfig {
        let settings = &self.settings;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.request_timeout)
            .operation_timeout(settings.request_timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(IdentityCache::no_cache());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        // Only when set: false would override the environment.
        if settings.use_fips {
            loader = loader.use_fips(true);
        }
        if settings.use_dual_stack {
            loader = loader.use_dual_stack(true);
        }
        loader.load().await
    }

    /// The chain's provider first, then each role with the credentials of the one before.
    fn credentials(&self, base: &SdkConfig, region: &Region, roles: Vec<ResolvedRole>) -> Arc<Credentials> {
        let identity = self.settings.endpoint_url.is_none().then(|| aws_sdk_sts::Client::new(base));
        let first = Credentials::base(base.credentials_provider(), identity);
        let last =
            roles.into_iter().fold(Arc::new(first), |before, role| assuming(base, region, before, role));
        last.report_expiry(self.expiry.clone());
        last
    }
}

impl FirehoseClients {
    fn with<T>(&self, look: impl FnOnce(&mut HashMap<ClientKey, Weak<FirehoseClient>>) -> T) -> T {
        look(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long a connection may take where no sink says it.
const CONNECT: Duration = Duration::from_secs(5);

/// The settings and credentials of a principal that no sink names. A profile that is named comes before the environment's keys.
async fn principal(
    region: &str,
    profile: Option<String>,
    role: Option<ResolvedRole>,
    ca_file: Option<&PathBuf>,
) -> Result<(SdkConfig, Arc<Credentials>), AwsError> {
    let http = http_client(ca_file)?;
    let region = Region::new(region.to_owned());
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http.clone())
        .region(region.clone())
        .retry_config(RetryConfig::standard())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache());
    if let Some(profile) = profile {
        let config =
            ProviderConfig::without_region().with_http_client(http).with_region(Some(region.clone()));
        let builder = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(&profile);
        loader = loader.profile_name(profile).credentials_provider(builder.build());
    }
    let base = loader.load().await;
    let first = Arc::new(Credentials::base(base.credentials_provider(), None));
    let credentials = role.into_iter().fold(first, |before, role| assuming(&base, &region, before, role));
    Ok((base, credentials))
}

/// A role, assumed with the credentials of the one before.
fn assuming(
    base: &SdkConfig,
    region: &Region,
    before: Arc<Credentials>,
    role: ResolvedRole,
) -> Arc<Credentials> {
    let shared = SharedCredentialsProvider::new(credentials::SdkProvider(Arc::clone(&before)));
    let region = role.region.clone().map_or_else(|| region.clone(), Region::new);
    let config = base.to_builder().credentials_provider(shared).region(region).build();
    let mut builder = aws_sdk_sts::config::Builder::from(&config);
    // Only when set: the builder has read AWS_ENDPOINT_URL_STS already.
    if let Some(url) = &role.sts_endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Arc::new(Credentials::role(before, aws_sdk_sts::Client::from_conf(builder.build()), role))
}

/// One pool of connections for a sink's clients.
fn http_client(ca_file: Option<&PathBuf>) -> Result<SharedHttpClient, AwsError> {
    let context = tls(ca_file)?;
    Ok(Builder::new().build_with_connector_fn(move |settings, _components| connect(settings, &context)))
}

/// One pool of connections for calls without a client.
fn connector(ca_file: Option<&PathBuf>) -> Result<Connector, AwsError> {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).build();
    Ok(connect(Some(&settings), &tls(ca_file)?))
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

/// Trusts the system's authorities, and `ca_file`.
fn tls(ca_file: Option<&PathBuf>) -> Result<TlsContext, AwsError> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca_file {
        trust = trust.with_pem_certificate(read_ca(path)?);
    }
    let wrong = |reason: String| AwsError::Ca { path: ca_file.cloned().unwrap_or_default(), reason };
    TlsContext::builder().with_trust_store(trust).build().map_err(|error| wrong(error.to_string()))
}

/// Reads the certificates, and sees that there is one.
fn read_ca(path: &PathBuf) -> Result<Vec<u8>, AwsError> {
    let pem = fs::read(path).map_err(|source| AwsError::CaFile { path: path.clone(), source })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let reason = match certificates {
        Ok(found) if found.is_empty() => "it holds no PEM certificate".to_owned(),
        Ok(_) => return Ok(pem),
        Err(error) => error.to_string(),
    };
    Err(AwsError::Ca { path: path.clone(), reason })
}
