//! Credentials for a token that somebody else issued for this host: a pod's service account, a runner's identity.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_credential_types::Credentials as Keys;
use aws_sdk_sts::Client;
use aws_sdk_sts::error::ProvideErrorMetadata;
use tokio::task::spawn_blocking;

use super::failure::{call_failure, sts_keys};
use super::fault::CredentialsFault;

/// A role that is assumed with a token in a file, which is read anew each time.
#[derive(Clone, Debug)]
pub(super) struct WebIdentity {
    token_file: PathBuf,
    role_arn: String,
    session_name: String,
}

/// Longer tokens are refused by STS.
const LONGEST_TOKEN: u64 = 20_000;

impl WebIdentity {
    pub(super) fn new(token_file: &str, role_arn: &str, session_name: String) -> Self {
        Self { token_file: token_file.into(), role_arn: role_arn.to_owned(), session_name }
    }

    /// What the environment says, as a pod with a service account has it.
    pub(super) fn of_environment() -> Result<Option<Self>, CredentialsFault> {
        let get = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let Some(token_file) = get("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
        let session_name = get("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "standpipe".to_owned());
        let role_arn = get("AWS_ROLE_ARN").ok_or_else(|| {
            CredentialsFault::of_source(
                "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not",
                "set AWS_ROLE_ARN to the role of the web identity; on EKS, annotate the service account with `eks.amazonaws.com/role-arn`",
                None,
            )
        })?;
        Ok(Some(Self::new(&token_file, &role_arn, session_name)))
    }

    /// Assumes the role. `client` needs no credentials.
    pub(super) async fn assume(&self, client: &Client) -> Result<(Keys, Option<String>), CredentialsFault> {
        let path = self.token_file.clone();
        let read = spawn_blocking(move || read_token(&path)).await.unwrap_or_else(|error| Err(error.into()));
        let token = read.map_err(|error| self.unreadable(&error.to_string()))?;
        let token = token.trim();
        if token.is_empty() {
            return Err(self.unreadable("it is empty"));
        }
        let call = client.assume_role_with_web_identity().role_arn(&self.role_arn);
        let call = call.role_session_name(&self.session_name).web_identity_token(token);
        let output = call.send().await.map_err(|error| {
            let service = error.as_service_error();
            let code = service.and_then(ProvideErrorMetadata::code).unwrap_or_default();
            self.refused(code, &call_failure(&error))
        })?;
        let principal = output.assumed_role_user().map(|user| user.arn().to_owned());
        let keys = output.credentials().map(sts_keys);
        let keys = keys.ok_or_else(|| self.refused("", "the answer has no credentials"))?;
        Ok((keys, principal))
    }

    fn unreadable(&self, why: &str) -> CredentialsFault {
        let file = self.token_file.display();
        CredentialsFault::of_source(
            &format!("the web identity token `{file}` cannot be read: {why}"),
            "see that the token is mounted where AWS_WEB_IDENTITY_TOKEN_FILE or the profile says, and that standpipe's user may read it",
            None,
        )
    }

    fn refused(&self, code: &str, said: &str) -> CredentialsFault {
        let Self { token_file, role_arn, .. } = self;
        let fix = match code {
            "AccessDenied" | "AccessDeniedException" => format!(
                "see that `{role_arn}` exists, and that its trust policy allows `sts:AssumeRoleWithWebIdentity` to the token's issuer (an OIDC provider of the account), with conditions on `sub` and `aud` that the token meets; the audience is mostly `sts.amazonaws.com`"
            ),
            "ExpiredToken" | "ExpiredTokenException" => format!(
                "see that whoever writes `{}` renews it: the file is read again at each try",
                token_file.display()
            ),
            "InvalidIdentityToken" | "IDPCommunicationError" | "IDPRejectedClaim" => format!(
                "see that `{}` holds a token of an issuer that is an OIDC provider of the account, with a thumbprint and keys that AWS can read",
                token_file.display()
            ),
            _ => "see that STS can be reached, and what it says".to_owned(),
        };
        let what = format!("sts:AssumeRoleWithWebIdentity on `{role_arn}`: {said}");
        CredentialsFault::of_source(&what, &fix, None)
    }
}

fn read_token(path: &Path) -> std::io::Result<String> {
    let mut token = String::new();
    fs::File::open(path)?.take(LONGEST_TOKEN).read_to_string(&mut token)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, words: &str) {
        let identity = WebIdentity::new("/var/run/token", "arn:aws:iam::1:role/pod", "s".to_owned());
        let (reason, fix) = identity.refused(code, "no").fix.unwrap();
        assert_eq!(reason, "no_credentials");
        assert!(fix.contains(words), "{fix}");
    }

    #[test]
    fn what_refuses_a_web_identity_has_its_own_fix() {
        check("AccessDenied", "its trust policy allows `sts:AssumeRoleWithWebIdentity`");
        check("ExpiredTokenException", "renews it: the file is read again");
        check("InvalidIdentityToken", "an OIDC provider of the account");
        check("", "STS can be reached");
    }

    #[tokio::test]
    async fn a_token_that_is_missing_or_empty_is_named() {
        let config = aws_sdk_sts::Config::builder().behavior_version_latest().build();
        let client = Client::from_conf(config);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let identity = WebIdentity::new(path.to_str().unwrap(), "r", "s".to_owned());
        let missing = identity.assume(&client).await.unwrap_err();
        assert!(missing.message.contains(path.to_str().unwrap()), "{missing}");
        fs::write(&path, "\n").unwrap();
        assert!(identity.assume(&client).await.unwrap_err().message.contains("it is empty"));
    }
}
