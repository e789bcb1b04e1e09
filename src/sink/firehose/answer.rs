//! What an answer of Firehose means, and what a person can do about it.
//!
//! Errors and their HTTP codes: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html> and
//! <https://docs.aws.amazon.com/firehose/latest/APIReference/CommonErrors.html>. A Firehose throttle is a 500 with
//! `ServiceUnavailableException`, or an error code on single records of a 200.

use std::error::Error;

use aws_sdk_firehose::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::operation::put_record_batch::{PutRecordBatchError, PutRecordBatchOutput};

use crate::arn::Partition;
use crate::aws::{Credentials, CredentialsFault, ForeignAnswer, call_failure, principal_in};
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

/// The code of a record that the answer gives neither an id nor an error.
const NO_RECORD_ID: &str = "NoRecordId";

/// Which records a 200 accepted: those that it gives an id and no error, whatever it counts.
pub(super) fn accepted(output: &PutRecordBatchOutput, sent: usize) -> Answer {
    let responses = output.request_responses();
    if responses.len() != sent {
        // Nothing says which were accepted: all are sent again, which may double some.
        let message = format!("the answer covers {} records, but {sent} were sent", responses.len());
        return Answer::TryLater { outcome: "failed", message };
    }
    let rejected = responses.iter().enumerate().filter_map(|(index, response)| {
        let code = match (response.error_code(), response.record_id()) {
            (None, Some(id)) if !id.is_empty() => return None,
            (code, _) => code.unwrap_or(NO_RECORD_ID).to_owned(),
        };
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
    let Some(response) = error.raw_response() else {
        return Answer::TryLater { outcome: "failed", message: call_failure(error) };
    };
    let status = response.status().as_u16();
    let Some((code, service)) = error.as_service_error().and_then(|service| Some((service.code()?, service)))
    else {
        return by_status(status, &format!("HTTP{status}"), ForeignAnswer::of(response).to_string());
    };
    let nothing = format!("HTTP {status}, without a message");
    let message = service.message().unwrap_or(&nothing);
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
        "InvalidArgumentException" | "ValidationException" | "ValidationError" | "SerializationException" => {
            Answer::Refused { code: bare.to_owned(), message: message.to_owned(), is_too_large: false }
        }
        "RequestEntityTooLargeException" => {
            Answer::Refused { code: bare.to_owned(), message: message.to_owned(), is_too_large: true }
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

/// For codes that the table does not know, and for answers without one: a proxy's, mostly.
fn by_status(status: u16, code: &str, text: String) -> Answer {
    let hold = |fix: &str| {
        Answer::Held(Hold { reason: "access_denied", message: text.clone(), fix: fix.to_owned() })
    };
    match status {
        413 => Answer::Refused { code: code.to_owned(), message: text, is_too_large: true },
        429 => Answer::TryLater { outcome: THROTTLED, message: text },
        401 | 403 => hold(
            "see who answers there: let it pass requests to Firehose, or correct `endpoint_url`, HTTPS_PROXY or NO_PROXY; nothing is lost in the meantime",
        ),
        407 => {
            hold("give the proxy's user and password in HTTPS_PROXY, as in `http://user:password@proxy:3128`")
        }
        _ => Answer::TryLater { outcome: "failed", message: text },
    }
}

fn hold(code: &str, message: &str, target: &StreamTarget, principal: &str) -> Option<Hold> {
    let StreamTarget { stream, region } = target;
    let principal = principal_in(message).unwrap_or(principal);
    let partition = partition(principal, region);
    let said = |what: &str| format!("{ACTION} on `{stream}` in {region} as {principal}: {what}: {message}");
    let (reason, what, fix) = match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => (
            "access_denied",
            "denied",
            format!(
                "allow `{ACTION}` on `arn:{partition}:firehose:{region}:{}:deliverystream/{stream}` to {principal}; a stream of \
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
            "standpipe asks their source for new ones at each try, and reads credentials files again; if that does not help, check that their source renews them"
                .to_owned(),
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

/// The partition of a principal's ARN, or of a region.
fn partition(principal: &str, region: &str) -> String {
    let of_region = || Partition::of_region(region).unwrap_or_default();
    let of_principal = || principal.strip_prefix("arn:")?.split(':').next().map(str::to_owned);
    of_principal().unwrap_or_else(|| of_region().as_str().to_owned())
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

/// There are no credentials to send a request with.
pub(super) fn from_credentials(fault: &CredentialsFault) -> Answer {
    let message = with_causes(fault);
    match &fault.fix {
        Some((reason, fix)) => Answer::Held(Hold { reason, message, fix: fix.clone() }),
        None => Answer::TryLater { outcome: "failed", message },
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_firehose::types::PutRecordBatchResponseEntry;

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
    fn an_answer_without_a_code_is_judged_by_its_status() {
        for (status, expected) in [
            (413, "refused"),
            (429, "throttled"),
            (503, "failed"),
            (401, "access_denied"),
            (403, "access_denied"),
            (407, "access_denied"),
            (200, "failed"),
            (301, "failed"),
            (400, "failed"),
            (404, "failed"),
            (500, "failed"),
            (502, "failed"),
        ] {
            let answer = by_status(status, "HTTP", "text".to_owned());
            assert_eq!(kind(&answer), expected, "{status}");
        }
    }

    #[track_caller]
    fn check_entries(entries: &[(Option<&str>, Option<&str>)], failed: i32, rejected: &[(usize, &str)]) {
        let entry = |(id, code): &(Option<&str>, Option<&str>)| {
            let entry = PutRecordBatchResponseEntry::builder().set_record_id(id.map(str::to_owned));
            entry.set_error_code(code.map(str::to_owned)).build()
        };
        let output = PutRecordBatchOutput::builder()
            .failed_put_count(failed)
            .set_request_responses(Some(entries.iter().map(entry).collect()))
            .build()
            .unwrap();
        let rejected =
            rejected.iter().map(|(index, code)| Rejected { index: *index, code: (*code).to_owned() });
        assert_eq!(accepted(&output, entries.len()), Answer::Accepted(rejected.collect()), "{entries:?}");
    }

    #[test]
    fn a_record_is_accepted_when_it_has_an_id_and_no_error() {
        check_entries(&[(Some("1"), None), (Some("2"), None)], 0, &[]);
        check_entries(&[(Some("1"), None), (None, Some("InternalFailure"))], 1, &[(1, "InternalFailure")]);
        check_entries(&[(None, Some("InternalFailure"))], 0, &[(0, "InternalFailure")]);
        check_entries(&[(Some("1"), Some("InternalFailure"))], 0, &[(0, "InternalFailure")]);
        check_entries(&[(None, None), (Some(""), None)], 0, &[(0, NO_RECORD_ID), (1, NO_RECORD_ID)]);
        check_entries(&[(Some("1"), None)], 1, &[]);
    }

    #[track_caller]
    fn check_partition(principal: &str, region: &str, expected: &str) {
        let target = StreamTarget { stream: "logs".into(), region: region.into() };
        let hold = hold("AccessDeniedException", "no", &target, principal).unwrap();
        assert!(hold.fix.contains(&format!("`arn:{expected}:firehose:{region}:")), "{}", hold.fix);
    }

    #[test]
    fn a_fix_names_the_partition() {
        check_partition("arn:aws-cn:sts::222222222222:assumed-role/a/b", "cn-north-1", "aws-cn");
        check_partition("this host's own identity", "us-gov-west-1", "aws-us-gov");
        check_partition("role `x`", "eusc-de-east-1", "aws-eusc");
        check_partition("role `x`", "us-east-1", "aws");
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
