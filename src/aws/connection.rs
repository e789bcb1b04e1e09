//! A connection to AWS, whoever has it: where, as whom, and through what.
//!
//! The SDK's own retries are off, since sources and sinks have loops that know more; its stalled-stream protection is off, since a
//! request has a deadline. A command has no such loop, and leaves them on.

use std::sync::Arc;

use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::TlsContext;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::credentials::{Credentials, SdkProvider};
use super::error::AwsError;
use super::http::{connector, http_client, tls_context};
use super::role::ResolvedRole;
use crate::config::AwsSettings;

/// A connection to AWS of a source, a sink, or an account that a command looks at. Its clients share one pool of connections.
#[derive(Clone, Debug)]
pub struct AwsConnection {
    /// Whose it is, such as "sink `archive`": errors say it.
    whose: Arc<str>,
    settings: AwsSettings,
    tls: TlsContext,
    http: SharedHttpClient,
    is_of_command: bool,
}

/// What a client is built from: the SDK's configuration for one region and one principal.
#[derive(Clone, Debug)]
pub(crate) struct AwsSession {
    /// With the credentials as its provider; without the connection's own endpoint, which is for one service.
    pub(crate) config: SdkConfig,
    /// Those of the last role.
    pub(crate) credentials: Arc<Credentials>,
    /// Its region.
    pub(crate) region: String,
}

impl AwsConnection {
    /// Prepares a connection; nothing is asked yet. `whose` says in errors whose it is, such as "sink `archive`".
    ///
    /// # Errors
    /// When the `ca_file` is of no use.
    pub fn new(whose: impl Into<Arc<str>>, settings: AwsSettings) -> Result<Self, AwsError> {
        let whose = whose.into();
        let tls = tls_context(settings.ca_file.as_ref(), &whose)?;
        Ok(Self { http: http_client(tls.clone()), whose, settings, tls, is_of_command: false })
    }

    /// The same for a command, that is run once by a person: a profile that is named comes before the environment's keys, and the SDK
    /// tries calls again.
    #[must_use]
    pub fn of_command(self) -> Self {
        Self { is_of_command: true, ..self }
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// What a client in `region`, or the environment's, is built from that acts as the last of `roles`.
    ///
    /// # Errors
    /// When there is no region.
    pub(crate) async fn session(
        &self,
        region: Option<String>,
        roles: Vec<ResolvedRole>,
    ) -> Result<AwsSession, AwsError> {
        let base = self.load(region).await?;
        let region = self.region(&base)?;
        let credentials = self.credentials(&base, &region, roles);
        let shared = SharedCredentialsProvider::new(SdkProvider(Arc::clone(&credentials)));
        let config = base.into_builder().credentials_provider(shared).build();
        Ok(AwsSession { config, credentials, region: region.to_string() })
    }

    /// The SDK's configuration with the first credentials.
    pub(super) async fn load(&self, region: Option<String>) -> Result<SdkConfig, AwsError> {
        let settings = &self.settings;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.request_timeout)
            .operation_timeout(settings.request_timeout)
            .build();
        let retries = if self.is_of_command { RetryConfig::standard() } else { RetryConfig::disabled() };
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
            .retry_config(retries)
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(IdentityCache::no_cache());
        let region = region.map(Region::new);
        if let Some(region) = &region {
            loader = loader.region(region.clone());
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
            if self.is_of_command {
                let http = self.http.clone();
                let config = ProviderConfig::without_region().with_http_client(http).with_region(region);
                let builder = ProfileFileCredentialsProvider::builder().configure(&config);
                loader = loader.credentials_provider(builder.profile_name(profile).build());
            }
        }
        // Only when set: false would override the environment.
        if settings.use_fips {
            loader = loader.use_fips(true);
        }
        if settings.use_dual_stack {
            loader = loader.use_dual_stack(true);
        }
        let config = loader.load().await;
        self.region(&config)?;
        Ok(config)
    }

    fn region(&self, config: &SdkConfig) -> Result<Region, AwsError> {
        config.region().cloned().ok_or_else(|| AwsError::NoRegion { whose: self.whose.to_string() })
    }

    /// A pool of connections for calls without a client.
    pub(super) fn connector(&self) -> Connector {
        connector(&self.tls, self.settings.connect_timeout)
    }

    /// The chain's provider first, then each role with the credentials of the one before.
    fn credentials(&self, base: &SdkConfig, region: &Region, roles: Vec<ResolvedRole>) -> Arc<Credentials> {
        let identity = self.settings.endpoint_url.is_none().then(|| aws_sdk_sts::Client::new(base));
        let first = Credentials::base(base.credentials_provider(), identity);
        roles.into_iter().fold(Arc::new(first), |before, role| assuming(base, region, before, role))
    }
}

/// A role, assumed with the credentials of the one before.
fn assuming(
    base: &SdkConfig,
    region: &Region,
    before: Arc<Credentials>,
    role: ResolvedRole,
) -> Arc<Credentials> {
    let shared = SharedCredentialsProvider::new(SdkProvider(Arc::clone(&before)));
    let region = role.region.clone().map_or_else(|| region.clone(), Region::new);
    let config = base.to_builder().credentials_provider(shared).region(region).build();
    let mut builder = aws_sdk_sts::config::Builder::from(&config);
    // Only when set: the builder has read AWS_ENDPOINT_URL_STS already.
    if let Some(url) = &role.sts_endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Arc::new(Credentials::role(before, aws_sdk_sts::Client::from_conf(builder.build()), role))
}
