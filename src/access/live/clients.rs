//! Credentials for each account of a topology: only such as STS says are of that account.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::AccountAccess;
use crate::aws::{ApiCall, ApiClient, AwsConnection, AwsService, CallError, ResolvedRole};
use crate::config::AwsSettings;
use crate::config::topology::AwsAccount;

/// How long a role is assumed for: no chain of roles may ask for longer.
const SESSION: Duration = Duration::from_hours(1);

/// Who makes the calls in each account.
#[derive(Clone, Debug, Default)]
pub struct AccountClients {
    callers: BTreeMap<String, Arc<ApiClient>>,
    accounts: BTreeMap<String, AccountAccess>,
}

impl AccountClients {
    /// Finds credentials for each account, and asks STS whose they are. `ca_file` is trusted besides the system's authorities.
    pub async fn connect(accounts: &[Arc<AwsAccount>], ca_file: Option<&PathBuf>) -> Self {
        let mut tasks = JoinSet::new();
        for account in accounts.iter().map(Arc::clone) {
            let ca_file = ca_file.cloned();
            tasks.spawn(async move { (account.name.clone(), connect(&account, ca_file).await) });
        }
        let mut clients = Self::default();
        while let Some(Ok((name, connected))) = tasks.join_next().await {
            let access = match connected {
                Ok((caller, arn)) => {
                    clients.callers.insert(name.clone(), Arc::new(caller));
                    AccountAccess::As(arn)
                }
                Err(why) => AccountAccess::Denied(why),
            };
            clients.accounts.insert(name, access);
        }
        clients
    }

    /// Who makes calls in an account, if anybody can.
    #[must_use]
    pub fn caller(&self, account: &str) -> Option<&Arc<ApiClient>> {
        self.callers.get(account)
    }

    /// The ARN of who makes calls in an account, as STS gives it.
    #[must_use]
    pub fn arn(&self, account: &str) -> Option<&str> {
        match self.accounts.get(account) {
            Some(AccountAccess::As(arn)) => Some(arn),
            Some(AccountAccess::Denied(_)) | None => None,
        }
    }

    /// Who acts in each account, or why nobody can.
    #[must_use]
    pub fn accounts(&self) -> &BTreeMap<String, AccountAccess> {
        &self.accounts
    }
}

async fn connect(account: &AwsAccount, ca_file: Option<PathBuf>) -> Result<(ApiClient, String), String> {
    let AwsAccount { name, place, profile, assume_role, .. } = account;
    let role = assume_role.as_ref().map(|role| ResolvedRole {
        arn: role.arn.clone(),
        external_id: role.external_id.clone(),
        session_name: "standpipe-access".to_owned(),
        region: None,
        duration: SESSION,
        sts_endpoint_url: None,
    });
    let settings = AwsSettings { profile: profile.clone(), ca_file, ..AwsSettings::default() };
    let unusable = |error| CallError::from(error).to_string();
    let connection =
        AwsConnection::new(format!("account `{name}`"), settings).map_err(unusable)?.of_command();
    let roles = role.into_iter().collect();
    let caller = ApiClient::new(&connection, Some(place.region.clone()), roles).await.map_err(unusable)?;
    let whose = ApiCall::new(AwsService::Sts, "GetCallerIdentity", json!({}));
    let found = caller.call(&whose).await.map_err(|refused| {
        if let CallError::Credentials { message, fix: Some(fix) } = &refused {
            return format!("{message}; {fix}");
        }
        refused.to_string()
    })?;
    let text = |member: &str| found.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (found, arn) = (text("Account"), text("Arn"));
    if found != place.account {
        let fix = match (assume_role, profile) {
            (None, None) => {
                format!("name a `profile`, or a role as `assume_role`, in `[accounts.{name}]`")
            }
            (None, Some(profile)) => format!("correct profile `{profile}`"),
            (Some(_), _) => format!("correct `assume_role` in `[accounts.{name}]`"),
        };
        return Err(format!(
            "the credentials that were found are those of account {found} (`{arn}`), not of {}; {fix}",
            place.account
        ));
    }
    Ok((caller.owning(&place.account), arn))
}
