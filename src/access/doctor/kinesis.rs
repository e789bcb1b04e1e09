//! Whether a Kinesis stream can be read, and its lease table can be shared. Nothing is read, and nothing is written.

use serde_json::{Value, json};

use super::call_error::advice;
use crate::access::doctor::role::document;
use crate::access::policy::document::{Negatable, Statement};
use crate::access::report::{Fix, HopFinding, MissingPolicy, Severity};
use crate::arn::Arn;
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions};
use crate::config::{KinesisSource, LeaseSettings};
use crate::event::Origin;

/// What a reader of a stream does.
const STREAM_ACTIONS: [&str; 3] = ["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"];

/// What a reader that is subscribed to shards does beside it, with its consumer.
const CONSUMER_ACTIONS: [&str; 2] = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];

/// What a worker does with a lease table.
const TABLE_ACTIONS: [&str; 7] = [
    "dynamodb:DescribeTable",
    "dynamodb:CreateTable",
    "dynamodb:Scan",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
];

/// Looks at what a source of a stream needs.
pub(super) async fn check(source: &KinesisSource, origin: &Origin) -> Vec<HopFinding> {
    let whose = format!("source `{}`", origin.source);
    let region = || Some(source.region().to_owned());
    let mut findings = Vec::new();
    match ApiClient::with(&whose, &source.aws, region(), origin).await {
        Ok(client) => of_stream(&client.at(source.aws.endpoint_url.clone()), source, &mut findings).await,
        Err(error) => findings.push(unusable(&CallError::from(error))),
    }
    let Some(leases) = &source.leases else { return findings };
    let of_table = if leases.aws.region.is_some() { None } else { region() };
    match ApiClient::with(&whose, &leases.aws, of_table, origin).await {
        Ok(client) => of_leases(&client.at(leases.aws.endpoint_url.clone()), leases, &mut findings).await,
        Err(error) => findings.push(unusable(&CallError::from(error))),
    }
    findings
}

fn unusable(refused: &CallError) -> HopFinding {
    HopFinding::failure("endpoint", refused.to_string()).fix(advice(refused))
}

async fn principal(client: &ApiClient, what: &str, findings: &mut Vec<HopFinding>) -> Option<String> {
    match client.prove().await {
        Ok(principal) => {
            findings.push(HopFinding::ok("credentials", format!("found: `{principal}`")));
            Some(principal)
        }
        Err(refused) => {
            let why = format!("{what} cannot be read without credentials");
            let failure = HopFinding::failure("credentials", refused.to_string());
            findings.push(failure.why(why).fix(advice(&refused)));
            None
        }
    }
}

async fn of_stream(client: &ApiClient, source: &KinesisSource, findings: &mut Vec<HopFinding>) {
    let Some(principal) = principal(client, "its stream", findings).await else { return };
    let stream = &source.stream_arn;
    let ask = |operation, input| {
        let call = ApiCall::new(AwsService::Kinesis, operation, input);
        async move { client.call_with(&call, CallOptions::default()).await }
    };
    let refused = |refused: &CallError| of_refusal("stream", stream, &STREAM_ACTIONS, &principal, refused);
    let listed = match ask("ListShards", json!({ "StreamARN": stream })).await {
        Ok(listed) => listed,
        Err(error) => return findings.push(refused(&error)),
    };
    let shards = listed.get("Shards").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let open = |shard: &&Value| shard.pointer("/SequenceNumberRange/EndingSequenceNumber").is_none();
    let n_open = shards.iter().filter(open).count();
    let seen = format!("`{stream}` has {} shards, {n_open} of them open", shards.len());
    findings.push(HopFinding::ok("stream", seen));
    let Some(shard) = shards.iter().find_map(|shard| shard.get("ShardId")?.as_str()) else { return };
    if let Some(name) = &source.fan_out {
        let reader = ConsumerCheck { client, stream, name, principal: &principal };
        return findings.extend(reader.check(shard).await);
    }
    let input = json!({ "StreamARN": stream, "ShardId": shard, "ShardIteratorType": "LATEST" });
    let iterator = match ask("GetShardIterator", input).await {
        Ok(iterator) => iterator.get("ShardIterator").cloned().unwrap_or_default(),
        Err(error) => return findings.push(refused(&error)),
    };
    // With the newest place of a shard, an answer holds nothing that would be missed.
    let input = json!({ "StreamARN": stream, "ShardIterator": iterator, "Limit": 1 });
    findings.push(match ask("GetRecords", input).await {
        Ok(_) => HopFinding::ok("records", format!("`{shard}` can be read")),
        Err(error) if error.code() == Some("ProvisionedThroughputExceededException") => {
            HopFinding::warning("records", format!("`{shard}`: {error}"))
                .why("all readers of a shard share five calls and 2 MiB a second")
                .fix("read it by fewer consumers, or split its shards")
        }
        Err(error) => refused(&error),
    });
}

