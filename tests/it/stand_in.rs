//! The stand-in itself, asked by the AWS SDK: what the other tests rely on.

#![expect(clippy::result_large_err, reason = "the SDK's error, as it is")]

use std::future::Future;
use std::io::Write;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_firehose::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::operation::put_record_batch::{PutRecordBatchError, PutRecordBatchOutput};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_types::retry::RetryConfig;

use crate::standin::{Faults, Key, Lines, Refusal, Role, Settings, Standin, Stream};
use crate::world::until;

const AWAY: &str = "222222222222";
const WRITER: &str = "arn:aws:iam::222222222222:role/standpipe-writer";

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn sdk(standin: &Standin, credentials: Credentials) -> SdkConfig {
    let trust = TrustStore::empty().with_pem_certificate(standin.ca().as_bytes().to_vec());
    let tls = TlsContext::builder().with_trust_store(trust).build().unwrap();
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_https();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(standin.url())
        .http_client(client)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::disabled())
        .build()
}

fn home() -> Credentials {
    let key = Key::default();
    Credentials::new(key.id, key.secret, None, None, "test")
}

type Put = Result<PutRecordBatchOutput, SdkError<PutRecordBatchError>>;

fn put(standin: &Standin, credentials: Credentials, stream: &str, records: &[Vec<u8>]) -> Put {
    let records = records.iter().map(|data| Record::builder().data(Blob::new(data.clone())).build().unwrap());
    wait(async {
        let client = aws_sdk_firehose::Client::new(&sdk(standin, credentials));
        let call =
            client.put_record_batch().delivery_stream_name(stream).set_records(Some(records.collect()));
        call.send().await
    })
}

#[track_caller]
fn refused(put: Put, code: &str, text: &str) {
    let error = put.unwrap_err();
    let said = error.as_service_error().map(|error| (error.code(), error.message().unwrap_or_default()));
    let as_said = said.is_some_and(|(said, message)| said == Some(code) && message.contains(text));
    assert!(as_said, "{code} {text}: {}", DisplayErrorContext(&error));
}

