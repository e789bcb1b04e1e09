//! Calls without a client of their own: one signed request for every service, from plain values to plain values.
//!
//! A client crate for each service would be built for a few operations; what they have in common is here: the protocols,
//! the endpoints, the signature, and the retry of what may be tried again.

mod api_call;
mod endpoint;
mod query;
mod rest;
mod unsigned;
mod wire;
mod xml;

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
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time;

pub use self::api_call::{ApiCall, AwsService, answer};
use self::endpoint::{ServiceEndpoint, endpoint};
use self::unsigned::UnsignedRequest;
use super::connection::{AwsConnection, AwsSession};
use super::credentials::Credentials;
use super::error::AwsError;
use super::probe::{CallError, NoAnswer, unanswered};
use super::role::ResolvedRole;
use crate::event::Timestamp;

/// Most bytes of an answer; the longest are lists of a thousand items.
const MOST_ANSWER: usize = 16 * 1_024 * 1_024;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a call is made that is throttled or meets a fault of the service or the network.
const TRIES: u32 = 5;

/// The longest wait before the second try; it doubles.
const BACKOFF: Duration = Duration::from_millis(200);

/// A clock that is further off than this is corrected by the service's, in milliseconds: AWS refuses from five minutes on.
const SKEW: i64 = 240_000;

/// Makes calls with the credentials of one principal in one region.
#[derive(Debug)]
pub struct ApiClient {
    http: SharedHttpConnector,
    config: SdkConfig,
    region: String,
    credentials: Arc<Credentials>,
    /// The account that buckets have to belong to.
    owner: Option<String>,
    /// Another endpoint for everything.
    url: Option<String>,
    /// What the service's clock is ahead of this host's, in milliseconds.
    skew: AtomicI64,
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
        let (http, skew) = (connection.connector(), AtomicI64::new(0));
        Ok(Self { http, config, region, credentials, owner: None, url: None, skew })
    }

    /// The same, where everything is asked at `url`, if it is set.
    pub(super) fn at(self, url: Option<String>) -> Self {
        Self { url, ..self }
    }

    /// Buckets that are another account's than this are refused.
    #[must_use]
    pub fn owning(self, account: &str) -> Self {
        Self { owner: Some(account.to_owned()), ..self }
    }

    /// Makes a call; gives its output by the API's names. Throttles and faults are tried again, with growing waits.
    ///
    /// # Errors
    /// What the service refused, or why it did not answer.
    pub async fn call(&self, call: &ApiCall) -> Result<Value, CallError> {
        let unknown = || CallError::Unusable(format!("`{call}` is not a known operation"));
        let wire = wire::request(call, self.owner.as_deref()).ok_or_else(unknown)?;
        let mut endpoint = endpoint(call.service, &self.region, &self.config);
        if let Some(url) = &self.url {
            endpoint.url.clone_from(url);
            endpoint.is_set = true;
        }
        let mut tries = 1;
        let mut is_corrected = false;
        loop {
            let refused = match self.send(call, &endpoint, &wire).await {
                Ok(body) => return wire::answer(call, &body),
                Err(FailedRequest { refused, date }) => {
                    if !is_corrected && self.correct(date) {
                        is_corrected = true;
                        continue;
                    }
                    refused
                }
            };
            if tries == TRIES || !may_pass(&refused) {
                return Err(refused);
            }
            time::sleep(BACKOFF.mul_f64(fastrand::f64() * f64::from(1 << tries))).await;
            tries += 1;
        }
    }

    async fn send(
        &self,
        call: &ApiCall,
        endpoint: &ServiceEndpoint,
        wire: &UnsignedRequest,
    ) -> Result<String, FailedRequest> {
        let keys = self.credentials.keys().await.map_err(|fault| CallError::of(&fault))?;
        let request = self.signed(call.service, endpoint, wire, &keys).map_err(CallError::Unusable)?;
        let sent = time::timeout(DEADLINE, self.http.call(request)).await.map_err(|_| late(&endpoint.url))?;
        let response = sent.map_err(|error| unanswered(&error))?;
        let status = response.status();
        let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
        let date = date(response.headers());
        let body = Limited::new(response.into_body(), MOST_ANSWER).collect();
        let body = time::timeout(DEADLINE, body).await.map_err(|_| late(&endpoint.url))?;
        let body: Bytes = match body {
            Ok(body) => body.to_bytes(),
            Err(error) => return Err(unanswered(error.as_ref()).into()),
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(body);
        }
        Err(FailedRequest { refused: wire::refusal(status.as_u16(), header.as_deref(), &body), date })
    }

    fn signed(
        &self,
        service: AwsService,
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
            .settings(settings(service))
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

/// A request that failed, and the time that its answer says it is, in seconds since 1970.
struct FailedRequest {
    refused: CallError,
    date: Option<i64>,
}

impl From<CallError> for FailedRequest {
    fn from(refused: CallError) -> Self {
        Self { refused, date: None }
    }
}

fn date(headers: &Headers) -> Option<i64> {
    DateTime::from_str(headers.get("date")?, Format::HttpDate).ok().map(|time| time.secs())
}

fn late(url: &str) -> CallError {
    let message = format!("`{url}` did not answer within {} s", DEADLINE.as_secs());
    CallError::Unanswered { how: NoAnswer::Other, message }
}

/// S3 signs a path as it stands, and wants the body's hash in a header.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
fn settings(service: AwsService) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == AwsService::S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

/// Whether the same call may go through a moment later.
///
/// Source: the codes that AWS's own clients take for throttling, and any status from 500 on.
fn may_pass(refused: &CallError) -> bool {
    match refused {
        CallError::Answered { code, .. } => {
            code.contains("Throttl")
                || code.starts_with('5')
                || matches!(
                    code.as_str(),
                    "TooManyRequestsException"
                        | "RequestLimitExceeded"
                        | "SlowDown"
                        | "PriorRequestNotComplete"
                        | "ServiceUnavailable"
                        | "ServiceUnavailableException"
                        | "InternalError"
                        | "InternalFailure"
                        | "RequestTimeout"
                )
        }
        CallError::Unanswered { how, .. } => {
            matches!(how, NoAnswer::Other | NoAnswer::Name | NoAnswer::ProxyName)
        }
        CallError::Credentials { .. } | CallError::Unreadable(_) | CallError::Unusable(_) => false,
    }
}

#[cfg(test)]
mod tests;
