//! Who is asked, as the environment says.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where answers come from, as the environment says.
#[derive(Clone, Debug, Default)]
pub struct MetadataEndpoints {
    /// The instance's metadata service; none: the environment turns it off.
    pub(super) ec2: Option<String>,
    /// The metadata of the container; none: this is no ECS task.
    pub(super) ecs: Option<String>,
    /// What the pod's environment tells, by names after the dot.
    pub(super) pod: BTreeMap<&'static str, String>,
    /// The labels of the pod, as the downward API writes them.
    pub(super) pod_labels: PathBuf,
    /// The pod's namespace, as its service account has it.
    pub(super) pod_namespace: PathBuf,
}

/// The variables of a pod: the names that the downward API's own pages give them.
///
/// <https://kubernetes.io/docs/tasks/inject-data-application/environment-variable-expose-pod-information/>
const OF_POD: [(&str, &[&str]); 5] = [
    ("node", &["MY_NODE_NAME", "NODE_NAME"]),
    ("pod", &["MY_POD_NAME", "POD_NAME"]),
    ("namespace", &["MY_POD_NAMESPACE", "POD_NAMESPACE"]),
    ("pod_uid", &["MY_POD_UID", "POD_UID"]),
    ("container", &["CONTAINER_NAME"]),
];

impl MetadataEndpoints {
    /// Reads these variables.
    #[must_use]
    pub fn of_environment(environment: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| environment.get(name).filter(|value| !value.trim().is_empty()).cloned();
        let is_off = get("AWS_EC2_METADATA_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true"));
        let is_ipv6 = get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if is_ipv6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
        let ec2 = get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| usual.to_owned());
        let first = |names: &[&str]| names.iter().find_map(|name| get(name));
        Self {
            ec2: (!is_off).then_some(ec2),
            ecs: get("ECS_CONTAINER_METADATA_URI_V4"),
            pod: OF_POD.iter().filter_map(|(name, variables)| Some((*name, first(variables)?))).collect(),
            pod_labels: "/etc/podinfo/labels".into(),
            pod_namespace: "/var/run/secrets/kubernetes.io/serviceaccount/namespace".into(),
        }
    }
}
