//! Calls to AWS as commands of its CLI, for the owner of an account.

use crate::aws::{ApiCall, answer};
use crate::config::topology::AwsAccount;

/// Calls as commands for the account's owner, in order: what one answers and another needs is kept in a variable of the shell.
pub(super) fn commands(calls: &[ApiCall], account: &AwsAccount) -> Vec<String> {
    let mut commands = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let later = calls.get(index.saturating_add(1)..).unwrap_or_default();
        let mut paths: Vec<&str> = Vec::new();
        for (_, path) in later.iter().flat_map(ApiCall::answers).filter(|(by, _)| *by == call.operation) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        let mut command = command(call, account);
        for (operation, path) in call.answers() {
            let variable = format!("'\"${}\"'", variable(path));
            command = command.replace(&answer(operation, path), &variable);
        }
        if paths.is_empty() {
            commands.push(command.clone());
        }
        // Several values of one answer: only a look can be repeated, and only a look is asked for several.
        commands.extend(
            paths
                .iter()
                .map(|path| format!("{}=$({command} --query {} --output text)", variable(path), word(path))),
        );
    }
    commands
}

/// One call as a command, on one line.
fn command(call: &ApiCall, account: &AwsAccount) -> String {
    let operation = kebab(call.operation);
    let profile = account.profile.as_ref().map(|profile| format!(" --profile {}", word(profile)));
    format!(
        "aws {} {operation} --region {}{} --cli-input-json {}",
        call.service.cli(),
        account.place.region,
        profile.unwrap_or_default(),
        word(&call.input.to_string())
    )
}

/// `KeyMetadata.KeyId` as `key_id`.
fn variable(path: &str) -> String {
    kebab(path.rsplit('.').next().unwrap_or(path)).replace('-', "_")
}

/// `PutRolePolicy` as `put-role-policy`.
fn kebab(operation: &str) -> String {
    let mut kebab = String::with_capacity(operation.len() + 4);
    for letter in operation.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// A word of the shell in which nothing is replaced.
pub(super) fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::arn::AccountRegion;
    use crate::aws::AwsService;

    fn account() -> AwsAccount {
        AwsAccount {
            name: "app".to_owned(),
            place: AccountRegion { region: "us-east-1".to_owned(), account: "111111111111".to_owned() },
            profile: Some("app".to_owned()),
            assume_role: None,
            owner: None,
        }
    }

    #[test]
    fn what_one_call_answers_is_kept_for_the_next() {
        let input =
            json!({ "TargetKeyId": answer("CreateKey", "KeyMetadata.KeyId"), "AliasName": "alias/a" });
        let calls = [
            ApiCall::new(AwsService::Kms, "CreateKey", json!({})),
            ApiCall::new(AwsService::Kms, "CreateAlias", input),
        ];
        assert_eq!(
            commands(&calls, &account()),
            [
                "key_id=$(aws kms create-key --region us-east-1 --profile app --cli-input-json '{}' --query KeyMetadata.KeyId --output text)",
                r#"aws kms create-alias --region us-east-1 --profile app --cli-input-json '{"AliasName":"alias/a","TargetKeyId":"'"$key_id"'"}'"#,
            ]
        );
    }

    #[test]
    fn a_call_is_a_command_of_the_cli() {
        let check = |service, operation, input, command: &str| {
            assert_eq!(super::command(&ApiCall::new(service, operation, input), &account()), command);
        };
        check(
            AwsService::Logs,
            "DeleteDestination",
            json!({"destinationName": "it's"}),
            r#"aws logs delete-destination --region us-east-1 --profile app --cli-input-json '{"destinationName":"it'\''s"}'"#,
        );
        check(
            AwsService::S3,
            "PutBucketPolicy",
            json!({"Bucket": "b"}),
            r#"aws s3api put-bucket-policy --region us-east-1 --profile app --cli-input-json '{"Bucket":"b"}'"#,
        );
    }
}
