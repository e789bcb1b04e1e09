//! Who makes the calls: signs each, sends it, and tries again what passes.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials as Keys;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time;

use super::api_call::{ApiCall, AwsService};
use super::endpoint::{S3, ServiceEndpoint, endpoint};
use super::object::{ObjectBody, ObjectRequest};
use super::options::CallOptions;
use super::regions::BucketRegions;
use super::unsigned::UnsignedRequest;
use super::{rest, wire};
use crate::aws::connection::{AwsConnection, AwsSession};
use crate::aws::credentials::Credentials;
use crate::aws::error::AwsError;
use crate::aws::event_stream::EventStream;
use crate::aws::probe::{CallError, NoAnswer, unanswered};
use crate::aws::role::ResolvedRole;
use crate::aws::stream_http::stream_connector;
use crate::config::AwsSettings;
use crate::event::{Origin, Timestamp};

/// Most bytes of an answer; the longest are lists of a thousand items.
const MOST_ANSWER: usize = 16 * 1_024 * 1_024;

/// What the answer says it is that is a stream of events.
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The longest wait before the second try; it doubles.
const BACKOFF: Duration = Duration::from_millis(200);

/// A clock that is further off than this is corrected by the service's, in milliseconds: AWS refuses from five minutes on.
const SKEW: i64 = 240_000;

/// Makes calls with the credentials of one principal in one region.
#[derive(Debug)]
pub struct ApiClient {
    http: SharedHttpConnector,
    /// For answers that go on for minutes; none: as all others.
    streams: Option<SharedHttpConnector>,
    config: SdkConfig,
    region: String,
    credentials: Arc<Credentials>,
    /// The account that buckets have to belong to.
    owner: Option<String>,
    /// Another endpoint for everything.
    url: Option<String>,
    /// What the service's clock is ahead of this host's, in milliseconds.
    skew: AtomicI64,
    /// Buckets of other regions.
    buckets: BucketRegions,
}

impl ApiClient {
    /// Prepares calls in `region`, or the environment's, as the last of `roles`; nothing is asked yet.
    ///
    /// # Errors
    /// When there is no region.
    pub async fn new(
        connection: &AwsConnection,
        region: Option<String>,
        roles: Vec<ResolvedRole>,
    ) -> Result<Self, AwsError> {
        let AwsSession { config, credentials, region } = connection.session(region, roles).await?;
        let (http, skew, buckets) = (connection.connector(), AtomicI64::new(0), BucketRegions::default());
        Ok(Self { http, streams: None, config, region, credentials, owner: None, url: None, skew, buckets })
    }

    /// A caller with these settings, whose names depend on no more than `origin`; a `region` that is known otherwise comes before the
    /// configured one. `whose` says in errors whose it is, such as "source `trail`".
    ///
    /// # Errors
    /// When there is no region, the `ca_file` is of no use, or a name depends on more.
    pub async fn with(
        whose: &str,
        settings: &AwsSettings,
        region: Option<String>,
        origin: &Origin,
    ) -> Result<Self, AwsError> {
        let names = || AwsError::Names { whose: whose.to_owned() };
        let configured = match (&settings.region, region) {
            (_, Some(region)) => Some(region),
            (Some(template), None) => Some(template.render(origin).ok_or_else(names)?),
            (None, None) => None,
        };
        let roles = settings.assume_role.iter().map(|role| ResolvedRole::of(role, origin));
        let roles = roles.collect::<Option<Vec<_>>>().ok_or_else(names)?;
        Self::new(&AwsConnection::new(whose, settings.clone())?, configured, roles).await
    }

    /// The same, where everything is asked at `url`, if it is set.
    #[must_use]
    pub fn at(self, url: Option<String>) -> Self {
        Self { url, ..self }
    }

    /// The same, which also makes calls whose answers are event streams.
    ///
    /// # Errors
    /// When the `ca_file` is of no use.
    pub fn streaming(self, whose: &str, settings: &AwsSettings) -> Result<Self, AwsError> {
        let streams = stream_connector(settings.ca_file.as_ref(), whose, settings.connect_timeout)?;
        Ok(Self { streams: Some(streams), ..self })
    }

    /// Buckets that are another account's than this are refused.
    #[must_use]
    pub fn owning(self, account: &str) -> Self {
        Self { owner: Some(account.to_owned()), ..self }
    }

