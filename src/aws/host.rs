//! The host's own credentials: environment, profile, web identity, container, instance, in the order of AWS's own clients.
//!
//! Each is asked anew for every set of credentials, so that a file that was written since is read; and each has a deadline.

use std::env;
use std::error::Error;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::time::timeout;

use super::assume::{self, RoleCredentials};
use super::failure::network_failure;
use super::fault::CredentialsFault;
use super::key_check;
use super::process;
use super::profile::{self, ProfileBase, ProfileCredentials};
use super::web_identity::WebIdentity;

/// Each source of credentials has this long.
const DEADLINE: Duration = Duration::from_secs(20);

/// The sources of the host's own credentials.
#[derive(Debug)]
pub(super) struct HostCredentials {
    /// The profile that is named, rather than the environment's.
    profile: Option<String>,
    /// A person's command: a profile that is named comes before the environment's keys.
    is_of_command: bool,
    /// For calls of STS.
    config: SdkConfig,
    container: EcsCredentialsProvider,
    instance: ImdsCredentialsProvider,
}

/// How the SDK's provider says that there is no container's source.
const NOT_CONFIGURED: &str = "provider not configured";

/// Credentials, and whose they are if that is known.
type HostKeys = (Keys, Option<String>);

impl HostCredentials {
    /// `http` asks the container's and the instance's sources.
    pub(super) fn new(
        profile: Option<String>,
        is_of_command: bool,
        config: SdkConfig,
        http: SharedHttpClient,
    ) -> Self {
        let own =
            ProviderConfig::without_region().with_http_client(http).with_region(config.region().cloned());
        let container = EcsCredentialsProvider::builder().configure(&own).build();
        let instance = ImdsCredentialsProvider::builder().configure(&own).build();
        Self { profile, is_of_command, config, container, instance }
    }

    /// Asks one after another; the first that has something to say decides.
    pub(super) async fn fetch(&self) -> Result<HostKeys, CredentialsFault> {
        let mut none = Vec::new();
        let is_profile_alone = self.is_of_command && self.profile.is_some();
        if !is_profile_alone && let Some(keys) = from_environment(&mut none).await? {
            return Ok((keys, None));
        }
        if let Some(found) = self.of_profile().await? {
            return Ok(found);
        }
        if let Some(name) = self.profile.as_ref().filter(|_| is_profile_alone) {
            return Err(profile::without_credentials(name));
        }
        if let Some(identity) = WebIdentity::of_environment()? {
            return self.of_web_identity(&identity).await;
        }
        if let Some(keys) = self.of_container(&mut none).await? {
            return Ok((keys, None));
        }
        match self.of_instance(&mut none).await? {
            Some(keys) => Ok((keys, None)),
            None => Err(CredentialsFault::none_found(&none)),
        }
    }

    async fn of_profile(&self) -> Result<Option<HostKeys>, CredentialsFault> {
        let profiles = within("the profile files", profile::read(self.profile.clone())).await?;
        let Some(ProfileCredentials { base, roles }) = profile::resolve(&profiles)? else { return Ok(None) };
        let source = format!("profile `{}`", profiles.selected_profile());
        let (mut keys, mut principal) = self.of_base(base, &source).await?;
        key_check::check(&keys, &source)?;
        for role in roles {
            let client = assume::client_with(&self.config, keys);
            let caller = principal.unwrap_or_else(|| format!("the first credentials of {source}"));
            let what = format!("sts:AssumeRole on `{}`", role.arn);
            let RoleCredentials { keys: next, principal: assumed } =
                within(&what, assume::assume(&client, &role, &caller)).await?;
            key_check::check(&next, &what)?;
            (keys, principal) = (next, assumed);
        }
        Ok(Some((keys, principal)))
    }

