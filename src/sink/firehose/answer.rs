//! What an answer of Firehose means, and what a person can do about it.
//!
//! Errors and their HTTP codes: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html> and
//! <https://docs.aws.amazon.com/firehose/latest/APIReference/CommonErrors.html>. A Firehose throttle is a 500 with
//! `ServiceUnavailableException`, or an error code on single records of a 200.

use std::error::Error;

use aws_sdk_firehose::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::operation::put_record_batch::{PutRecordBatchError, PutRecordBatchOutput};

use crate::aws::{Credentials, CredentialsFault, principal_in};
use crate::causes::with_causes;
use crate::sink::answer::{
    Answer, EXPIRED_CREDENTIALS, Hold, Rejected, SIGNATURE, THROTTLED, UNRECOGNIZED_CREDENTIALS,
};

/// The stream that a request went to.
#[derive(Debug)]
pub(super) struct StreamTarget {
    pub(super) stream: String,
    pub(super) region: String,
}

const ACTION: &str = "firehose:PutRecordBatch";

/// Which records a 200 accepted.
pub(super) fn accepted(output: &PutRecordBatchOutput, sent: usize) -> Answer {
    let responses = output.request_responses();
    if output.failed_put_count() == 0 && responses.len() == sent {
        return Answer::Accepted(Vec::new());
    }
    if responses.len() != sent {
        // Nothing says which were accepted: all are sent again, which may double some.
        let message = format!("the answer covers {} records, but {sent} were sent", responses.len());
        return Answer::TryLater { outcome: "failed", message };
    }
    let rejected = responses.iter().enumerate().filter_map(|(index, response)| {
        let code = response.error_code()?.to_owned();
        Some(Rejected { index, code })
    });
    Answer::Accepted(rejected.collect())
}

/// What a call without a 200 means.
pub(super) fn failed(
    error: &SdkError<PutRecordBatchError>,
    target: &StreamTarget,
    credentials: &Credentials,
) -> Answer {
    if let Some(fault) = credentials_fault(error) {
        return from_credentials(fault);
    }
    let Some(service) = error.as_service_error() else {
        return Answer::TryLater { outcome: "failed", message: with_causes(error) };
    };
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = service.code().unwrap_or("unknown");
    let message = service.message().unwrap_or("no message");
    judge(&ServiceError { status, code, message }, target, &credentials.principal())
}

/// What the service said.
struct ServiceError<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
}

fn judge(said: &ServiceError<'_>, target: &StreamTarget, principal: &str) -> Answer {
    let ServiceError { status, code, message } = *said;
    let text = || format!("{code}: {message}");
    // A code may come with a namespace before it and an address behind it.
    let bare = code.rsplit('#').next().unwrap_or(code);
    match bare.split(':').next().unwrap_or(bare) {
        "ServiceUnavailableException"
        | "ServiceUnavailable"
        | "ThrottlingException"
        | "Throttling"
        | "LimitExceededException"
        | "SlowDown"
        | "TooManyRequestsException"
        | "RequestLimitExceeded" => Answer::TryLater { outcome: THROTTLED, message: text() },
        "InvalidArgumentException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "RequestEntityTooLargeException" => {
            Answer::Refused { code: bare.to_owned(), message: message.to_owned() }
        }
        "RequestTimeoutException" | "RequestTimeout" | "RequestAbortedException" => {
            Answer::TryLater { outcome: "failed", message: text() }
        }
        known => match hold(known, message, target, principal) {
            Some(hold) => Answer::Held(hold),
            None => by_status(status, bare, text()),
        },
    }
}

/// For codes that the table does not know.
fn by_status(status: u16, code: &str, text: String) -> Answer {
    match status {
        413 => Answer::Refused { code: code.to_owned(), message: text },
        429 => Answer::TryLater { outcome: THROTTLED, message: text },
        401 | 403 => Answer::Held(Hold {
            reason: "access_denied",
            message: text,
            fix: "see the message; nothing is lost in the meantime".to_owned(),
        }),
        _ => Answer::TryLater { outcome: "failed", message: text },
    }
}

