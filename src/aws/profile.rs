//! What a profile of `~/.aws` says of credentials: where the first ones are from, and the roles assumed with them.
//!
//! The rules are those of AWS's own clients:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use aws_config::profile::{Profile, ProfileSet};
use aws_credential_types::Credentials as Keys;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::fault::CredentialsFault;
use super::role::ResolvedRole;
use super::web_identity::WebIdentity;

/// What a profile leads to.
#[derive(Debug)]
pub(super) struct ProfileCredentials {
    pub(super) base: ProfileBase,
    /// The first is assumed with the base's credentials.
    pub(super) roles: Vec<ResolvedRole>,
}

/// Where the first credentials of a profile are from.
#[derive(Debug)]
pub(super) enum ProfileBase {
    Static(Keys),
    Process(String),
    WebIdentity(WebIdentity),
    Environment,
    Container,
    Instance,
}

/// Reads the files anew, since whoever renews credentials may have written them.
pub(super) async fn read(name: Option<String>) -> Result<ProfileSet, CredentialsFault> {
    // The SDK's reading blocks, for as long as a file system does.
    let runtime = Handle::current();
    let load = move || {
        let files = EnvConfigFiles::default();
        runtime.block_on(aws_config::profile::load(&Fs::real(), &Env::real(), &files, name.map(Cow::Owned)))
    };
    let unusable = |error: Box<dyn Error + Send + Sync>| {
        let fix = "correct the file that `AWS_SHARED_CREDENTIALS_FILE` or `AWS_CONFIG_FILE` names, or `~/.aws/credentials` and `~/.aws/config`, and see that standpipe's user may read it";
        CredentialsFault::of_source("the profile files cannot be used", fix, Some(error))
    };
    let loaded = spawn_blocking(load).await.map_err(|error| unusable(error.into()))?;
    loaded.map_err(|error| unusable(error.into()))
}

/// Follows the selected profile to its first credentials; none when it has none to say.
pub(super) fn resolve(profiles: &ProfileSet) -> Result<Option<ProfileCredentials>, CredentialsFault> {
    let selected = profiles.selected_profile();
    if profiles.is_empty() || (selected == "default" && profiles.get_profile(selected).is_none()) {
        return Ok(None);
    }
    let mut seen = Vec::new();
    let mut roles = Vec::new();
    let mut name = selected;
    let base = loop {
        let profile = profiles.get_profile(name).ok_or_else(|| missing(name, seen.last().copied()))?;
        if seen.contains(&name) {
            let why = format!("`source_profile` leads from `{name}` back to itself");
            return Err(wrong(selected, &why));
        }
        seen.push(name);
        let is_source = seen.len() > 1;
        // A source's own keys come before its role.
        if is_source && let Some(keys) = static_keys(profile)? {
            break ProfileBase::Static(keys);
        }
        let Some(role) = role(profile)? else { break base(profile, is_source)? };
        roles.push(role);
        match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(_), Some(_)) => {
                return Err(wrong(name, "it has both `source_profile` and `credential_source`; remove one"));
            }
            (None, None) => {
                return Err(wrong(name, "it has `role_arn` without `source_profile` or `credential_source`"));
            }
            (Some(source), None) if source != name => name = source,
            // Its own keys, or the named source.
            (Some(_), None) | (None, Some(_)) => break base(profile, true)?,
        }
    };
    roles.reverse();
    let is_nothing = matches!(&base, ProfileBase::Static(keys) if keys.access_key_id().is_empty());
    Ok((!is_nothing).then_some(ProfileCredentials { base, roles }))
}