    async fn of_base(&self, base: ProfileBase, source: &str) -> Result<HostKeys, CredentialsFault> {
        let mut none = Vec::new();
        let keys = match base {
            ProfileBase::Static(keys) => Some(keys),
            ProfileBase::Process(command) => Some(process::credentials(&command, DEADLINE).await?),
            ProfileBase::WebIdentity(identity) => return self.of_web_identity(&identity).await,
            ProfileBase::Environment => from_environment(&mut none).await?,
            ProfileBase::Container => self.of_container(&mut none).await?,
            ProfileBase::Instance => self.of_instance(&mut none).await?,
        };
        let nothing = || {
            let what = format!("the `credential_source` of {source} has no credentials: {}", none.join("; "));
            CredentialsFault::of_source(
                &what,
                "correct `credential_source`, or give that source credentials",
                None,
            )
        };
        keys.map(|keys| (keys, None)).ok_or_else(nothing)
    }

    async fn of_web_identity(&self, identity: &WebIdentity) -> Result<HostKeys, CredentialsFault> {
        let client = aws_sdk_sts::Client::new(&self.config);
        let found = within("sts:AssumeRoleWithWebIdentity", identity.assume(&client)).await?;
        key_check::check(&found.0, "the web identity")?;
        Ok(found)
    }

    async fn of_container(&self, none: &mut Vec<String>) -> Result<Option<Keys>, CredentialsFault> {
        let what = "the container's source of credentials (AWS_CONTAINER_CREDENTIALS_..)";
        let fix = "see that the task or pod has a role (on EKS: a pod identity association), and that its agent runs on this host";
        self.provided(&self.container, what, fix, none).await
    }

    async fn of_instance(&self, none: &mut Vec<String>) -> Result<Option<Keys>, CredentialsFault> {
        let what = "the instance's metadata (IMDS)";
        self.provided(&self.instance, what, &instance_fix(), none).await
    }

    /// Asks a provider of the SDK; notes why it has none, if it is not the one to have some.
    async fn provided(
        &self,
        provider: &impl ProvideCredentials,
        what: &str,
        fix: &str,
        none: &mut Vec<String>,
    ) -> Result<Option<Keys>, CredentialsFault> {
        let asked = async { Ok(provider.provide_credentials().await) };
        match within(what, asked).await.map_err(|late: CredentialsFault| late.with_fix(fix))? {
            Ok(keys) => key_check::check(&keys, what).map(|()| Some(keys)),
            Err(error @ CredentialsError::CredentialsNotLoaded(_)) => {
                // What is not configured has nothing to say.
                let why = error.source().map(network_failure).filter(|why| !why.contains(NOT_CONFIGURED));
                none.extend(why.map(|why| format!("{what}: {why}")));
                Ok(None)
            }
            Err(error) => {
                let said = network_failure(&error);
                Err(CredentialsFault::of_source(&format!("{what} gives no credentials: {said}"), fix, None))
            }
        }
    }
}

/// The instance answers a container only over so many hops.
fn instance_fix() -> String {
    "give the instance a role (instance profile); in a container on EC2, let the metadata answer reach it by a hop limit of 2: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id ..`"
        .to_owned()
}

/// The environment's keys: both, or none.
async fn from_environment(none: &mut Vec<String>) -> Result<Option<Keys>, CredentialsFault> {
    let found = EnvironmentVariableCredentialsProvider::new().provide_credentials().await;
    if let Ok(keys) = found {
        return key_check::check(&keys, "the environment").map(|()| Some(keys));
    }
    let is_set = |name: &&str| env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    if let (Some(set), Some(unset)) =
        (names.iter().find(|name| is_set(name)), names.iter().find(|name| !is_set(name)))
    {
        none.push(format!("the environment: {set} is set, and {unset} is not"));
    }
    Ok(None)
}

/// Waits so long, and no longer.
async fn within<T>(
    what: &str,
    asked: impl Future<Output = Result<T, CredentialsFault>>,
) -> Result<T, CredentialsFault> {
    timeout(DEADLINE, asked).await.unwrap_or_else(|_| {
        let text = format!("{what} did not answer within {} s", DEADLINE.as_secs());
        Err(CredentialsFault::of_source(&text, "see what keeps it from answering", None))
    })
}
