//! Roles that read log groups without a subscription.

use super::assumed::{AssumedRole, assumed};
use super::draft::PlanDraft;
use super::statements::{StatementBuilder, allow, document};
use crate::access::policy::document::PolicyDocument;
use crate::config::topology::LogGroupReader;

/// One role for each reader, in the account of the log groups.
pub(super) fn log_readers(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    for reader in &topology.log_readers {
        let id = format!("LogReader {}", reader.assumer.name);
        let role = AssumedRole {
            id: &id,
            sid: "StandpipeBecomesTheLogReader",
            description: "standpipe reads log groups".to_owned(),
            permissions: reads(reader),
        };
        assumed(draft, &reader.assumer, &reader.logs_account, role);
    }
}

/// What a log group is called when all of them are listed, and with its streams when it is read: `log-group::log-stream:` and
/// `log-group:NAME:log-stream:`. So a list cannot be allowed of some log groups.
fn reads(reader: &LogGroupReader) -> PolicyDocument {
    let place = &reader.logs_account.place;
    let groups = reader.log_groups.iter().map(|pattern| place.log_group(pattern, true));
    document([
        allow("StandpipeListsLogGroups", ["logs:DescribeLogGroups"]).on([place.log_group("*", false)]),
        allow("StandpipeReadsLogGroups", ["logs:FilterLogEvents"]).on(groups),
    ])
}
