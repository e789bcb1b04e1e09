//! Why a call failed, in words: the service's, those of whoever answered instead, or those of the network.

use std::error::Error;

use aws_credential_types::Credentials as Keys;
use aws_sdk_firehose::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::types::Credentials as IssuedKeys;
use aws_smithy_runtime_api::http::Response;

use super::fault::CredentialsFault;
use super::foreign_answer::ForeignAnswer;
use super::transport_fault::TransportFault;
use crate::causes::with_causes;

/// Why a call failed.
pub(crate) fn call_failure<E>(error: &SdkError<E, Response>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (
        error.as_service_error().and_then(|service| Some((service.code()?, service))),
        error.raw_response(),
    ) {
        (Some((code, service)), response) => service_failure(code, service.message(), response),
        (None, Some(response)) => ForeignAnswer::of(response).to_string(),
        (None, None) => network_failure(error),
    }
}

/// What the service said, which may be its code alone.
fn service_failure(code: &str, message: Option<&str>, response: Option<&Response>) -> String {
    let status = response.map_or(0, |response| response.status().as_u16());
    message.map_or_else(
        || format!("{code} (HTTP {status}, without a message)"),
        |message| format!("{code}: {message}"),
    )
}

/// Why nothing was answered: the cause that a person can do something about.
pub(super) fn network_failure(error: &(dyn Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(fault) = cause.downcast_ref::<CredentialsFault>() {
            return with_causes(fault);
        }
        next = cause.source();
    }
    TransportFault::among(error).map_or_else(|| with_causes(error), |fault| with_causes(fault))
}

/// The keys that STS issued.
pub(super) fn sts_keys(issued: &IssuedKeys) -> Keys {
    let expiry = (*issued.expiration()).try_into().ok();
    let token = Some(issued.session_token().to_owned());
    Keys::new(issued.access_key_id(), issued.secret_access_key(), token, expiry, "sts")
}
