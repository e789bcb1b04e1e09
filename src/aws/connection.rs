//! A connection to AWS, whoever has it: where, as whom, and through what.
//!
//! The SDK's own retries are off, since sources and sinks have loops that know more; its stalled-stream protection is off, since a
//! request has a deadline. A command has no such loop, and leaves them on.

use std::sync::Arc;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::TlsContext;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};

use super::credentials::{Credentials, SdkProvider};
use super::error::AwsError;
use super::host::HostCredentials;
use super::http::{ProxyUse, connector, http_client, tls_context};
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
    /// For sources of credentials on this host.
    host_http: SharedHttpClient,
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
        let http = http_client(tls.clone(), ProxyUse::Services);
        let host_http = http_client(tls.clone(), ProxyUse::Credentials);
        Ok(Self { whose, settings, tls, http, host_http, is_of_command: false })
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
            .no_credentials()
            .http_client(self.http.clone())
            .retry_config(retries)
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(IdentityCache::no_cache());
        loader = match region {
            Some(region) => loader.region(Region::new(region)),
            None => loader.region(self.own_region()),
        };
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
        let config = loader.load().await;
        self.region(&config)?;
        Ok(config)
    }

    /// The region of the environment, the profile, or the instance, which is asked as its credentials are.
    fn own_region(&self) -> RegionProviderChain {
        let here = ProviderConfig::without_region().with_http_client(self.host_http.clone());
        let mut profile = ProfileFileRegionProvider::builder().configure(&here);
        if let Some(name) = &self.settings.profile {
            profile = profile.profile_name(name);
        }
        let instance = ImdsRegionProvider::builder().configure(&here).build();
        RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(profile.build())
            .or_else(instance)
    }

    /// Its region, which is part of what is signed.
    fn region(&self, config: &SdkConfig) -> Result<Region, AwsError> {
        let whose = || self.whose.to_string();
        let region = config.region().cloned().ok_or_else(|| AwsError::NoRegion { whose: whose() })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if region.as_ref().chars().all(plain) && !region.as_ref().is_empty() {
            return Ok(region);
        }
        Err(AwsError::Region { region: region.as_ref().escape_debug().to_string(), whose: whose() })
    }

    /// A pool of connections for calls without a client.
    pub(super) fn connector(&self) -> SharedHttpConnector {
        connector(&self.tls, self.settings.connect_timeout)
    }

    /// The host's own first, then each role with the credentials of the one before.
    fn credentials(&self, base: &SdkConfig, region: &Region, roles: Vec<ResolvedRole>) -> Arc<Credentials> {
        let identity = self.settings.endpoint_url.is_none().then(|| base.clone());
        let (profile, http) = (self.settings.profile.clone(), self.host_http.clone());
        let host = HostCredentials::new(profile, self.is_of_command, base.clone(), http);
        let first = Credentials::base(host, identity);
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
