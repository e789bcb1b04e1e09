//! `sts:AssumeRole`.

use aws_config::SdkConfig;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::Client;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;

use super::failure::{call_failure, sts_keys};
use super::fault::CredentialsFault;
use super::role::ResolvedRole;

/// A role's credentials.
#[derive(Debug)]
pub(super) struct RoleCredentials {
    pub(super) keys: Keys,
    /// The ARN of the role's session.
    pub(super) principal: Option<String>,
}

/// A client of STS that signs with these keys.
pub(super) fn client_with(config: &SdkConfig, keys: Keys) -> Client {
    let provider = SharedCredentialsProvider::new(keys);
    Client::new(&config.to_builder().credentials_provider(provider).build())
}

/// Assumes the role as `caller`, whose credentials the client has.
pub(super) async fn assume(
    client: &Client,
    role: &ResolvedRole,
    caller: &str,
) -> Result<RoleCredentials, CredentialsFault> {
    let seconds = i32::try_from(role.duration.as_secs()).unwrap_or(i32::MAX);
    let call = client.assume_role().role_arn(&role.arn).role_session_name(&role.session_name);
    let call = call.set_external_id(role.external_id.clone()).duration_seconds(seconds);
    let mut sent = call.clone().send().await;
    if sent.as_ref().is_err_and(is_of_the_clock) {
        // The SDK has learned the service's time from the answer.
        sent = call.send().await;
    }
    let output = sent.map_err(|error| {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        CredentialsFault::from_sts(code, &call_failure(&error), role, caller)
    })?;
    let principal = output.assumed_role_user().map(|user| user.arn().to_owned());
    let keys = output.credentials().map(sts_keys);
    let keys = keys.ok_or_else(|| CredentialsFault::without_keys(role))?;
    Ok(RoleCredentials { keys, principal })
}

/// Whether a clock that is off may be the reason: the signature holds the time.
fn is_of_the_clock(error: &SdkError<AssumeRoleError>) -> bool {
    let codes =
        ["SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired"];
    error.code().is_some_and(|code| codes.contains(&code))
}