fn base(profile: &Profile, is_needed: bool) -> Result<ProfileBase, CredentialsFault> {
    let name = profile.name();
    if let Some(source) = profile.get("credential_source") {
        return match source {
            "Environment" => Ok(ProfileBase::Environment),
            "EcsContainer" => Ok(ProfileBase::Container),
            "Ec2InstanceMetadata" => Ok(ProfileBase::Instance),
            other => Err(wrong(
                name,
                &format!(
                    "found `credential_source = {other}`, expected Environment, EcsContainer or Ec2InstanceMetadata"
                ),
            )),
        };
    }
    if let Some(token_file) = profile.get("web_identity_token_file") {
        let role_arn = profile.get("role_arn");
        let role_arn =
            role_arn.ok_or_else(|| wrong(name, "it has `web_identity_token_file` without `role_arn`"))?;
        return Ok(ProfileBase::WebIdentity(WebIdentity::new(token_file, role_arn, session_name(profile))));
    }
    let unsupported = ["sso_start_url", "sso_session", "sso_account_id", "login_session"]
        .into_iter()
        .find(|key| profile.get(key).is_some());
    if let Some(key) = unsupported {
        let why = format!(
            "it has `{key}`: standpipe does not use sign-ins of persons; for a test, export keys with `aws configure export-credentials --profile {name} --format env`, and for a daemon give the host a role"
        );
        return Err(wrong(name, &why));
    }
    if let Some(command) = profile.get("credential_process") {
        return Ok(ProfileBase::Process(command.to_owned()));
    }
    match static_keys(profile)? {
        Some(keys) => Ok(ProfileBase::Static(keys)),
        None if is_needed => Err(wrong(name, "it is the source of a role, and has no credentials")),
        // A profile may only say which region.
        None => Ok(ProfileBase::Static(Keys::new("", "", None, None, "none"))),
    }
}

fn static_keys(profile: &Profile) -> Result<Option<Keys>, CredentialsFault> {
    let get = |key: &str| profile.get(key).map(str::to_owned);
    match (get("aws_access_key_id"), get("aws_secret_access_key"), get("aws_session_token")) {
        (None, None, None) => Ok(None),
        (None, ..) => Err(wrong(profile.name(), "`aws_access_key_id` is missing")),
        (_, None, _) => Err(wrong(profile.name(), "`aws_secret_access_key` is missing")),
        (Some(id), Some(secret), token) => Ok(Some(Keys::new(id, secret, token, None, "profile"))),
    }
}

/// The role of a profile; a web identity's is not assumed with other credentials.
fn role(profile: &Profile) -> Result<Option<ResolvedRole>, CredentialsFault> {
    let Some(arn) = profile.get("role_arn").filter(|_| profile.get("web_identity_token_file").is_none())
    else {
        return Ok(None);
    };
    if profile.get("mfa_serial").is_some() {
        return Err(wrong(profile.name(), "it has `mfa_serial`: nobody is there to type a code"));
    }
    let seconds = match profile.get("duration_seconds").map(str::parse) {
        Some(Ok(seconds)) => seconds,
        Some(Err(_)) => return Err(wrong(profile.name(), "`duration_seconds` is no number")),
        None => 3_600,
    };
    Ok(Some(ResolvedRole {
        arn: arn.to_owned(),
        external_id: profile.get("external_id").map(str::to_owned),
        session_name: session_name(profile),
        region: None,
        duration: Duration::from_secs(seconds),
        sts_endpoint_url: None,
    }))
}

fn session_name(profile: &Profile) -> String {
    profile.get("role_session_name").unwrap_or("standpipe").to_owned()
}

fn missing(name: &str, referrer: Option<&str>) -> CredentialsFault {
    let why = referrer.map_or_else(
        || "it is in neither file".to_owned(),
        |referrer| format!("`source_profile` of `{referrer}` names it, and it is in neither file"),
    );
    wrong(name, &why)
}

/// A profile that was asked for by name, and has nothing to say.
pub(super) fn without_credentials(name: &str) -> CredentialsFault {
    wrong(name, "it is in neither file, or has none")
}

