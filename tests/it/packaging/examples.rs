//! Examples for ECS, Kubernetes and Docker: they parse, and `check` finds nothing wrong with the configuration in each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::root;
use crate::world::run_to_end;

fn example(path: &str) -> (PathBuf, String) {
    let path = root().join("packaging/examples").join(path);
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// Nothing is wrong with a configuration in this environment, and there is nothing to warn of.
#[track_caller]
fn checks(config: &Path, env: &BTreeMap<String, String>, place: &str) {
    checks_as(&["check", "--deny-warnings"], config, env, place);
}

#[track_caller]
fn checks_as(command: &[&str], config: &Path, env: &BTreeMap<String, String>, place: &str) {
    let home = tempfile::tempdir().unwrap();
    let arguments = [command, &["-c", config.to_str().unwrap()]].concat();
    let output = run_to_end(&arguments, b"", home.path(), env);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{place}: {words}");
}

#[track_caller]
fn text_checks(text: &str, place: &str) {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), text).unwrap();
    checks(file.path(), &BTreeMap::new(), place);
}

#[test]
fn the_default_configuration_of_packages_is_valid() {
    let path = root().join("packaging/standpipe.toml");
    checks(&path, &BTreeMap::new(), "packaging/standpipe.toml");
}

#[test]
fn task_definitions_of_ecs_configure_a_standpipe() {
    for (path, name) in [("ecs/sidecar.json", "standpipe"), ("ecs/firelens.json", "log_router")] {
        let (_, text) = example(path);
        let task: Value = serde_json::from_str(&text).unwrap();
        let containers = task["containerDefinitions"].as_array().unwrap();
        let standpipe = containers.iter().find(|container| container["name"] == name).unwrap();
        let pair = |variable: &Value| {
            let part = |key: &str| variable[key].as_str().unwrap().to_owned();
            (part("name"), part("value"))
        };
        let mut env: BTreeMap<_, _> = standpipe["environment"].as_array().unwrap().iter().map(pair).collect();
        // Which ECS sets.
        env.insert("ECS_CONTAINER_METADATA_URI_V4".into(), "http://169.254.170.2/v4/id".into());
        checks(&root().join("packaging/image.toml"), &env, path);
        // A stop drains before ECS ends it.
        let budget = &env["STANDPIPE__LIMITS__SHUTDOWN"];
        let seconds: u64 = budget.trim_end_matches('s').parse().unwrap();
        assert!(standpipe["stopTimeout"].as_u64().unwrap() > seconds, "{path}: {budget}");
    }
}

#[test]
fn manifests_of_kubernetes_configure_a_standpipe() {
    for path in ["kubernetes/daemonset.yaml", "kubernetes/sidecar.yaml"] {
        let (_, text) = example(path);
        let documents = YamlLoader::load_from_str(&text).unwrap();
        let kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
        let maps: Vec<&Yaml> =
            documents.iter().filter(|one| one["kind"].as_str() == Some("ConfigMap")).collect();
        assert_eq!(maps.len(), 1, "{path}: {kinds:?}");
        text_checks(maps[0]["data"]["standpipe.toml"].as_str().unwrap(), path);
        let workload =
            documents.iter().find(|one| one["spec"]["template"]["spec"].as_hash().is_some()).unwrap();
        let spec = &workload["spec"]["template"]["spec"];
        // The default budget is 30 s.
        assert!(spec["terminationGracePeriodSeconds"].as_i64().unwrap() > 30, "{path}");
        let containers = [&spec["containers"], &spec["initContainers"]]
            .map(|list| list.as_vec().cloned().unwrap_or_default());
        let containers = containers.concat();
        let standpipe = containers.iter().find(|one| one["name"].as_str() == Some("standpipe")).unwrap();
        assert_eq!(standpipe["securityContext"]["readOnlyRootFilesystem"].as_bool(), Some(true), "{path}");
        // What it mounts is a volume of the pod.
        let names = |list: &Yaml| -> Vec<String> {
            list.as_vec().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        let volumes = names(&spec["volumes"]);
        for mount in names(&standpipe["volumeMounts"]) {
            assert!(volumes.contains(&mount), "{path}: {mount}");
        }
    }
}

#[test]
fn the_compose_file_names_a_configuration_that_is_valid() {
    let (path, text) = example("compose/compose.yaml");
    let compose = &YamlLoader::load_from_str(&text).unwrap()[0];
    let file = compose["configs"]["standpipe"]["file"].as_str().unwrap();
    // It listens for everyone in its own network, which only Docker's daemon reaches: a warning says so.
    checks_as(&["check"], &path.parent().unwrap().join(file), &BTreeMap::new(), file);
    assert!(ports(compose).iter().all(|port| port.starts_with("127.0.0.1:")), "{:?}", ports(compose));
    let standpipe = &compose["services"]["standpipe"];
    assert_eq!(standpipe["configs"][0]["target"].as_str(), Some("/etc/standpipe/standpipe.toml"));
    assert_eq!(standpipe["read_only"].as_bool(), Some(true));
}

/// What the standpipe of a compose file publishes on its host.
fn ports(compose: &Yaml) -> Vec<&str> {
    let ports = compose["services"]["standpipe"]["ports"].as_vec().unwrap();
    ports.iter().map(|port| port.as_str().unwrap()).collect()
}
