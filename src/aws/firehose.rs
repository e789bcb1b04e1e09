//! Clients of Firehose: streams of one region, put to by one principal, share theirs, and so its credentials.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::Gauge;
use tokio::sync::Semaphore;

use super::connection::{AwsConnection, AwsSession};
use super::credentials::Credentials;
use super::error::AwsError;
use super::role::ResolvedRole;

/// The Firehose clients of one connection.
#[derive(Clone, Debug)]
pub struct FirehoseClients {
    connection: Arc<AwsConnection>,
    /// Told when credentials expire.
    expiry: Option<Gauge>,
    in_use: Arc<ClientsInUse>,
}

#[derive(Debug)]
struct ClientsInUse {
    /// One permit: with the one who looks for a client, or makes it.
    making: Semaphore,
    /// The lock covers a look and an entry.
    made: Mutex<HashMap<ClientKey, Weak<FirehoseClient>>>,
}

/// A client's region, if it was named, and the roles that it acts through.
type ClientKey = (Option<String>, Vec<ResolvedRole>);

/// A client, and who it acts as.
#[derive(Clone, Debug)]
pub struct FirehoseClient {
    /// The client.
    pub client: aws_sdk_firehose::Client,
    /// Its credentials.
    pub credentials: Arc<Credentials>,
    /// Its region.
    pub region: String,
}

impl FirehoseClients {
    /// No client yet; `expiry` is told when the credentials of one expire.
    #[must_use]
    pub fn new(connection: AwsConnection, expiry: Option<Gauge>) -> Self {
        let in_use = Arc::new(ClientsInUse { making: Semaphore::new(1), made: Mutex::default() });
        Self { connection: Arc::new(connection), expiry, in_use }
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &AwsConnection {
        &self.connection
    }

    /// A client for `region`, or the environment's, which acts as the last of `roles`; the same one while it is in use.
    ///
    /// # Errors
    /// When there is no region.
    pub async fn client(
        &self,
        region: Option<String>,
        roles: Vec<ResolvedRole>,
    ) -> Result<Arc<FirehoseClient>, AwsError> {
        // Nobody closes the semaphore.
        let _making = self.in_use.making.acquire().await;
        let key = (region, roles);
        if let Some(client) = self.in_use.with(|made| made.get(&key).and_then(Weak::upgrade)) {
            return Ok(client);
        }
        let client = Arc::new(self.make(key.clone()).await?);
        self.in_use.with(|made| {
            made.retain(|_, client| client.strong_count() > 0);
            made.insert(key, Arc::downgrade(&client));
        });
        Ok(client)
    }

    async fn make(&self, (region, roles): ClientKey) -> Result<FirehoseClient, AwsError> {
        let AwsSession { config, credentials, region } = self.connection.session(region, roles).await?;
        if let Some(expiry) = &self.expiry {
            credentials.report_expiry(expiry.clone());
        }
        let mut builder = aws_sdk_firehose::config::Builder::from(&config);
        if let Some(url) = &self.connection.settings().endpoint_url {
            builder = builder.endpoint_url(url);
        }
        Ok(FirehoseClient {
            client: aws_sdk_firehose::Client::from_conf(builder.build()),
            credentials,
            region,
        })
    }
}

impl ClientsInUse {
    fn with<T>(&self, look: impl FnOnce(&mut HashMap<ClientKey, Weak<FirehoseClient>>) -> T) -> T {
        look(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