    /// Gets credentials, and says whose they are.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn prove(&self) -> Result<String, CallError> {
        self.credentials.prove().await.map_err(|fault| CallError::of(&fault))
    }

    /// Makes a call; gives its output by the API's names. Throttles and faults are tried again, with growing waits.
    ///
    /// # Errors
    /// What the service refused, or why it did not answer.
    pub async fn call(&self, call: &ApiCall) -> Result<Value, CallError> {
        self.call_with(call, CallOptions::default()).await
    }

    /// The same, with a deadline and a number of tries of its own.
    ///
    /// # Errors
    /// What the service refused, or why it did not answer.
    pub async fn call_with(&self, call: &ApiCall, options: CallOptions) -> Result<Value, CallError> {
        let body = self.call_bytes(call, options).await?;
        wire::answer(call, &String::from_utf8_lossy(&body))
    }

    /// The same; gives the answer's bytes as they came, for who looks into them in place.
    ///
    /// # Errors
    /// What the service refused, or why it did not answer.
    pub async fn call_bytes(&self, call: &ApiCall, options: CallOptions) -> Result<Bytes, CallError> {
        let unknown = || CallError::Unusable(format!("`{call}` is not a known operation"));
        let wire = wire::request(call, self.owner.as_deref()).ok_or_else(unknown)?;
        let mut tries = 1;
        loop {
            let refused = match self.exchange(&self.http, call.service, &wire, options.deadline).await {
                Ok(response) => match whole(response, options.deadline).await {
                    Ok(body) => return Ok(body),
                    Err(refused) => refused,
                },
                Err(refused) => refused,
            };
            if tries >= options.tries || !refused.may_pass() {
                return Err(refused);
            }
            time::sleep(BACKOFF.mul_f64(fastrand::f64() * f64::from(1 << tries.min(8)))).await;
            tries += 1;
        }
    }

    /// Makes a call, once, whose answer is a stream of events. It has to begin within the deadline, and then may be silent for `patience`.
    ///
    /// # Errors
    /// What the service refused, or why it did not answer.
    pub async fn stream(
        &self,
        call: &ApiCall,
        deadline: Duration,
        patience: Duration,
    ) -> Result<EventStream, CallError> {
        let unknown = || CallError::Unusable(format!("`{call}` is not a known operation"));
        let wire = wire::request(call, self.owner.as_deref()).ok_or_else(unknown)?;
        // In clear text, HTTP/1.1 gives each answer a connection of its own.
        let is_clear = self.endpoint(call.service, &wire).url.starts_with("http://");
        let http = self.streams.as_ref().filter(|_| !is_clear).unwrap_or(&self.http);
        let response = self.exchange(http, call.service, &wire, deadline).await?;
        let content = response.headers().get("content-type").unwrap_or_default();
        if !content.starts_with(EVENT_STREAM) {
            return Err(CallError::Unreadable(format!("the answer to `{call}` is no stream of events")));
        }
        Ok(EventStream::new(response.into_body(), patience))
    }

    /// Begins to read an object. It is asked for once: who reads knows where to go on. Each piece of it has to come within the deadline.
    ///
    /// # Errors
    /// What the service refused, or why it did not answer.
    pub async fn get_object(
        &self,
        request: &ObjectRequest<'_>,
        deadline: Duration,
    ) -> Result<ObjectBody, CallError> {
        let wire = rest::get_object(request, self.owner.as_deref());
        let response = self.exchange(&self.http, AwsService::S3, &wire, deadline).await?;
        Ok(ObjectBody::of(response, deadline))
    }

    /// Makes one request, and once more where the answer says what was wrong with it: this host's clock, or a bucket's region.
    async fn exchange(
        &self,
        http: &SharedHttpConnector,
        service: AwsService,
        wire: &UnsignedRequest,
        deadline: Duration,
    ) -> Result<HttpResponse, CallError> {
        let (mut is_corrected, mut is_moved) = (false, false);
        loop {
            let endpoint = self.endpoint(service, wire);
            let FailedRequest { refused, date, region } =
                match self.send(http, &endpoint, wire, deadline).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => failed,
                };
            let moved = region.filter(|region| service == AwsService::S3 && *region != endpoint.region);
            if let Some(region) = moved.filter(|_| !is_moved) {
                self.buckets.set(wire.bucket(), region);
                is_moved = true;
            } else if !is_corrected && self.correct(date) {
                is_corrected = true;
            } else {
                return Err(refused);
            }
        }
    }

    fn endpoint(&self, service: AwsService, wire: &UnsignedRequest) -> ServiceEndpoint {
        let moved = (service == AwsService::S3).then(|| self.buckets.get(wire.bucket())).flatten();
        let mut endpoint = endpoint(service, moved.as_deref().unwrap_or(&self.region), &self.config);
        if let Some(url) = &self.url {
            endpoint.url.clone_from(url);
            endpoint.is_set = true;
        }
        endpoint
    }

    /// Makes one request; the answer is one that says yes, up to its body.
    async fn send(
        &self,
        http: &SharedHttpConnector,
        endpoint: &ServiceEndpoint,
        wire: &UnsignedRequest,
        deadline: Duration,
    ) -> Result<HttpResponse, FailedRequest> {
        let keys = self.credentials.keys().await.map_err(|fault| CallError::of(&fault))?;
        let request = self.signed(endpoint, wire, &keys).map_err(CallError::Unusable)?;
        let sent = time::timeout(deadline, http.call(request)).await;
        let sent = sent.map_err(|_| late(&endpoint.url, deadline))?;
        let response = sent.map_err(|error| unanswered(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        let (code, region) = (header("x-amzn-errortype"), header("x-amz-bucket-region"));
        let date = date(response.headers());
        let body = whole(response, deadline).await?;
        let body = String::from_utf8_lossy(&body);
        let region = region.or_else(|| wire::bucket_region(&body));
        Err(FailedRequest { refused: wire::refusal(status.as_u16(), code.as_deref(), &body), date, region })
    }

    fn signed(
        &self,
        endpoint: &ServiceEndpoint,
        wire: &UnsignedRequest,
        keys: &Keys,
    ) -> Result<HttpRequest, String> {
        let wrong = |error: &dyn Error| format!("a request to `{}` cannot be made: {error}", endpoint.url);
        let address = endpoint.address(wire);
        let identity = keys.clone().into();
        let now = Timestamp::now().0.saturating_add(self.skew.load(Ordering::Relaxed));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&endpoint.region)
            .name(endpoint.name)
            .time(UNIX_EPOCH + Duration::from_millis(now.unsigned_abs()))
            .settings(settings(endpoint.name))
            .build()
            .map_err(|error| wrong(&error))?;
        let headers = wire.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(&wire.body);
        let signable =
            SignableRequest::new(wire.method, &address, headers, body).map_err(|error| wrong(&error))?;
        let (signature, _) = sign(signable, &params.into()).map_err(|error| wrong(&error))?.into_parts();
        let mut builder = http::Request::builder().method(wire.method).uri(&address);
        for (name, value) in &wire.headers {
            builder = builder.header(*name, value);
        }
        builder = builder.header("user-agent", concat!("standpipe/", env!("CARGO_PKG_VERSION")));
        let body = SdkBody::from(wire.body.clone());
        let mut request = builder.body(body).map_err(|error| wrong(&error))?;
        signature.apply_to_request_http1x(&mut request);
        HttpRequest::try_from(request).map_err(|error| wrong(&error))
    }

    /// Takes over the time of an answer, if this host's is far off: whether it is worth another try.
    fn correct(&self, date: Option<i64>) -> bool {
        let Some(date) = date else { return false };
        let off = date.saturating_mul(1_000).saturating_sub(Timestamp::now().0);
        let known = self.skew.swap(off, Ordering::Relaxed);
        let is_far = SKEW < off.saturating_sub(known).abs();
        if !is_far {
            self.skew.store(known, Ordering::Relaxed);
        }
        is_far
    }
}

