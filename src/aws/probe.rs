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
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Aws, AwsError, Caller, CredentialsFault, FirehoseClient, Role, credentials};
use crate::access::call::{Call, Service};
use crate::causes::with_causes;

/// Why a call did not do what it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refused {
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
        /// The mend.
        mend: Option<String>,
    },
    /// Nothing was answered.
    Unanswered {
        /// How it failed.
        how: Unanswered,
        /// In words.
        message: String,
    },
    /// The client cannot be built.
    Unusable(String),
}

/// How a call failed without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unanswered {
    /// Nobody listens there.
    Refused,
    /// The certificate is not trusted.
    Certificate,
    /// Something else: no such name, no route, no answer in time.
    Other,
}

/// What is seen of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamFacts {
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

impl Aws {
    /// Whether Firehose answers, and what time it says it is, in seconds since 1970. Any answer will do: nobody's key is used.
    pub async fn reach_firehose(&self, region: Option<String>) -> Result<Option<i64>, Refused> {
        let base = self.load(region).await;
        base.region().ok_or(AwsError::NoRegion)?;
        let nobody = base.into_builder().credentials_provider(nobody()).build();
        let mut builder = aws_sdk_firehose::config::Builder::from(&nobody);
        if let Some(url) = &self.settings().endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let (clock, date) = Clock::new();
        let client = aws_sdk_firehose::Client::from_conf(builder.build());
        let sent = client.list_delivery_streams().limit(1).customize().interceptor(clock).send().await;
        answered(sent, &date)
    }

    /// The same of the STS that `role` is assumed at; its ARN says which region's it is, if nothing else does.
    pub async fn reach_sts(&self, region: Option<String>, role: &Role) -> Result<Option<i64>, Refused> {
        let region = role.region.clone().or(region);
        let base = self.load(region).await;
        let nobody = base.into_builder().credentials_provider(nobody()).build();
        let (clock, date) = Clock::new();
        let client = sts(&nobody, role.sts_endpoint_url.as_ref());
        answered(client.get_caller_identity().customize().interceptor(clock).send().await, &date)
    }

    /// The ARN of whoever the first credentials belong to; none when another endpoint than AWS's is set, and no STS with it.
    pub async fn identity(
        &self,
        region: Option<String>,
        first: Option<&Role>,
    ) -> Result<Option<String>, Refused> {
        let client = self.firehose(region.clone(), Vec::new()).await?;
        client.credentials.prove().await.map_err(|fault| Refused::of(&fault))?;
        let url = first.and_then(|role| role.sts_endpoint_url.as_ref());
        if self.settings().endpoint_url.is_some() && url.is_none() {
            return Ok(None);
        }
        let base = self.load(region).await;
        let shared = SharedCredentialsProvider::new(credentials::Provider(Arc::clone(&client.credentials)));
        let region = first.and_then(|role| role.region.clone()).map(Region::new);
        let mut config = base.into_builder().credentials_provider(shared);
        config.set_region(region.or_else(|| Some(Region::new(client.region.clone()))));
        let sent = sts(&config.build(), url).get_caller_identity().send().await;
        sent.map(|output| output.arn().map(str::to_owned)).map_err(|error| refused(&error))
    }
}

impl Aws {
    /// The trust policy of `role`, read by the last of `before`. Needs `iam:GetRole`, and to be of the role's account.
    ///
    /// Where the role has an STS endpoint of its own, IAM is asked there; where Firehose alone has one, it is not asked.
    pub async fn trust_policy(
        &self,
        region: Option<String>,
        before: Vec<Role>,
        role: &Role,
    ) -> Result<String, Refused> {
        let base = self.load(region).await;
        let region = base.region().cloned().ok_or(AwsError::NoRegion)?;
        let url = match (&role.sts_endpoint_url, &self.settings().endpoint_url) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(_)) => return Err(Refused::Unusable("no endpoint of IAM is known".to_owned())),
            (None, None) => None,
        };
        let credentials = self.credentials(&base, &region, before);
        let name = role.arn.rsplit('/').next().unwrap_or_default();
        let call = Call::new(Service::Iam, "GetRole", json!({ "RoleName": name }));
        let output = Caller::of(self, base, &region, credentials, url)?.call(&call).await?;
        let text = |pointer: &str| output.pointer(pointer).and_then(Value::as_str);
        let policy = text("/Role/AssumeRolePolicyDocument").filter(|_| text("/Role/Arn") == Some(&role.arn));
        let policy =
            policy.ok_or_else(|| Refused::Unusable("the caller's account has no such role".to_owned()))?;
        Ok(percent_decode_str(policy).decode_utf8_lossy().into_owned())
    }
}

