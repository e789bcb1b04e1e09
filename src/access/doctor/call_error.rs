//! What to do about a call that failed.

use crate::aws::{CallError, NoAnswer};

/// What to do about a refusal that is not about a permission.
pub(super) fn advice(refused: &CallError) -> String {
    match refused {
        CallError::Credentials { fix: Some(fix), .. } => fix.clone(),
        CallError::Unanswered { how, .. } => match how {
            NoAnswer::Refused => {
                "nobody listens there: correct `endpoint_url`, or the proxy's address in HTTPS_PROXY"
            }
            NoAnswer::Certificate => {
                "where a proxy or an endpoint of your own ends TLS, name its authority's certificate as `ca_file`"
            }
            NoAnswer::Name => {
                "see that `region` is a region of AWS, and that this host's resolver answers for it; within a VPC, turn DNS \
                 support on, and make an interface endpoint with private DNS where there is no way out; or set HTTPS_PROXY to a \
                 proxy, which then resolves it"
            }
            NoAnswer::ProxyName => "correct the proxy's name in HTTPS_PROXY, or the host's resolver",
            NoAnswer::Other => {
                "see that port 443 is open outwards, or set HTTPS_PROXY; within a VPC, make an interface endpoint"
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
