//! The pod that standpipe runs in, by the downward API: variables, and the file of its labels.

use std::fs;

use super::endpoints::MetadataEndpoints;
use super::facts::FactValues;

/// Reads what the pod tells; nothing where it tells nothing. Blocks for moments.
pub(super) fn pod(endpoints: &MetadataEndpoints) -> FactValues {
    let named = |name: &str, value: &str| (format!("kubernetes.{name}").into(), value.into());
    let mut values: FactValues = endpoints.pod.iter().map(|(name, value)| named(name, value)).collect();
    if !endpoints.pod.contains_key("namespace")
        && let Ok(namespace) = fs::read_to_string(&endpoints.pod_namespace)
    {
        values.extend([named("namespace", namespace.trim())]);
    }
    let labels = fs::read_to_string(&endpoints.pod_labels).unwrap_or_default();
    for (name, value) in labels.lines().filter_map(|line| line.split_once('=')) {
        // Values are quoted as Go does; those of labels need no escape.
        let value = value.trim().trim_matches('"');
        values.extend([named(&format!("labels.{name}"), value)]);
    }
    values
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_pod_tells_of_itself_by_variables_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let (labels, namespace) = (folder.path().join("labels"), folder.path().join("namespace"));
        fs::write(&labels, "app.kubernetes.io/name=\"shop\"\ntier=\"web\"\n").unwrap();
        fs::write(&namespace, "orders").unwrap();
        let environment = [("POD_NAME", "shop-1"), ("NODE_NAME", "n1"), ("POD_UID", "")];
        let environment: BTreeMap<String, String> =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let endpoints = MetadataEndpoints {
            pod_labels: labels,
            pod_namespace: namespace,
            ..MetadataEndpoints::of_environment(&environment)
        };
        let found = pod(&endpoints);
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
        let expected = [
            ("kubernetes.labels.app.kubernetes.io/name", "shop"),
            ("kubernetes.labels.tier", "web"),
            ("kubernetes.namespace", "orders"),
            ("kubernetes.node", "n1"),
            ("kubernetes.pod", "shop-1"),
        ];
        assert_eq!(found, expected);
    }
}