/// A consumer that shards are subscribed to with.
struct ConsumerCheck<'a> {
    client: &'a ApiClient,
    stream: &'a str,
    name: &'a str,
    principal: &'a str,
}

impl ConsumerCheck<'_> {
    /// Whether it is registered, and may subscribe: nothing is registered, and no subscription is ended.
    async fn check(&self, shard: &str) -> Vec<HopFinding> {
        const CHECK: &str = "consumer";
        let Self { stream, name, .. } = self;
        let input = json!({ "StreamARN": stream, "ConsumerName": name });
        let described = match self.ask("DescribeStreamConsumer", input).await {
            Ok(described) => described,
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                let seen = format!("`{stream}` has no consumer `{name}`: standpipe registers it");
                return vec![HopFinding::ok(CHECK, seen)];
            }
            Err(error) => return vec![self.refused(&error)],
        };
        let text = |key: &str| described.pointer(key).and_then(Value::as_str).unwrap_or_default();
        let (arn, status) =
            (text("/ConsumerDescription/ConsumerARN"), text("/ConsumerDescription/ConsumerStatus"));
        let seen = format!("consumer `{name}` is {status}");
        if status != "ACTIVE" {
            let waiting = HopFinding::warning(CHECK, seen).why("it can subscribe once it is ACTIVE");
            return vec![waiting.fix("wait until it is ACTIVE")];
        }
        // A dry run is answered by an error, whatever it finds, and ends nobody's subscription.
        let position = json!({ "Type": "LATEST" });
        let input =
            json!({ "ConsumerARN": arn, "ShardId": shard, "StartingPosition": position, "DryRun": true });
        let call = ApiCall::new(AwsService::Kinesis, "SubscribeToShard", input);
        let CallOptions { deadline, .. } = CallOptions::default();
        let subscribed = match self.client.stream(&call, deadline, deadline).await {
            Err(error) if error.code() == Some("DryRunOperationException") => {
                HopFinding::ok("records", format!("`{shard}` can be subscribed to"))
            }
            // It is subscribed to, by whoever reads it.
            Err(error) if error.code() == Some("ResourceInUseException") => {
                HopFinding::ok("records", format!("`{shard}` is subscribed to"))
            }
            Err(error) => self.refused(&error),
            // Who knows no dry runs has begun to send; nothing of it is read.
            Ok(_) => HopFinding::ok("records", format!("`{shard}` can be subscribed to")),
        };
        vec![HopFinding::ok(CHECK, seen), subscribed]
    }

    async fn ask(&self, operation: &'static str, input: Value) -> Result<Value, CallError> {
        let call = ApiCall::new(AwsService::Kinesis, operation, input);
        self.client.call_with(&call, CallOptions::default()).await
    }

    fn refused(&self, error: &CallError) -> HopFinding {
        let arn = format!("{}/consumer/{}:*", self.stream, self.name);
        of_refusal("consumer", &arn, &CONSUMER_ACTIONS, self.principal, error)
    }
}

async fn of_leases(client: &ApiClient, leases: &LeaseSettings, findings: &mut Vec<HopFinding>) {
    let Some(principal) = principal(client, "its lease table", findings).await else { return };
    let table = &leases.table;
    let call = ApiCall::new(AwsService::DynamoDb, "DescribeTable", json!({ "TableName": table }));
    let refused = |refused: &CallError| of_refusal("leases", table, &TABLE_ACTIONS, &principal, refused);
    match client.call_with(&call, CallOptions::default()).await {
        Ok(described) => {
            let finding = of_shape(table, &described);
            let is_well = finding.level == Severity::Ok;
            findings.push(finding);
            if is_well {
                findings.push(of_rows(client, table).await.unwrap_or_else(|error| refused(&error)));
            }
        }
        Err(error) if error.code() == Some("ResourceNotFoundException") => {
            findings.push(HopFinding::ok(
                "leases",
                format!("there is no table `{table}`: the first worker creates it"),
            ));
        }
        Err(error) => findings.push(refused(&error)),
    }
}

