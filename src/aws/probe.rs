//! Calls that look and change nothing, for `doctor`: what an endpoint answers, who one is, what a stream is.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::Region;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_firehose::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{
    DeliveryStreamDescription, DeliveryStreamStatus, ProcessingConfiguration, ProcessorType, Record,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use tokio::net::lookup_host;

use super::connection::{AwsConnection, AwsSession};
use super::error::AwsError;
use super::failure::network_failure;
use super::fault::CredentialsFault;
use super::firehose::FirehoseClient;
use super::foreign_answer::ForeignAnswer;
use super::role::ResolvedRole;
use crate::causes::with_causes;

/// Why a call did not do what it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CallError {
    /// The service said no.
    Answered {
        /// The error's code, bare.
        code: String,
        /// The service's words.
        message: String,
    },
    /// There were no credentials to call with.
    Credentials {
        /// Why.
        message: String,
        /// The fix.
        fix: Option<String>,
    },
    /// Nothing was answered.
    Unanswered {
        /// How it failed.
        how: NoAnswer,
        /// In words.
        message: String,
    },
    /// An answer came, and cannot be read.
    Unreadable(String),
    /// The client cannot be built.
    Unusable(String),
}

/// How a call failed without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoAnswer {
    /// Nobody listens there.
    Refused,
    /// The certificate is not trusted.
    Certificate,
    /// The host's name does not resolve.
    Name,
    /// The name of the proxy on the way does not resolve.
    ProxyName,
    /// Something else: no route, no answer in time.
    Other,
}

/// What is seen of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamDescription {
    /// Its ARN.
    pub arn: String,
    /// Such as `ACTIVE`.
    pub status: String,
    /// Whether it takes records.
    pub is_active: bool,
    /// Such as `DirectPut`.
    pub source: String,
    /// What went wrong when it was made or changed.
    pub failure: Option<String>,
    /// Its own key, and whether it is in use.
    pub key: Option<(String, String)>,
    /// It decompresses what `CloudWatch` Logs sends, and so takes nothing else.
    pub decompresses: bool,
}

impl AwsConnection {
    /// Whether Firehose answers, and what time it says it is, in seconds since 1970. Any answer will do: nobody's key is used.
    pub async fn reach_firehose(&self, region: Option<String>) -> Result<Option<i64>, CallError> {
        let base = self.load(region).await?;
        let nobody = base.into_builder().credentials_provider(nobody()).build();
        let mut builder = aws_sdk_firehose::config::Builder::from(&nobody);
        if let Some(url) = &self.settings().endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let (recorder, seen) = ExchangeRecorder::new();
        let client = aws_sdk_firehose::Client::from_conf(builder.build());
        let sent = client.list_delivery_streams().limit(1).customize().interceptor(recorder).send().await;
        answered(sent, &seen).await
    }

    /// The same of the STS that `role` is assumed at; its ARN says which region's it is, if nothing else does.
    pub async fn reach_sts(
        &self,
        region: Option<String>,
        role: &ResolvedRole,
    ) -> Result<Option<i64>, CallError> {
        let region = role.region.clone().or(region);
        let base = self.load(region).await?;
        let nobody = base.into_builder().credentials_provider(nobody()).build();
        let (recorder, seen) = ExchangeRecorder::new();
        let client = sts(&nobody, role.sts_endpoint_url.as_ref());
        answered(client.get_caller_identity().customize().interceptor(recorder).send().await, &seen).await
    }

    /// The ARN of whoever the first credentials belong to; none when another endpoint than AWS's is set, and no STS with it.
    pub async fn identity(
        &self,
        region: Option<String>,
        first: Option<&ResolvedRole>,
    ) -> Result<Option<String>, CallError> {
        let AwsSession { config, credentials, region: own } = self.session(region, Vec::new()).await?;
        credentials.prove().await.map_err(|fault| CallError::of(&fault))?;
        let url = first.and_then(|role| role.sts_endpoint_url.as_ref());
        if self.settings().endpoint_url.is_some() && url.is_none() {
            return Ok(None);
        }
        let region = first.and_then(|role| role.region.clone()).unwrap_or(own);
        let config = config.into_builder().region(Region::new(region)).build();
        let sent = sts(&config, url).get_caller_identity().send().await;
        sent.map(|output| output.arn().map(str::to_owned)).map_err(|error| refused(&error))
    }
}

