//! The EC2 instance, by version 2 of its metadata service.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html> and, for tags,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html>.

use std::collections::BTreeSet;

use super::facts::{FactValues, FactsFault, members};
use super::http::{LocalAnswer, ask};
use crate::causes::with_causes;
use crate::config::{LabelName, MetadataKind};

/// What the identity document tells: by which name, and where.
const MEMBERS: [(&str, &str); 7] = [
    ("account", "/accountId"),
    ("image", "/imageId"),
    ("instance_id", "/instanceId"),
    ("instance_type", "/instanceType"),
    ("private_ip", "/privateIp"),
    ("region", "/region"),
    ("zone", "/availabilityZone"),
];

/// What the names of tags begin with.
const TAGS: &str = "ec2.tags.";

const UNREACHED: &str = "in a container, let the answer reach it: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id ..`; where this is no EC2 instance, take `ec2` out of `metadata`";
const OFF: &str = "turn the service on: `aws ec2 modify-instance-metadata-options --http-endpoint enabled --instance-id ..`";
const FOREIGN: &str = "see what answers there: it is not EC2's metadata service";

/// Asks the service at `endpoint`, also for the tags among `uses`.
pub(super) async fn ec2(endpoint: &str, uses: &BTreeSet<LabelName>) -> Result<FactValues, FactsFault> {
    let endpoint = endpoint.trim_end_matches('/');
    let token = answer(
        "PUT",
        &format!("{endpoint}/latest/api/token"),
        &[("x-aws-ec2-metadata-token-ttl-seconds", "60")],
    )
    .await?
    .ok_or_else(|| fault(format!("`{endpoint}` has no tokens"), FOREIGN))?;
    let headers = [("x-aws-ec2-metadata-token", token.trim())];
    let document = format!("{endpoint}/latest/dynamic/instance-identity/document");
    let text = answer("GET", &document, &headers).await?.unwrap_or_default();
    let found: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| fault(format!("`{document}` answers no identity document: {error}"), FOREIGN))?;
    let mut values = members(MetadataKind::Ec2, &found, &MEMBERS);
    for name in uses {
        let Some(tag) = name.as_str().strip_prefix(TAGS) else { continue };
        let tag: String =
            percent_encoding::utf8_percent_encode(tag, percent_encoding::NON_ALPHANUMERIC).to_string();
        let url = format!("{endpoint}/latest/meta-data/tags/instance/{tag}");
        let value = answer("GET", &url, &headers).await?;
        values.extend(value.map(|value| (name.as_str().into(), value.into())));
    }
    Ok(values)
}

/// The body of an answer; none for what is not there.
async fn answer(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Option<String>, FactsFault> {
    let asked = ask(method, url, headers).await;
    let LocalAnswer { status, body } = asked.map_err(|error| {
        fault(format!("`{method} {url}` is not answered: {}", with_causes(&error)), UNREACHED)
    })?;
    match status {
        200 => Ok(Some(String::from_utf8_lossy(&body).into_owned())),
        404 => Ok(None),
        403 => Err(fault(format!("`{method} {url}` is answered 403"), OFF)),
        _ => Err(fault(format!("`{method} {url}` is answered {status}"), FOREIGN)),
    }
}

const fn fault(text: String, fix: &'static str) -> FactsFault {
    FactsFault { text, fix, is_final: false }
}
