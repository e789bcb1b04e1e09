//! ARNs: parsed, printed, and what they name.

use crate::access::policy::arn::{AccountRegion, Arn, Partition, ResourceType};

#[track_caller]
fn check(text: &str, expected: &ResourceType<'_>) {
    let arn: Arn = text.parse().unwrap();
    assert_eq!(arn.form(), *expected, "{text}");
    assert_eq!(arn.to_string(), text);
}

#[test]
fn an_arn_names_what_it_names() {
    check(
        "arn:aws:logs:us-east-1:111111111111:log-group:/aws/lambda/f",
        &ResourceType::LogGroup { name: "/aws/lambda/f", streams: false },
    );
    check(
        "arn:aws:logs:us-east-1:111111111111:log-group:g:*",
        &ResourceType::LogGroup { name: "g", streams: true },
    );
    check(
        "arn:aws:logs:us-east-1:111111111111:log-group:g:log-stream:2026/11/22/[$LATEST]a",
        &ResourceType::LogStream { group: "g", name: "2026/11/22/[$LATEST]a" },
    );
    check("arn:aws:logs:us-east-1:222222222222:destination:d", &ResourceType::Destination("d"));
    check(
        "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs",
        &ResourceType::DeliveryStream("logs"),
    );
    check("arn:aws-cn:kinesis:cn-north-1:222222222222:stream/cwl", &ResourceType::Stream("cwl"));
    check(
        "arn:aws:kinesis:us-east-1:222222222222:stream/cwl/consumer/c:1",
        &ResourceType::Consumer { stream: "cwl", name: "c:1" },
    );
    check("arn:aws:iam::222222222222:role/writer", &ResourceType::Role { path: "/", name: "writer" });
    check(
        "arn:aws-us-gov:iam::222222222222:role/service-role/a/writer",
        &ResourceType::Role { path: "/service-role/a/", name: "writer" },
    );
    check("arn:aws:iam::222222222222:user/carlos", &ResourceType::User { path: "/", name: "carlos" });
    check("arn:aws:iam::222222222222:root", &ResourceType::Account);
    check(
        "arn:aws:sts::222222222222:assumed-role/writer/s",
        &ResourceType::Session { role: "writer", name: "s" },
    );
    check("arn:aws:sts::222222222222:federated-user/u", &ResourceType::FederatedUser("u"));
    check("arn:aws:s3:::org-logs", &ResourceType::Bucket("org-logs"));
    check("arn:aws:s3:::org-logs/a:b/c", &ResourceType::Object { bucket: "org-logs", key: "a:b/c" });
    check("arn:aws:kms:us-east-1:222222222222:key/k", &ResourceType::Key("k"));
    check("arn:aws:kms:us-east-1:222222222222:alias/a", &ResourceType::KeyAlias("alias/a"));
    check("arn:aws:sqs:us-east-1:222222222222:trail", &ResourceType::Queue("trail"));
    check(
        "arn:aws:dynamodb:us-east-1:222222222222:table/standpipe-cwl",
        &ResourceType::Table("standpipe-cwl"),
    );
    check("arn:aws:iam::aws:policy/AdministratorAccess", &ResourceType::Other);
    check("arn:aws:lambda:us-east-1:222222222222:function:f", &ResourceType::Other);
}

#[test]
fn what_is_made_of_a_place_is_what_is_parsed() {
    let place =
        |region: &str| AccountRegion { region: region.to_owned(), account: "222222222222".to_owned() };
    let (here, china) = (place("us-east-1"), place("cn-north-1"));
    for arn in [
        here.log_group("g", true),
        here.log_stream("g", "*"),
        here.destination("d"),
        here.delivery_stream("s"),
        here.stream("s"),
        here.key("k"),
        here.queue("q"),
        here.table("t"),
        here.role("r"),
        here.root(),
        here.bucket("b"),
        here.object("b", "k/*"),
        china.object("b", "k"),
    ] {
        assert_eq!(arn.to_string().parse(), Ok(arn));
    }
    assert_eq!(china.bucket("b").to_string(), "arn:aws-cn:s3:::b");
    assert_eq!(here.role("r").to_string(), "arn:aws:iam::222222222222:role/r");
    assert_eq!(Partition::of_region("us-gov-west-1").as_str(), "aws-us-gov");
    assert_eq!(Partition::of_region("cn-northwest-1").dns_suffix(), "amazonaws.com.cn");
}

#[test]
fn what_is_no_arn_is_said() {
    let error = |text: &str| text.parse::<Arn>().unwrap_err().to_string();
    assert_eq!(
        error("logs"),
        "`logs` is not an ARN: expected `arn:partition:service:region:account:resource`"
    );
    assert_eq!(
        error("arn:aws:s3:::"),
        "`arn:aws:s3:::` is not an ARN: expected `arn:partition:service:region:account:resource`"
    );
    assert_eq!(
        error("arn:aws-iso:s3:::b"),
        "`arn:aws-iso:s3:::b` is of the partition `aws-iso`: expected `aws`, `aws-cn` or `aws-us-gov`"
    );
    assert_eq!(
        error("arn:aws:iam::1234:root"),
        "`arn:aws:iam::1234:root` has the account `1234`: expected twelve digits"
    );
}
