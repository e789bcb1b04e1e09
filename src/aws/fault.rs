//! Why there are no credentials, and what to do about it.

use std::error::Error;
use std::fmt;

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
    /// No source has any; `notes` say why of those that could have.
    pub(super) fn none_found(notes: &[String]) -> Self {
        let notes = notes.iter().map(|note| format!("; {note}")).collect::<String>();
        let message = format!(
            "no AWS credentials found in the environment, the profile, a web identity, the container or the instance{notes}"
        );
        let fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`, or give the instance, task or pod a role; in a container on EC2, the instance's metadata needs a hop limit of 2 (`aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`)";
        Self { message, fix: Some((NO_CREDENTIALS, fix.to_owned())), source: None }
    }

    /// A source that should have some gives none.
    pub(super) fn of_source(message: &str, fix: &str, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: message.to_owned(), fix: Some((NO_CREDENTIALS, fix.to_owned())), source }
    }

    /// Keys that nothing can be signed with.
    pub(super) fn unfit(source: &str, flaws: &str) -> Self {
        let fix = format!(
            "write the credentials of {source} again without it: a newline at the end is mostly of `echo` (a Kubernetes secret made by `echo .. | base64`; use `echo -n`, or `kubectl create secret generic --from-literal`)"
        );
        let message = format!("the credentials of {source} cannot be used: {flaws}");
        Self { message, fix: Some(("unrecognized_credentials", fix)), source: None }
    }

    /// The same with another fix.
    #[must_use]
    pub(super) fn with_fix(self, fix: &str) -> Self {
        Self { fix: self.fix.map(|(reason, _)| (reason, fix.to_owned())), ..self }
    }

    /// STS accepted, and gave nothing.
    pub(super) fn without_keys(role: &ResolvedRole) -> Self {
        let message = format!("sts:AssumeRole on `{}` was answered without credentials", role.arn);
        Self { message, fix: None, source: None }
    }

    /// `sts:AssumeRole` failed; `code` is the service's, if it was STS that answered, and `said` why in words.
    pub(super) fn from_sts(code: Option<&str>, said: &str, role: &ResolvedRole, caller: &str) -> Self {
        let arn = &role.arn;
        let Some(code) = code else {
            return Self {
                message: format!("sts:AssumeRole on `{arn}` failed: {said}"),
                fix: None,
                source: None,
            };
        };
        let caller = principal_in(said).unwrap_or(caller);
        let message = format!("sts:AssumeRole on `{arn}` as {caller}: {said}");
        Self { fix: fix(code, said, role, caller), message, source: None }
    }
}

/// The metric's label of a sink without credentials.
const NO_CREDENTIALS: &str = "no_credentials";

fn fix(code: &str, said: &str, role: &ResolvedRole, caller: &str) -> Option<(&'static str, String)> {
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
        "ExpiredToken" | "ExpiredTokenException" => Some((
            "expired_credentials",
            "check that the source of the first credentials renews them".to_owned(),
        )),
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => Some((
            "unrecognized_credentials",
            format!("check the access key, secret key and session token of {caller}"),
        )),
        "RegionDisabledException" => {
            Some(("assume_role_denied", "activate STS for the region in the account's settings".to_owned()))
        }
        "ValidationError" | "MalformedPolicyDocument" | "PackedPolicyTooLarge" => {
            Some(("assume_role_invalid", invalid(said)))
        }
        _ => None,
    }
}

/// What to correct in `assume_role`: STS names the parameter at fault.
fn invalid(said: &str) -> String {
    let said = said.to_ascii_lowercase();
    let what = if said.contains("rolesessionname") {
        "`session_name`: 2 to 64 letters, digits and `_+=,.@-`"
    } else if said.contains("externalid") {
        "`external_id`: 2 to 1224 letters, digits and `_+=,.@:/-`"
    } else if said.contains("rolearn") {
        "`arn`: such as `arn:aws:iam::222222222222:role/standpipe-writer`"
    } else if said.contains("duration") {
        "`duration`: it may not exceed the role's maximum, nor an hour for a role assumed by a role"
    } else {
        "what the message names; `duration` may not exceed the role's maximum, nor an hour for a role assumed by a role"
    };
    format!("correct `assume_role`, {what}")
}

/// The principal that a denial names, such as `User: arn:aws:iam::111111111111:user/u is not authorized to perform: ..`.
#[must_use]
pub fn principal_in(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("User: ")?;
    after.split_whitespace().next().filter(|arn| arn.starts_with("arn:"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, words: &str) {
        let fix = invalid(said);
        assert!(fix.contains(words), "{fix}");
    }

    #[test]
    fn a_parameter_that_sts_refuses_is_named() {
        check(
            "1 validation error detected: Value 'a' at 'roleSessionName' failed to satisfy constraint",
            "`session_name`",
        );
        check(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "`duration`",
        );
        check("Value at 'externalId' failed", "`external_id`");
        check("arn is not valid for parameter RoleArn", "`arn`");
    }
}