impl FirehoseClient {
    /// Gets credentials, and says whose they are.
    pub async fn prove(&self) -> Result<String, CallError> {
        self.credentials.prove().await.map_err(|fault| CallError::of(&fault))
    }

    /// What the stream is. Needs `firehose:DescribeDeliveryStream`.
    pub async fn describe(&self, stream: &str) -> Result<StreamDescription, CallError> {
        let sent = self.client.describe_delivery_stream().delivery_stream_name(stream).send().await;
        let output = sent.map_err(|error| refused(&error))?;
        let described = output.delivery_stream_description();
        described.map(facts).ok_or_else(|| CallError::Unreadable("the answer describes no stream".to_owned()))
    }

    /// Puts these records, of which there may be none: then nothing is written, whatever is answered.
    pub async fn put(&self, stream: &str, records: &[&[u8]]) -> Result<(), CallError> {
        let record = |data: &&[u8]| Record::builder().data(Blob::new(data.to_vec())).build().ok();
        let records = records.iter().filter_map(record).collect();
        let call = self.client.put_record_batch().delivery_stream_name(stream).set_records(Some(records));
        let output = call.send().await.map_err(|error| refused(&error))?;
        let rejected = output.request_responses().iter().find_map(|response| {
            let code = response.error_code()?.to_owned();
            Some(CallError::Answered {
                code,
                message: response.error_message().unwrap_or_default().to_owned(),
            })
        });
        rejected.map_or(Ok(()), Err)
    }
}

impl CallError {
    pub(super) fn of(fault: &CredentialsFault) -> Self {
        let fix = fault.fix.as_ref().map(|(_, fix)| fix.clone());
        Self::Credentials { message: with_causes(fault), fix }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { code, message } => write!(f, "{code}: {message}"),
            Self::Credentials { message, .. }
            | Self::Unanswered { message, .. }
            | Self::Unreadable(message)
            | Self::Unusable(message) => f.write_str(message),
        }
    }
}

impl From<AwsError> for CallError {
    fn from(error: AwsError) -> Self {
        Self::Unusable(with_causes(&error))
    }
}

fn sts(config: &aws_config::SdkConfig, url: Option<&String>) -> aws_sdk_sts::Client {
    let mut builder = aws_sdk_sts::config::Builder::from(config);
    // Only when set: the builder has read AWS_ENDPOINT_URL_STS already.
    if let Some(url) = url {
        builder = builder.endpoint_url(url);
    }
    aws_sdk_sts::Client::from_conf(builder.build())
}

/// AWS's own example of a key, which is nobody's.
fn nobody() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Keys::new("AKIAIOSFODNN7EXAMPLE", "nobody", None, None, "doctor"))
}

/// An answer of AWS, even one that says no, has crossed the network.
async fn answered<T, E>(
    sent: Result<T, SdkError<E, Response>>,
    seen: &Mutex<ExchangeFacts>,
) -> Result<Option<i64>, CallError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let ExchangeFacts { host, date } = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match sent {
        Err(error) if error.raw_response().is_none() => Err(match refused(&error) {
            CallError::Unanswered { how: NoAnswer::Name, message } => unresolved(&host, &message).await,
            other @ (CallError::Answered { .. }
            | CallError::Credentials { .. }
            | CallError::Unanswered { .. }
            | CallError::Unreadable(_)
            | CallError::Unusable(_)) => other,
        }),
        Ok(_) | Err(_) => Ok(date),
    }
}

/// Whose name it is that did not resolve: where the endpoint's does, it was the proxy's.
async fn unresolved(host: &str, message: &str) -> CallError {
    let resolves = lookup_host((host, 443)).await.is_ok_and(|mut addresses| addresses.next().is_some());
    if resolves {
        let message = format!("the name of the proxy for `{host}` does not resolve: {message}");
        return CallError::Unanswered { how: NoAnswer::ProxyName, message };
    }
    let message = format!("the name `{host}` does not resolve: {message}");
    CallError::Unanswered { how: NoAnswer::Name, message }
}