#[test]
fn lines_are_counted_whole_doubled_damaged_or_missing() {
    let standin = Standin::start(&Settings::default());
    standin.expect(1, 100);
    let lines = Lines::of_run(1);
    let mut damaged = lines.line(60);
    *damaged.last_mut().unwrap() ^= 1;
    let message = serde_json::to_string(&String::from_utf8(lines.line(48)).unwrap()).unwrap();
    let json = format!("{{\"timestamp\":\"now\",\"message\":{message},\"source\":\"app\"}}\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&lines.text(49..60)).unwrap();
    let records = [
        lines.text(0..20),
        lines.text(10..48),
        json.into_bytes(),
        gzip.finish().unwrap(),
        damaged,
        b"something else\n".to_vec(),
    ];
    let output = put(&standin, home(), "logs", &records).unwrap();
    assert_eq!((output.failed_put_count(), output.request_responses().len()), (0, 6));
    let report = standin.report();
    let total = &report.total;
    assert_eq!((total.seen, report.missing, total.duplicates), (60, 40, 10), "{report:#?}");
    assert_eq!((total.damaged, total.other, total.out_of_order), (1, 1, 9), "{report:#?}");
    assert_eq!((total.records, total.billed_bytes % 5_120), (6, 0), "{report:#?}");
    assert_eq!(report.limit_violations, 0, "{:?}", report.violations);
    assert_eq!(standin.gaps(1, 1).first(), Some(&60));
}

#[test]
fn limits_are_enforced_to_the_byte() {
    let standin = Standin::start(&Settings::default());
    put(&standin, home(), "logs", &vec![vec![b'x'; 100]; 500]).unwrap();
    put(&standin, home(), "logs", &[vec![b'x'; 1_024_000]]).unwrap();
    let mut full = vec![vec![b'x'; 1_024_000]; 4];
    full.push(vec![b'x'; 4 * 1024 * 1024 - 4 * 1_024_000]);
    put(&standin, home(), "logs", &full).unwrap();
    assert_eq!(standin.report().limit_violations, 0);

    refused(put(&standin, home(), "logs", &vec![vec![b'x']; 501]), "ValidationException", "501");
    refused(put(&standin, home(), "logs", &[]), "ValidationException", "greater than or equal to 1");
    refused(put(&standin, home(), "logs", &[vec![b'x'; 1_024_001]]), "ValidationException", "1024001");
    full.push(vec![b'x']);
    refused(put(&standin, home(), "logs", &full), "InvalidArgumentException", "4 MB");
    refused(put(&standin, home(), "no spaces", &[vec![b'x']]), "ValidationException", "deliveryStreamName");
    assert_eq!(standin.report().limit_violations, 5);
    assert_eq!(standin.report().total.records, 506);
}

#[test]
fn signatures_are_checked_for_real() {
    let standin = Standin::start(&Settings::default());
    let key = Key::default();
    let forged = Credentials::new(&key.id, "another secret", None, None, "test");
    refused(put(&standin, forged, "logs", &[b"x".to_vec()]), "InvalidSignatureException", "does not match");
    let stranger = Credentials::new("AKIANOBODY", "secret", None, None, "test");
    refused(put(&standin, stranger, "logs", &[b"x".to_vec()]), "UnrecognizedClientException", "invalid");
    let token = Credentials::new(&key.id, &key.secret, Some("a token".into()), None, "test");
    refused(put(&standin, token, "logs", &[b"x".to_vec()]), "UnrecognizedClientException", "invalid");
    refused(put(&standin, home(), "nowhere", &[b"x".to_vec()]), "ResourceNotFoundException", "nowhere");
    assert_eq!(standin.report().total.records, 0);
    put(&standin, home(), "logs", &[b"x".to_vec()]).unwrap();
    let report = standin.report();
    assert_eq!(report.principals.keys().collect::<Vec<_>>(), ["arn:aws:iam::111111111111:user/standpipe"]);
}

fn assume(standin: &Standin, by: Credentials, role: &str, external_id: &str) -> Result<Credentials, String> {
    wait(async {
        let client = aws_sdk_sts::Client::new(&sdk(standin, by));
        let call =
            client.assume_role().role_arn(role).role_session_name("a-session").external_id(external_id);
        let output = call.send().await.map_err(|error| {
            let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
            format!("{code}: {message}")
        })?;
        let made = output.credentials().unwrap();
        let token = Some(made.session_token().to_owned());
        Ok(Credentials::new(made.access_key_id(), made.secret_access_key(), token, None, "test"))
    })
}

#[test]
fn a_role_is_assumed_by_whom_it_trusts_and_only_with_its_external_id() {
    let role = Role {
        external_id: Some("example".into()),
        lifetime_seconds: 2,
        ..Role::new(WRITER, &["111111111111"])
    };
    let streams = vec![Stream::new(AWAY, "logs")];
    let standin = Standin::start(&Settings { roles: vec![role.clone()], streams, ..Settings::default() });

    for (arn, external_id) in [(WRITER, "wrong"), ("arn:aws:iam::222222222222:role/missing", "example")] {
        let denied = assume(&standin, home(), arn, external_id).unwrap_err();
        let user = "AccessDenied: User: arn:aws:iam::111111111111:user/standpipe is not authorized to perform: \
                    sts:AssumeRole on resource: ";
        assert_eq!(denied, format!("{user}{arn}"));
    }
    refused(put(&standin, home(), "logs", &[b"x".to_vec()]), "ResourceNotFoundException", "111111111111");

    let credentials = assume(&standin, home(), WRITER, "example").unwrap();
    put(&standin, credentials.clone(), "logs", &[b"x".to_vec()]).unwrap();
    let report = standin.report();
    let signer = &report.principals["arn:aws:sts::222222222222:assumed-role/standpipe-writer/a-session"];
    assert_eq!((signer.calls, signer.keys, signer.account.as_str(), report.assumed), (1, 1, AWAY, 1));

    let expired = || put(&standin, credentials.clone(), "logs", &[b"x".to_vec()]);
    let error = until("the credentials expire", || expired().err());
    refused(Err(error), "ExpiredTokenException", "expired");

    standin.role(Role { may_put: false, ..role });
    let credentials = assume(&standin, home(), WRITER, "example").unwrap();
    let text = "assumed-role/standpipe-writer/a-session is not authorized to perform: firehose:PutRecordBatch on \
                resource: arn:aws:firehose:us-east-1:222222222222:deliverystream/logs";
    refused(put(&standin, credentials, "logs", &[b"x".to_vec()]), "AccessDeniedException", text);
}

#[test]
fn callers_learn_who_they_are() {
    let standin = Standin::start(&Settings {
        roles: vec![Role::new(WRITER, &["111111111111"])],
        ..Settings::default()
    });
    let who = |credentials: Credentials| {
        wait(async {
            let client = aws_sdk_sts::Client::new(&sdk(&standin, credentials));
            let identity = client.get_caller_identity().send().await.unwrap();
            (identity.account().unwrap().to_owned(), identity.arn().unwrap().to_owned())
        })
    };
    assert_eq!(who(home()), ("111111111111".into(), "arn:aws:iam::111111111111:user/standpipe".into()));
    let assumed = assume(&standin, home(), WRITER, "unasked").unwrap();
    let arn = "arn:aws:sts::222222222222:assumed-role/standpipe-writer/a-session";
    assert_eq!(who(assumed), (AWAY.into(), arn.into()));
}

#[test]
fn a_part_of_the_records_fails_inside_a_good_answer() {
    let standin = Standin::start(&Settings::default());
    standin.faults(|faults| faults.record_failures = 0.5);
    standin.expect(1, 200);
    let records: Vec<_> = (0..200).map(|number| Lines::of_run(1).line(number)).collect();
    let output = put(&standin, home(), "logs", &records).unwrap();
    let failed = output.request_responses().iter().filter(|answer| answer.error_code().is_some()).count();
    assert!((50..150).contains(&failed), "{failed} of 200");
    assert_eq!(usize::try_from(output.failed_put_count()), Ok(failed));
    let gaps = standin.gaps(1, 200);
    for (answer, number) in output.request_responses().iter().zip(0..) {
        assert_eq!(answer.error_code().is_some(), answer.record_id().is_none());
        assert_eq!(answer.error_code().is_none(), !gaps.contains(&number));
    }
    assert_eq!(standin.report().missing, failed as u64);
}

#[test]
fn every_fault_looks_like_the_service() {
    let standin = Standin::start(&Settings::default());
    let one = || put(&standin, home(), "logs", &[b"a POISON record".to_vec()]);
    let set = |faults: Faults| standin.faults(|present| *present = faults);
    let refusals = [
        (Refusal::AccessDenied, "AccessDeniedException"),
        (Refusal::Expired, "ExpiredTokenException"),
        (Refusal::InvalidKms, "InvalidKMSResourceException"),
        (Refusal::InvalidSource, "InvalidSourceException"),
        (Refusal::TooLarge, "RequestEntityTooLargeException"),
        (Refusal::NotFound, "ResourceNotFoundException"),
    ];
    for (refusal, code) in refusals {
        set(Faults { refusal: Some(refusal), ..Faults::default() });
        refused(one(), code, "");
    }
    set(Faults { throttles: 1.0, ..Faults::default() });
    refused(one(), "ServiceUnavailableException", "Slow down.");
    set(Faults { internal: 1.0, ..Faults::default() });
    refused(one(), "InternalFailure", "");
    set(Faults { poison: Some("POISON".into()), ..Faults::default() });
    refused(one(), "InvalidArgumentException", "");
    set(Faults { cut_before: 1.0, ..Faults::default() });
    assert!(matches!(one(), Err(SdkError::DispatchFailure(_))));
    assert_eq!(standin.report().total.records, 0, "nothing was accepted so far");
    set(Faults { cut_after: 1.0, ..Faults::default() });
    assert!(matches!(one(), Err(SdkError::DispatchFailure(_))));
    assert_eq!(standin.report().total.records, 1, "accepted, though the answer was lost");
    set(Faults { records_per_second: Some(1.0), ..Faults::default() });
    let output = put(&standin, home(), "logs", &[vec![b'x'], vec![b'y']]).unwrap();
    assert_eq!(output.failed_put_count(), 1, "one record a second");
}

#[test]
fn a_hanging_stream_accepts_nothing_until_it_is_released() {
    let standin = Standin::start(&Settings { any_stream: true, ..Settings::default() });
    standin.stream_faults("dead", |faults| faults.hang = true);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&standin, home(), "dead", &[b"x".to_vec()]));
        until("the call has come", || (standin.report().calls == 1).then_some(()));
        put(&standin, home(), "alive", &[b"x".to_vec()]).unwrap();
        assert_eq!(standin.report().stream("dead").records, 0);
        standin.stream_faults("dead", |faults| faults.hang = false);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(standin.report().stream("dead").records, 1);
}

#[test]
fn the_control_endpoint_does_what_the_handle_does() {
    let standin = Standin::start(&Settings { tls: false, ..Settings::default() });
    let address = standin.url().replace("http://", "");
    let post = |path: &str, json: &str| {
        let mut connection = crate::world::Connection::to(&address);
        connection.send("POST", &format!("/_standin/{path}"), &[], json.as_bytes()).unwrap()
    };
    assert_eq!(post("faults", r#"{"stream":"logs","faults":{"throttles":1.0}}"#).status, 200);
    assert_eq!(post("faults", r#"{"faults":{"no_such_fault":1}}"#).status, 400);
    refused(put(&standin, home(), "logs", &[b"x".to_vec()]), "ServiceUnavailableException", "Slow down.");
    assert_eq!(post("expect", r#"{"run":1,"lines":7}"#).status, 200);
    let report: crate::standin::Report = serde_json::from_slice(&post("report", "").body).unwrap();
    assert_eq!((report.missing, report.errors["ServiceUnavailableException"]), (7, 1));
    assert_eq!(post("reset", "").status, 200);
    assert_eq!(standin.report().missing, 0);
}