impl FirehoseClient {
    /// Gets credentials, and says whose they are.
    pub async fn prove(&self) -> Result<String, Refused> {
        self.credentials.prove().await.map_err(|fault| Refused::of(&fault))
    }

    /// What the stream is. Needs `firehose:DescribeDeliveryStream`.
    pub async fn describe(&self, stream: &str) -> Result<StreamFacts, Refused> {
        let sent = self.client.describe_delivery_stream().delivery_stream_name(stream).send().await;
        let output = sent.map_err(|error| refused(&error))?;
        let described = output.delivery_stream_description();
        described.map(facts).ok_or_else(|| Refused::Unusable("the answer describes no stream".to_owned()))
    }

    /// Puts these records, of which there may be none: then nothing is written, whatever is answered.
    pub async fn put(&self, stream: &str, records: &[&[u8]]) -> Result<(), Refused> {
        let record = |data: &&[u8]| Record::builder().data(Blob::new(data.to_vec())).build().ok();
        let records = records.iter().filter_map(record).collect();
        let call = self.client.put_record_batch().delivery_stream_name(stream).set_records(Some(records));
        let output = call.send().await.map_err(|error| refused(&error))?;
        let rejected = output.request_responses().iter().find_map(|response| {
            let code = response.error_code()?.to_owned();
            Some(Refused::Answered { code, message: response.error_message().unwrap_or_default().to_owned() })
        });
        rejected.map_or(Ok(()), Err)
    }
}

impl Refused {
    pub(super) fn of(fault: &CredentialsFault) -> Self {
        let mend = fault.mend.as_ref().map(|(_, mend)| mend.clone());
        Self::Credentials { message: with_causes(fault), mend }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { code, message } => write!(f, "{code}: {message}"),
            Self::Credentials { message, .. }
            | Self::Unanswered { message, .. }
            | Self::Unusable(message) => f.write_str(message),
        }
    }
}

impl From<AwsError> for Refused {
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

/// An answer, even one that says no, has crossed the network.
fn answered<T, E>(
    sent: Result<T, SdkError<E, Response>>,
    date: &Mutex<Option<i64>>,
) -> Result<Option<i64>, Refused>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match sent {
        Err(error) if error.as_service_error().is_none() => Err(refused(&error)),
        Ok(_) | Err(_) => Ok(*date.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn refused<E>(error: &SdkError<E, Response>) -> Refused
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(service) = error.as_service_error() {
        let code = service.code().unwrap_or("unknown");
        let bare = code.rsplit('#').next().and_then(|code| code.split(':').next()).unwrap_or(code).to_owned();
        return Refused::Answered {
            code: bare,
            message: service.message().unwrap_or("no message").to_owned(),
        };
    }
    unanswered(error)
}

/// Why nothing was answered: some cause tells.
pub(super) fn unanswered(error: &(dyn Error + 'static)) -> Refused {
    let mut how = Unanswered::Other;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(fault) = cause.downcast_ref::<CredentialsFault>() {
            return Refused::of(fault);
        }
        how = kind(cause).unwrap_or(how);
        next = cause.source();
    }
    Refused::Unanswered { how, message: with_causes(error) }
}

/// What one cause tells, if anything.
fn kind(cause: &(dyn Error + 'static)) -> Option<Unanswered> {
    let is_certificate = |error: &rustls::Error| matches!(error, rustls::Error::InvalidCertificate(_));
    if cause.downcast_ref().is_some_and(is_certificate) {
        return Some(Unanswered::Certificate);
    }
    let error: &io::Error = cause.downcast_ref()?;
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Some(Unanswered::Refused);
    }
    // What an I/O error wraps is not among its causes, and may be another one.
    let inside: &(dyn Error + 'static) = error.get_ref()?;
    kind(inside)
}

fn facts(described: &DeliveryStreamDescription) -> StreamFacts {
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
    StreamFacts {
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

/// Reads the time that an answer says it is. The lock covers the handing over.
#[derive(Debug)]
struct Clock(Arc<Mutex<Option<i64>>>);

impl Clock {
    fn new() -> (Self, Arc<Mutex<Option<i64>>>) {
        let date = Arc::new(Mutex::new(None));
        (Self(Arc::clone(&date)), date)
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let time = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time.map(|time| time.secs());
        Ok(())
    }
}
