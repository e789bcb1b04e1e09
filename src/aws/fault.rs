//! Why there are no credentials, and what to do about it.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;

use super::role::ResolvedRole;

/// Credentials could not be had.
#[derive(Debug)]
pub struct CredentialsFault {
    /// What was tried, and what was said.
    pub message: String,
    /// The metric's label and the fix, when waiting alone does not help.
    pub fix: Option<(&'static str, String)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CredentialsFault {
    /// The default chain gave nothing.
    pub(super) fn from_chain(error: CredentialsError) -> Self {
        let fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`, or give the instance, task or pod a role";
        Self {
            message: "no AWS credentials found in the environment, the profile, a web identity, the container or the instance"
                .to_owned(),
            fix: Some(("no_credentials", fix.to_owned())),
            source: Some(error.into()),
        }
    }

    /// `sts:AssumeRole` failed.
    pub(super) fn from_sts(error: SdkError<AssumeRoleError>, role: &ResolvedRole, caller: &str) -> Self {
        let arn = &role.arn;
        let Some(service) = error.as_service_error() else {
            // A fault of the network or of an earlier role: the latter brings its own explanation as the cause.
            let message = format!("sts:AssumeRole on `{arn}` got no answer");
            return Self { message, fix: inner(&error), source: Some(error.into()) };
        };
        let code = service.code().unwrap_or("unknown").to_owned();
        let said = service.message().unwrap_or("no message");
        let caller = principal_in(said).unwrap_or(caller);
        let message = format!("sts:AssumeRole on `{arn}` as {caller}: {code}: {said}");
        Self { fix: fix(&code, role, caller), message, source: None }
    }
}

fn fix(code: &str, role: &ResolvedRole, caller: &str) -> Option<(&'static str, String)> {
    let ResolvedRole { arn, external_id, .. } = role;
    let sent = match external_id {
        Some(id) => {
            format!("if it requires an external id (`sts:ExternalId`), it must be the one sent, `{id}`")
        }
        None => {
            "it must not require an external id (`sts:ExternalId`), since `external_id` is not set".to_owned()
        }
    };
    match code {
        "AccessDenied" | "AccessDeniedException" => Some((
            "assume_role_denied",
            format!(
                "check that the role exists; its trust policy must allow `sts:AssumeRole` to {caller}; {sent}; and {caller} must be allowed `sts:AssumeRole` on `{arn}`"
            ),
        )),
        "ExpiredToken" | "ExpiredTokenException" => {
            Some(("expired_credentials", "check that the source of the first credentials renews them".to_owned()))
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
            Some(("unrecognized_credentials", format!("check the access key, secret key and session token of {caller}")))
        }
        "RegionDisabledException" => {
            Some(("assume_role_denied", "activate STS for the region in the account's settings".to_owned()))
        }
        "ValidationError" | "MalformedPolicyDocument" | "PackedPolicyTooLarge" => Some((
            "assume_role_invalid",
            "correct `assume_role`: `duration` may not exceed the role's maximum, nor an hour for a role assumed by a role"
                .to_owned(),
        )),
        _ => None,
    }
}

/// The principal that a denial names, such as `User: arn:aws:iam::111111111111:user/u is not authorized to perform: ..`.
#[must_use]
pub fn principal_in(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("User: ")?;
    after.split_whitespace().next().filter(|arn| arn.starts_with("arn:"))
}

/// The explanation that an earlier role's fault brought, somewhere among the causes.
fn inner(error: &(dyn Error + 'static)) -> Option<(&'static str, String)> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<CredentialsFault>() {
            return fault.fix.clone();
        }
        next = error.source();
    }
    None
}

impl fmt::Display for CredentialsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CredentialsFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
