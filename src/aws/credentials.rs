//! Credentials that are renewed well before they expire, one request at a time, and kept while renewal fails.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use prometheus::Gauge;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::debug;

use super::assume::{RoleCredentials, assume, client_with};
use super::clock::left_until;
use super::fault::CredentialsFault;
use super::host::HostCredentials;
use super::key_check;
use super::role::ResolvedRole;

/// Credentials of one principal.
#[derive(Debug)]
pub struct Credentials {
    from: CredentialsOrigin,
    /// What is known. The lock covers copies in and out.
    known: Mutex<CredentialsState>,
    /// One permit: with the one who renews.
    renewal: Semaphore,
}

#[derive(Debug, Default)]
struct CredentialsState {
    keys: Option<CachedKeys>,
    principal: Option<String>,
    /// A refusal made it worth asking STS who we are.
    wants_identity: bool,
    expiry: Option<Gauge>,
}

#[derive(Clone, Debug)]
struct CachedKeys {
    keys: Keys,
    got_at: Instant,
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

/// Where credentials come from.
#[derive(Debug)]
enum CredentialsOrigin {
    /// The host's own: environment, profile, web identity, container, instance.
    Host { host: Box<HostCredentials>, identity: Option<SdkConfig> },
    /// Those that somebody has already.
    #[cfg(test)]
    Fixed(Keys),
    /// A role, assumed with other credentials.
    Role { before: Arc<Credentials>, client: aws_sdk_sts::Client, role: Box<ResolvedRole> },
}

/// Credentials are renewed this long before they expire, or at two thirds of their life if that is sooner.
const EARLY: Duration = Duration::from_mins(5);

/// Credentials younger than this are not asked for again.
const NEW: Duration = Duration::from_secs(5);

/// When an early renewal fails, the next is tried after this long, with the old credentials meanwhile.
const RENEW_AGAIN: Duration = Duration::from_secs(10);

impl Credentials {
    /// The host's own; with `identity`, STS is asked whose they are once a message would say so.
    pub(super) fn base(host: HostCredentials, identity: Option<SdkConfig>) -> Self {
        Self::new(CredentialsOrigin::Host { host: Box::new(host), identity })
    }

    #[cfg(test)]
    pub(super) fn fixed(keys: Keys) -> Self {
        Self::new(CredentialsOrigin::Fixed(keys))
    }

    pub(super) fn role(before: Arc<Self>, client: aws_sdk_sts::Client, role: ResolvedRole) -> Self {
        Self::new(CredentialsOrigin::Role { before, client, role: Box::new(role) })
    }

    fn new(from: CredentialsOrigin) -> Self {
        Self { from, known: Mutex::default(), renewal: Semaphore::new(1) }
    }

    pub(super) fn report_expiry(&self, gauge: Gauge) {
        self.with(|known| known.expiry = Some(gauge));
    }

    /// Who the credentials belong to: an ARN once it is known.
    #[must_use]
    pub fn principal(&self) -> String {
        let named = self.with(|known| known.principal.clone());
        named.unwrap_or_else(|| match &self.from {
            CredentialsOrigin::Host { .. } => "this host's own identity".to_owned(),
            #[cfg(test)]
            CredentialsOrigin::Fixed(_) => "a test".to_owned(),
            CredentialsOrigin::Role { role, .. } => format!("role `{}`", role.arn),
        })
    }

    /// Gets credentials, and says whose they are.
    pub(super) async fn prove(&self) -> Result<String, CredentialsFault> {
        self.keys().await.map(|_| self.principal())
    }

    /// They were refused: asks for new ones at the next use, and for the name of their owner; unless they are new, since the
    /// streams that are put to with them may all be refused at once.
    pub fn forget(&self) {
        self.doubt(&|keys| *keys = None);
    }

    /// Their owner may not do what one stream needs: asks for new ones in the same way, and keeps these while none can be had,
    /// since other streams are put to with them.
    pub fn renew(&self) {
        let now = Instant::now();
        self.doubt(&|keys| keys.iter_mut().for_each(|old| old.renew_at = Some(now)));
    }

    /// Does this to keys that are not new, here and with whom they are assumed by, and asks for the name of their owner.
    fn doubt(&self, change: &dyn Fn(&mut Option<CachedKeys>)) {
        self.with(|known| {
            if known.keys.as_ref().is_some_and(|fresh| fresh.got_at.elapsed() >= NEW) {
                change(&mut known.keys);
            }
            known.wants_identity = true;
        });
        if let CredentialsOrigin::Role { before, .. } = &self.from {
            before.doubt(change);
        }
    }