fn of_shape(table: &str, described: &Value) -> HopFinding {
    let keys = described.pointer("/Table/KeySchema").and_then(Value::as_array);
    let names: Vec<&str> =
        keys.into_iter().flatten().filter_map(|key| key.get("AttributeName")?.as_str()).collect();
    if names == ["leaseKey"] {
        return HopFinding::ok("leases", format!("`{table}` is a lease table"));
    }
    HopFinding::failure(
        "leases",
        format!("`{table}` has the key `{}`, and no lease table has", names.join("` and `")),
    )
    .why("workers share leases by the form of version 2 of the Kinesis Client Library")
    .fix("name another `leases.table`")
}

/// Who has how many leases.
async fn of_rows(client: &ApiClient, table: &str) -> Result<HopFinding, CallError> {
    let call = ApiCall::new(AwsService::DynamoDb, "Scan", json!({ "TableName": table, "Limit": 1_000 }));
    let scanned = client.call_with(&call, CallOptions::default()).await?;
    let rows = scanned.get("Items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let owners = rows.iter().filter_map(|row| row.pointer("/leaseOwner/S")?.as_str());
    let owners: std::collections::BTreeSet<&str> = owners.collect();
    let shown: Vec<&str> = owners.iter().copied().take(5).collect();
    let of = if shown.is_empty() { String::new() } else { format!(": `{}`", shown.join("`, `")) };
    Ok(HopFinding::ok("lease_owners", format!("{} leases of {} workers{of}", rows.len(), owners.len())))
}

fn of_refusal(
    check: &'static str,
    what: &str,
    actions: &[&'static str],
    principal: &str,
    refused: &CallError,
) -> HopFinding {
    let failure =
        HopFinding::failure(check, format!("`{what}`: {refused}")).why("without it, no shard is read");
    match refused.code() {
        Some(code) if code.contains("AccessDenied") => failure.fix(grant(what, actions, principal)),
        Some("ResourceNotFoundException") => failure.fix("correct `stream_arn`, or create the stream"),
        Some(_) | None => failure.fix(advice(refused)),
    }
}

fn grant(what: &str, actions: &[&'static str], principal: &str) -> Fix {
    let is_arn = what.parse::<Arn>().is_ok();
    let resource = if is_arn { what.to_owned() } else { format!("arn:aws:dynamodb:*:*:table/{what}") };
    let mut statement = Statement::allow("StandpipeKinesis", actions.iter().copied());
    statement.resources = Some(Negatable::Is(vec![resource.clone()]));
    let listed: Vec<String> = actions.iter().map(|action| format!("`{action}`")).collect();
    Fix {
        text: format!(
            "allow {} on `{resource}` to `{principal}`, and `kms:Decrypt` if a key of KMS encrypts it",
            listed.join(", ")
        ),
        policies: vec![MissingPolicy {
            at: format!("a policy of `{principal}`"),
            document: document(statement),
        }],
        ..Fix::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_another_form_is_refused() {
        let of =
            |key: &str| of_shape("t", &json!({ "Table": { "KeySchema": [{ "AttributeName": key }] } })).level;
        assert_eq!((of("leaseKey"), of("ShardID")), (Severity::Ok, Severity::Failure));
    }

    #[test]
    fn a_denial_names_the_actions_and_the_stream() {
        let stream = "arn:aws:kinesis:eu-west-1:222222222222:stream/cwl";
        let denied =
            CallError::Answered { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
        let finding = of_refusal("stream", stream, &STREAM_ACTIONS, "arn:aws:iam::1:role/r", &denied);
        let text = finding.fix.unwrap().text;
        assert!(text.contains("`kinesis:GetRecords`") && text.contains(stream), "{text}");
        let consumer = format!("{stream}/consumer/standpipe:*");
        let text = of_refusal("consumer", &consumer, &CONSUMER_ACTIONS, "r", &denied).fix.unwrap().text;
        assert!(text.contains("`kinesis:SubscribeToShard`") && text.contains(&consumer), "{text}");
        let of_table = of_refusal("leases", "cwl", &TABLE_ACTIONS, "r", &denied).fix.unwrap().text;
        assert!(of_table.contains("`dynamodb:UpdateItem`") && of_table.contains("table/cwl"), "{of_table}");
    }
}
