//! Which pod a log file is of, by its path, as the kubelet names it. Pure.
//!
//! `pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`, and links to those: `containers/POD_NAMESPACE_CONTAINER-ID.log`. None of these names
//! may hold an `_`. What is before `pods` or `containers` depends on where the node's folder is mounted.

use super::facts::FactValues;

/// The pod of a log file, as values under dotted names; none: it is of no pod.
pub(crate) fn of_path(path: &str) -> Option<FactValues> {
    let mut parts = path.rsplit('/');
    let (file, folder, above) = (parts.next()?, parts.next()?, parts.next());
    let found = if folder == "containers" {
        of_link(file)?
    } else if parts.next() == Some("pods") {
        of_file(above?, folder, file)?
    } else {
        return None;
    };
    let named = |(name, value): (&str, &str)| (format!("kubernetes.{name}").into(), value.into());
    Some(found.into_iter().map(named).collect())
}

/// Whether a label tells of standpipe's own pod alone, not of its node.
pub(crate) fn is_of_own_pod(name: &str) -> bool {
    name.starts_with("kubernetes.") && name != "kubernetes.node"
}

fn of_file<'p>(pod: &'p str, container: &'p str, file: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
    let [namespace, pod, uid] = three(pod)?;
    // A rotated one has a time behind it.
    let (restart, _) = file.split_once(".log")?;
    let is_number = !restart.is_empty() && restart.bytes().all(|byte| byte.is_ascii_digit());
    let found = vec![
        ("namespace", namespace),
        ("pod", pod),
        ("pod_uid", uid),
        ("container", container),
        ("restart", restart),
    ];
    (is_number && !container.is_empty()).then_some(found)
}

fn of_link(file: &str) -> Option<Vec<(&'static str, &str)>> {
    let [pod, namespace, container] = three(file.strip_suffix(".log")?)?;
    let (container, id) = container.rsplit_once('-')?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = vec![("namespace", namespace), ("pod", pod), ("container", container), ("container_id", id)];
    (is_id && !container.is_empty()).then_some(found)
}

fn three(text: &str) -> Option<[&str; 3]> {
    let mut parts = text.split('_');
    let found = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && found.iter().all(|part| !part.is_empty())).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_kubelet_tells_the_pod_and_any_other_tells_none() {
        let check = |path: &str, expected: &[(&str, &str)]| {
            let found = of_path(path).unwrap_or_default();
            let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            let expected: Vec<(String, &str)> =
                expected.iter().map(|(name, value)| (format!("kubernetes.{name}"), *value)).collect();
            let expected: Vec<(&str, &str)> =
                expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            assert_eq!(found, expected, "{path}");
        };
        let uid = "8d1c0b6e-0b3c-4d53-9f2f-1c8fd3d5b1aa";
        let of_pod = [
            ("container", "web"),
            ("namespace", "shop"),
            ("pod", "front-7d9c.b"),
            ("pod_uid", uid),
            ("restart", "12"),
        ];
        check(&format!("/var/log/pods/shop_front-7d9c.b_{uid}/web/12.log"), &of_pod);
        check(&format!("/host/log/pods/shop_front-7d9c.b_{uid}/web/12.log.20260101-010203.gz"), &of_pod);
        let id = "0123456789abcdef".repeat(4);
        let of_link = [
            ("container", "side-car"),
            ("container_id", id.as_str()),
            ("namespace", "shop"),
            ("pod", "front-0"),
        ];
        check(&format!("/var/log/containers/front-0_shop_side-car-{id}.log"), &of_link);
        for path in [
            "",
            "/",
            "a.log",
            "/var/log/app/a.log",
            "/var/log/pods/shop_front/web/0.log",
            "/var/log/pods/a_b_c_d/web/0.log",
            "/var/log/pods/a_b_c/web/x.log",
            "/var/log/pods/a__c/web/0.log",
            "/var/log/pods/a_b_c/web/.log",
            "/var/log/other/a_b_c/web/0.log",
            "/var/log/containers/front-0_shop_web-0123.log",
            "/var/log/containers/front-0_shop_web.log",
        ] {
            check(path, &[]);
        }
    }
}