fn refused<E>(error: &SdkError<E, Response>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some((code, service)) =
        error.as_service_error().and_then(|service| Some((service.code()?, service)))
    {
        let bare = code.rsplit('#').next().and_then(|code| code.split(':').next()).unwrap_or(code).to_owned();
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let nothing = || format!("HTTP {status}, without a message");
        let message = service.message().map_or_else(nothing, str::to_owned);
        return CallError::Answered { code: bare, message };
    }
    if let Some(response) = error.raw_response() {
        return CallError::Unreadable(ForeignAnswer::of(response).to_string());
    }
    unanswered(error)
}

/// Why nothing was answered: some cause tells.
pub(super) fn unanswered(error: &(dyn Error + 'static)) -> CallError {
    let mut how = NoAnswer::Other;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(fault) = cause.downcast_ref::<CredentialsFault>() {
            return CallError::of(fault);
        }
        how = kind(cause).unwrap_or(how);
        next = cause.source();
    }
    CallError::Unanswered { how, message: network_failure(error) }
}

/// How the standard library begins the error of a name that the resolver knows no address of.
const LOOKUP_FAILED: &str = "failed to lookup address information";

/// What one cause tells, if anything.
fn kind(cause: &(dyn Error + 'static)) -> Option<NoAnswer> {
    let is_certificate = |error: &rustls::Error| matches!(error, rustls::Error::InvalidCertificate(_));
    if cause.downcast_ref().is_some_and(is_certificate) {
        return Some(NoAnswer::Certificate);
    }
    let error: &io::Error = cause.downcast_ref()?;
    // A kind of its own it has not.
    if error.to_string().starts_with(LOOKUP_FAILED) {
        return Some(NoAnswer::Name);
    }
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Some(NoAnswer::Refused);
    }
    // What an I/O error wraps is not among its causes, and may be another one.
    let inside: &(dyn Error + 'static) = error.get_ref()?;
    kind(inside)
}

fn facts(described: &DeliveryStreamDescription) -> StreamDescription {
    let decompresses = |processing: Option<&ProcessingConfiguration>| {
        let processors = processing.filter(|processing| processing.enabled() == Some(true));
        processors.is_some_and(|processing| {
            processing
                .processors()
                .iter()
                .any(|processor| *processor.r#type() == ProcessorType::Decompression)
        })
    };
    let encryption = described.delivery_stream_encryption_configuration();
    StreamDescription {
        arn: described.delivery_stream_arn().to_owned(),
        status: described.delivery_stream_status().as_str().to_owned(),
        is_active: *described.delivery_stream_status() == DeliveryStreamStatus::Active,
        source: described.delivery_stream_type().as_str().to_owned(),
        failure: described.failure_description().map(|failure| failure.details().to_owned()),
        key: encryption.and_then(|encryption| {
            let status = encryption.status()?.as_str().to_owned();
            Some((encryption.key_arn()?.to_owned(), status))
        }),
        decompresses: described.destinations().iter().any(|destination| {
            let s3 = destination.extended_s3_destination_description();
            let http = destination.http_endpoint_destination_description();
            let splunk = destination.splunk_destination_description();
            decompresses(s3.and_then(|to| to.processing_configuration()))
                || decompresses(http.and_then(|to| to.processing_configuration()))
                || decompresses(splunk.and_then(|to| to.processing_configuration()))
        }),
    }
}

/// What is seen of one request and its answer.
#[derive(Clone, Debug, Default)]
struct ExchangeFacts {
    /// The host that it is for.
    host: String,
    /// The time that the answer says it is, in seconds since 1970.
    date: Option<i64>,
}

/// Looks at a request and its answer. The lock covers the handing over.
#[derive(Debug)]
struct ExchangeRecorder(Arc<Mutex<ExchangeFacts>>);

impl ExchangeRecorder {
    fn new() -> (Self, Arc<Mutex<ExchangeFacts>>) {
        let seen = Arc::default();
        (Self(Arc::clone(&seen)), seen)
    }

    fn note(&self, note: impl FnOnce(&mut ExchangeFacts)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Intercept for ExchangeRecorder {
    fn name(&self) -> &'static str {
        "ExchangeRecorder"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let uri: http::Uri = context.request().uri().parse()?;
        self.note(|seen| uri.host().unwrap_or_default().clone_into(&mut seen.host));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let time = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        self.note(|seen| seen.date = time.map(|time| time.secs()));
        Ok(())
    }
}
