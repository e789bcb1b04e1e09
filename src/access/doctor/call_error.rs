//! What to do about a call that failed.

use crate::aws::{CallError, NoAnswer};

/// What to do about a refusal that is not about a permission.
pub(super) fn advice(refused: &CallError) -> String {
    match refused {
        CallError::Credentials { fix: Some(fix), .. } => fix.clone(),
        CallError::Unanswered { how, .. } => match how {
            NoAnswer::Refused => {
                "nothing listens there: correct `endpoint_url`, or the proxy's address in HTTPS_PROXY"
            }
            NoAnswer::Certificate => {
                "if your own proxy or endpoint ends TLS, set `ca_file` to its CA certificate"
            }
            NoAnswer::Name => {
                "check that `region` is an AWS region, and that this host's resolver works; within a VPC, turn on DNS support, and create an interface endpoint with private DNS if there is no route out; or set HTTPS_PROXY to a proxy, which then resolves the name"
            }
            NoAnswer::ProxyName => "correct the proxy's name in HTTPS_PROXY, or the host's resolver",
            NoAnswer::Other => {
                "check that outbound port 443 is open, or set HTTPS_PROXY; within a VPC, create an interface endpoint"
            }
        }
        .to_owned(),
        CallError::Answered { .. } | CallError::Credentials { fix: None, .. } => "see the message".to_owned(),
        CallError::Unreadable(_) => {
            "see what answers there: an endpoint or a proxy of your own may answer what AWS does not".to_owned()
        }
        CallError::Unusable(_) => "correct its settings for AWS".to_owned(),
    }
}