#[cfg(test)]
impl ApiClient {
    /// Asks everything at `url`, with keys that are nobody's.
    pub(crate) fn of_nobody(url: &str) -> Self {
        let keys = Keys::new("AKIAIOSFODNN7EXAMPLE", "a-secret", Some("a-token".to_owned()), None, "test");
        Self {
            http: AwsConnection::new("a test", AwsSettings::default()).unwrap().connector(),
            streams: None,
            config: SdkConfig::builder().endpoint_url(url).build(),
            region: "eu-west-1".to_owned(),
            credentials: Arc::new(Credentials::fixed(keys)),
            owner: None,
            url: None,
            skew: AtomicI64::new(0),
            buckets: BucketRegions::default(),
        }
    }
}

/// A request that failed, and what its answer says beside.
struct FailedRequest {
    refused: CallError,
    /// What time it is, in seconds since 1970.
    date: Option<i64>,
    /// Which region's the bucket is.
    region: Option<String>,
}

impl From<CallError> for FailedRequest {
    fn from(refused: CallError) -> Self {
        Self { refused, date: None, region: None }
    }
}

/// All of an answer's body.
async fn whole(response: HttpResponse, deadline: Duration) -> Result<Bytes, CallError> {
    let body = Limited::new(response.into_body(), MOST_ANSWER).collect();
    match time::timeout(deadline, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(unanswered(error.as_ref())),
        Err(_) => Err(late("its body", deadline)),
    }
}

fn date(headers: &Headers) -> Option<i64> {
    DateTime::from_str(headers.get("date")?, Format::HttpDate).ok().map(|time| time.secs())
}

fn late(url: &str, deadline: Duration) -> CallError {
    let message = format!("`{url}` did not answer within {} s", deadline.as_secs_f64());
    CallError::Unanswered { how: NoAnswer::Other, message }
}

/// S3 signs a path as it stands, and wants the body's hash in a header.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
fn settings(name: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if name == S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}
