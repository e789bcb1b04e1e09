//! What the connections share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::dynamodb::DynamoDb;
use super::faults::Faults;
use super::kinesis::Kinesis;
use super::logs::Logs;
use super::objects::Objects;
use super::oracle::Oracle;
use super::queue::Queue;
use super::quota::Quota;
use super::settings::{Key, Role, Scrutiny, Settings, Stream};
use super::sigv4;

/// Credentials that are known here.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) account: String,
    pub(crate) principal: String,
    /// Set for the credentials of a role.
    pub(crate) session: Option<Session>,
}

/// What the credentials of a role have beside a key.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) role: String,
    pub(crate) token: String,
    /// Seconds since 1970.
    pub(crate) expires: i64,
}

/// A stream's quota, for the calls that share it.
pub(crate) type SharedQuota = Arc<Mutex<Quota>>;

/// See the module. Each lock covers a look-up or an exchange, and the oracle's a run over the lines of one call.
#[derive(Debug)]
pub(crate) struct State {
    callers: Mutex<HashMap<String, Arc<Caller>>>,
    roles: Mutex<HashMap<String, Role>>,
    /// By account and name.
    streams: Mutex<HashMap<(String, String), SharedQuota>>,
    /// How they are described.
    descriptions: Mutex<HashMap<(String, String), Stream>>,
    any_stream: bool,
    faults: Mutex<(Faults, HashMap<String, Faults>)>,
    pub(crate) faults_changed: Notify,
    pub(crate) rng: Mutex<fastrand::Rng>,
    pub(crate) oracle: Mutex<Oracle>,
    logs: Mutex<Logs>,
    kinesis: Mutex<Kinesis>,
    dynamodb: Mutex<DynamoDb>,
    objects: Mutex<Objects>,
    queue: Mutex<Queue>,
    pub(crate) keep_records: bool,
    pub(crate) scrutiny: Scrutiny,
    pub(crate) started: Instant,
    /// The authority's certificate, when TLS is served.
    pub(crate) ca: String,
}

impl State {
    pub(crate) fn new(settings: &Settings, ca: String) -> Self {
        let state = Self {
            callers: Mutex::default(),
            roles: Mutex::default(),
            streams: Mutex::default(),
            descriptions: Mutex::default(),
            any_stream: settings.any_stream,
            faults: Mutex::new((settings.faults.clone(), HashMap::new())),
            faults_changed: Notify::new(),
            rng: Mutex::new(fastrand::Rng::with_seed(settings.seed)),
            oracle: Mutex::default(),
            logs: Mutex::default(),
            kinesis: Mutex::default(),
            dynamodb: Mutex::default(),
            objects: Mutex::default(),
            queue: Mutex::default(),
            keep_records: settings.keep_records,
            scrutiny: settings.scrutiny,
            started: Instant::now(),
            ca,
        };
        settings.keys.iter().for_each(|key| state.add_key(key));
        settings.roles.iter().for_each(|role| state.set_role(role.clone()));
        settings.streams.iter().for_each(|stream| state.add_stream(stream));
        state
    }

    pub(crate) fn add_key(&self, key: &Key) {
        self.add_caller(Caller {
            key: key.id.clone(),
            secret: key.secret.clone(),
            account: key.account.clone(),
            principal: key.principal.clone(),
            session: None,
        });
    }

    pub(crate) fn add_caller(&self, caller: Caller) {
        lock(&self.callers).insert(caller.key.clone(), Arc::new(caller));
    }

    pub(crate) fn caller(&self, key: &str) -> Option<Arc<Caller>> {
        lock(&self.callers).get(key).cloned()
    }

    /// Adds a role, or replaces the one of the same ARN.
    pub(crate) fn set_role(&self, role: Role) {
        lock(&self.roles).insert(role.arn.clone(), role);
    }

    pub(crate) fn role(&self, arn: &str) -> Option<Role> {
        lock(&self.roles).get(arn).cloned()
    }

    pub(crate) fn add_stream(&self, stream: &Stream) {
        let key = (stream.account.clone(), stream.name.clone());
        lock(&self.descriptions).insert(key.clone(), stream.clone());
        lock(&self.streams).entry(key).or_insert_with(|| Arc::new(Mutex::new(Quota::new(Instant::now()))));
    }

    /// The stream's quota, if there is such a stream.
    pub(crate) fn stream(&self, account: &str, name: &str) -> Option<SharedQuota> {
        if self.any_stream {
            self.add_stream(&Stream::new(account, name));
        }
        lock(&self.streams).get(&(account.to_owned(), name.to_owned())).cloned()
    }

    /// How a stream is described, if there is such a stream.
    pub(crate) fn description(&self, account: &str, name: &str) -> Option<Stream> {
        lock(&self.descriptions).get(&(account.to_owned(), name.to_owned())).cloned()
    }

    /// The stream's own faults, or those of all streams.
    pub(crate) fn faults(&self, stream: &str) -> Faults {
        let faults = lock(&self.faults);
        faults.1.get(stream).unwrap_or(&faults.0).clone()
    }

    /// The service's time, in seconds since 1970.
    pub(crate) fn clock(&self) -> i64 {
        sigv4::now_seconds() + lock(&self.faults).0.clock_ahead
    }

    /// Changes the faults of a stream, or of all that have none of their own.
    pub(crate) fn change_faults(&self, stream: Option<&str>, change: impl FnOnce(&mut Faults)) {
        let mut faults = lock(&self.faults);
        match stream {
            Some(stream) => {
                let inherited = faults.0.clone();
                change(faults.1.entry(stream.to_owned()).or_insert(inherited));
            }
            None => change(&mut faults.0),
        }
        drop(faults);
        self.faults_changed.notify_waiters();
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, Logs> {
        lock(&self.logs)
    }

    pub(crate) fn kinesis(&self) -> MutexGuard<'_, Kinesis> {
        lock(&self.kinesis)
    }

    pub(crate) fn dynamodb(&self) -> MutexGuard<'_, DynamoDb> {
        lock(&self.dynamodb)
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        lock(&self.objects)
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        lock(&self.oracle)
    }
}

/// Takes a lock; a panic elsewhere has already failed the test.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