fn wrong(name: &str, why: &str) -> CredentialsFault {
    let fix = format!(
        "correct profile `{name}` in `~/.aws/config` or `~/.aws/credentials` of standpipe's user, or in the files that `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` name; or choose another by `profile` or AWS_PROFILE"
    );
    CredentialsFault::of_source(&format!("profile `{name}` gives no credentials: {why}"), &fix, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a configuration file leads to, in short.
    fn resolved(config: &str, selected: &str) -> Result<String, String> {
        let fs = Fs::from_slice(&[("/config", config), ("/credentials", "")]);
        let env = Env::from_slice(&[
            ("AWS_CONFIG_FILE", "/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/credentials"),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let selected = Some(Cow::Owned(selected.to_owned()));
        let files = EnvConfigFiles::default();
        let set = runtime.block_on(aws_config::profile::load(&fs, &env, &files, selected)).unwrap();
        let found = resolve(&set).map_err(|fault| fault.message)?;
        let Some(ProfileCredentials { base, roles }) = found else { return Ok("nothing".to_owned()) };
        let base = match base {
            ProfileBase::Static(keys) => format!("keys {}", keys.access_key_id()),
            ProfileBase::Process(command) => format!("process {command}"),
            other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        let roles = roles.into_iter().map(|role| role.arn);
        Ok(std::iter::once(base).chain(roles).collect::<Vec<_>>().join(" > "))
    }

    #[track_caller]
    fn check(config: &str, expected: &str) {
        let name = if config.contains("[default]") { "default" } else { "a" };
        assert_eq!(resolved(config, name).as_deref(), Ok(expected), "{config}");
    }

    #[track_caller]
    fn refused(config: &str, expected: &str) {
        let why = resolved(config, "a").unwrap_err();
        assert!(why.contains(expected), "{why}");
    }

    const KEYS: &str = "aws_access_key_id = AK\naws_secret_access_key = s\n";

    #[test]
    fn a_profile_is_followed_to_its_first_credentials() {
        check(&format!("[default]\n{KEYS}"), "keys AK");
        check(&format!("[default]\r\n{}", KEYS.replace('\n', "\r\n")), "keys AK");
        check("[default]\nregion = us-east-1\n", "nothing");
        check("[profile a]\ncredential_process = /bin/x --y\n", "process /bin/x --y");
        check("[profile a]\nrole_arn = r\nweb_identity_token_file = /t\n", "WebIdentity");
        check("[profile a]\nrole_arn = r\ncredential_source = Environment\n", "Environment > r");
        check("[profile a]\nrole_arn = r\ncredential_source = EcsContainer\n", "Container > r");
        check("[profile a]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n", "Instance > r");
        check(&format!("[profile a]\nrole_arn = r\nsource_profile = a\n{KEYS}"), "keys AK > r");
        check(
            &format!(
                "[profile a]\nrole_arn = r2\nsource_profile = b\n[profile b]\nrole_arn = r1\nsource_profile = c\n[profile c]\n{KEYS}"
            ),
            "keys AK > r1 > r2",
        );
        check(
            &format!("[profile a]\nrole_arn = r2\nsource_profile = b\n[profile b]\nrole_arn = r1\n{KEYS}"),
            "keys AK > r2",
        );
        check(
            "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\ncredential_process = p\n",
            "process p > r",
        );
    }

    #[test]
    fn a_profile_that_gives_no_credentials_says_why() {
        refused("[profile b]\nregion = x\n", "profile `a` gives no credentials: it is in neither file");
        refused("[profile a]\nrole_arn = r\nsource_profile = b\n", "`source_profile` of `a` names it");
        refused("[profile a]\nrole_arn = r\n", "without `source_profile`");
        refused("[profile a]\nrole_arn = r\nsource_profile = b\ncredential_source = Environment\n", "both");
        refused(
            "[profile a]\nrole_arn = r\ncredential_source = Elsewhere\n",
            "found `credential_source = Elsewhere`",
        );
        refused(
            "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = q\nsource_profile = a\n",
            "back to itself",
        );
        refused(
            "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nregion = x\n",
            "has no credentials",
        );
        refused("[profile a]\naws_access_key_id = AK\n", "`aws_secret_access_key` is missing");
        refused("[profile a]\nweb_identity_token_file = /t\n", "without `role_arn`");
        refused(
            "[profile a]\nsso_session = s\nsso_account_id = 1\n",
            "standpipe does not use sign-ins of persons",
        );
        refused("[profile a]\nlogin_session = arn\n", "standpipe does not use sign-ins of persons");
        refused(
            &format!("[profile a]\nrole_arn = r\nmfa_serial = m\nsource_profile = a\n{KEYS}"),
            "`mfa_serial`",
        );
    }
}