fn hold(code: &str, message: &str, target: &StreamTarget, principal: &str) -> Option<Hold> {
    let StreamTarget { stream, region } = target;
    let principal = principal_in(message).unwrap_or(principal);
    let said = |what: &str| format!("{ACTION} on `{stream}` in {region} as {principal}: {what}: {message}");
    let (reason, what, fix) = match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => (
            "access_denied",
            "denied",
            format!(
                "allow `{ACTION}` on `arn:aws:firehose:{region}:{}:deliverystream/{stream}` to {principal}; a stream of \
                 another account needs `assume_role`, since Firehose has no resource policies",
                account(principal)
            ),
        ),
        "ResourceNotFoundException" => (
            "not_found",
            "no such stream",
            format!(
                "create the delivery stream `{stream}` in account {} and region {region}, or correct `stream`, `region` or \
                 `assume_role`",
                account(principal)
            ),
        ),
        "InvalidKMSResourceException" => (
            "kms",
            "the stream's KMS key cannot be used",
            "enable the key, and allow Firehose and the stream's role to use it".to_owned(),
        ),
        "InvalidSourceException" => (
            "invalid_source",
            "the stream accepts only CloudWatch Logs",
            "turn off CloudWatch Logs decompression on the stream, or use another stream".to_owned(),
        ),
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => (
            EXPIRED_CREDENTIALS,
            "credentials have expired",
            "standpipe gets new ones; if that does not help, check that their source renews them".to_owned(),
        ),
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "RequestTimeTooSkewed" => (
            SIGNATURE,
            "the signature was rejected",
            "correct this host's clock (AWS allows 5 minutes), and check the secret key".to_owned(),
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "MissingAuthenticationToken" => (
            UNRECOGNIZED_CREDENTIALS,
            "the credentials are unknown",
            "check the access key and, for temporary credentials, the session token".to_owned(),
        ),
        _ => return None,
    };
    Some(Hold { reason, message: said(what), fix })
}

/// The account in a principal's ARN.
fn account(principal: &str) -> &str {
    principal.split(':').nth(4).filter(|account| !account.is_empty()).unwrap_or("ACCOUNT")
}

fn credentials_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref() {
            return Some(fault);
        }
        next = error.source();
    }
    None
}

fn from_credentials(fault: &CredentialsFault) -> Answer {
    let message = with_causes(fault);
    match &fault.fix {
        Some((reason, fix)) => Answer::Held(Hold { reason, message, fix: fix.clone() }),
        None => Answer::TryLater { outcome: "failed", message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINCIPAL: &str = "arn:aws:sts::222222222222:assumed-role/writer/standpipe";

    fn kind(answer: &Answer) -> &str {
        match answer {
            Answer::Accepted(_) => "accepted",
            Answer::TryLater { outcome, .. } => outcome,
            Answer::Held(hold) => hold.reason,
            Answer::Refused { .. } => "refused",
        }
    }

    #[track_caller]
    fn check(status: u16, code: &str, expected: &str) {
        let target = StreamTarget { stream: "logs".into(), region: "us-east-1".into() };
        let answer = judge(&ServiceError { status, code, message: "m" }, &target, PRINCIPAL);
        assert_eq!(kind(&answer), expected, "{code}");
    }

    #[test]
    fn a_refusal_to_take_more_now_is_tried_later() {
        check(500, "ServiceUnavailableException", "throttled");
        check(400, "ThrottlingException", "throttled");
        check(500, "InternalFailure", "failed");
        check(408, "RequestTimeoutException", "failed");
        check(502, "unknown", "failed");
        check(429, "unknown", "throttled");
    }

    #[test]
    fn what_a_person_must_fix_is_held() {
        check(403, "AccessDeniedException", "access_denied");
        check(403, "com.amazon.coral.service#AccessDeniedException", "access_denied");
        check(400, "ResourceNotFoundException", "not_found");
        check(400, "InvalidKMSResourceException", "kms");
        check(400, "InvalidSourceException", "invalid_source");
        check(403, "ExpiredTokenException", "expired_credentials");
        check(403, "InvalidSignatureException", "signature");
        check(403, "UnrecognizedClientException", "unrecognized_credentials");
        check(403, "SomethingNew", "access_denied");
    }

    #[test]
    fn a_request_that_is_not_acceptable_is_refused() {
        check(400, "InvalidArgumentException", "refused");
        check(400, "ValidationException", "refused");
        check(413, "RequestEntityTooLargeException", "refused");
        check(413, "unknown", "refused");
    }

    #[test]
    fn a_denial_names_action_principal_account_and_resource() {
        let target = StreamTarget { stream: "logs".into(), region: "us-east-1".into() };
        let hold = hold("AccessDeniedException", "no", &target, PRINCIPAL).unwrap();
        let text = format!("{}; {}", hold.message, hold.fix);
        for part in
            [ACTION, PRINCIPAL, "222222222222", "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs"]
        {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
}