    /// Credentials that are good for a while.
    pub(super) async fn keys(&self) -> Result<Keys, CredentialsFault> {
        if let Some(keys) = self.fresh() {
            return Ok(keys);
        }
        // Nobody closes the semaphore.
        let _renewing = self.renewal.acquire().await.ok();
        if let Some(keys) = self.fresh() {
            return Ok(keys);
        }
        match Box::pin(self.fetch()).await {
            Ok(keys) => Ok(self.keep(keys)),
            Err(fault) => self.keep_old().ok_or(fault),
        }
    }

    /// Gets credentials if there are none that are good for a while, so that the call to come does not wait for them.
    pub async fn ready(&self) -> Result<(), CredentialsFault> {
        self.keys().await.map(|_| ())
    }

    async fn fetch(&self) -> Result<Keys, CredentialsFault> {
        match &self.from {
            CredentialsOrigin::Host { host, identity } => {
                let (keys, principal) = host.fetch().await?;
                match principal {
                    Some(principal) => self.with(|known| known.principal = Some(principal)),
                    None => self.identify(identity.as_ref(), &keys).await,
                }
                Ok(keys)
            }
            CredentialsOrigin::Role { before, client, role } => {
                // Before the call, whose deadline is not theirs.
                before.keys_of_caller().await?;
                let RoleCredentials { keys, principal } = assume(client, role, &before.principal()).await?;
                key_check::check(&keys, &format!("role `{}`", role.arn))?;
                self.with(|known| known.principal = principal);
                Ok(keys)
            }
            #[cfg(test)]
            CredentialsOrigin::Fixed(keys) => Ok(keys.clone()),
        }
    }

    /// A chain of roles is as long as it is.
    fn keys_of_caller(&self) -> Pin<Box<dyn Future<Output = Result<Keys, CredentialsFault>> + Send + '_>> {
        Box::pin(self.keys())
    }

    /// Asks STS for the principal's ARN once a message would need it. Needs no permission; its failure is no matter.
    async fn identify(&self, identity: Option<&SdkConfig>, keys: &Keys) {
        let wanted = self.with(|known| std::mem::take(&mut known.wants_identity));
        let Some(config) = identity.filter(|_| wanted) else { return };
        let client = client_with(config, keys.clone());
        if let Ok(output) = client.get_caller_identity().send().await {
            self.with(|known| known.principal = output.arn().map(ToOwned::to_owned));
        }
    }

    fn fresh(&self) -> Option<Keys> {
        let now = Instant::now();
        self.with(|known| {
            let fresh = known.keys.as_ref()?;
            fresh.renew_at.is_none_or(|at| now < at).then(|| fresh.keys.clone())
        })
    }

    fn keep(&self, keys: Keys) -> Keys {
        let now = Instant::now();
        let left = keys.expiry().map(left_until);
        let seconds_left = left.map(|left| left.as_secs());
        debug!(of = self.principal(), seconds_left, "credentials were got");
        let early = |left: Duration| left.saturating_sub(EARLY.min(left / 3));
        let fresh = CachedKeys {
            keys: keys.clone(),
            got_at: now,
            renew_at: left.map(|left| now + early(left)),
            expires_at: left.map(|left| now + left),
        };
        self.with(|known| {
            if let (Some(gauge), Some(expiry)) = (&known.expiry, keys.expiry()) {
                gauge.set(expiry.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
            }
            known.keys = Some(fresh);
        });
        keys
    }

    /// The old credentials, while they are still good.
    fn keep_old(&self) -> Option<Keys> {
        let now = Instant::now();
        self.with(|known| {
            let old = known.keys.as_mut()?;
            let again = now + RENEW_AGAIN;
            old.renew_at = Some(old.expires_at.map_or(again, |expires_at| again.min(expires_at)));
            old.expires_at.is_none_or(|expires_at| now < expires_at).then(|| old.keys.clone())
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut CredentialsState) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hands [`Credentials`] to an SDK client.
#[derive(Debug)]
pub(super) struct SdkProvider(pub(super) Arc<Credentials>);

impl ProvideCredentials for SdkProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.0.keys().await.map_err(CredentialsError::provider_error)
        })
    }
}
