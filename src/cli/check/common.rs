//! Settings that sources and sinks have in common.

use super::branch::Branch;
use crate::config::{AssumeRole, AwsSettings, TooLong, show_duration};

pub(super) fn of_roles(aws: &AwsSettings) -> impl Iterator<Item = Branch> {
    aws.assume_role.iter().map(|role| Branch::leaf(of_role(role)))
}

pub(super) fn of_role(role: &AssumeRole) -> String {
    let external_id = if role.external_id.is_some() { ", external id" } else { "" };
    let sts = role.sts_endpoint_url.as_ref().map_or_else(String::new, |url| format!(", STS at {url}"));
    let region = role.region.as_ref().map_or_else(String::new, |region| format!(", STS in {region}"));
    let duration = show_duration(role.duration);
    format!("as {}, session {}, for {duration}{external_id}{region}{sts}", role.arn, role.session_name)
}

pub(super) const fn of_too_long(too_long: TooLong) -> &'static str {
    match too_long {
        TooLong::Split => "split",
        TooLong::Truncate => "truncated",
        TooLong::DeadLetter => "dead letters",
    }
}
