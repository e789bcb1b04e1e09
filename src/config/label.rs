//! The dotted names that a source's events may be labelled with: `fields.team`, `ec2.zone`.

use std::fmt;
use std::sync::Arc;

use super::problem::{alternatives, nearest};

/// Whom standpipe asks where it runs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MetadataKind {
    /// The EC2 instance.
    Ec2,
    /// The ECS task and its container.
    Ecs,
    /// The pod: of a file by its path, and standpipe's own.
    Kubernetes,
}

/// A dotted name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LabelName(Arc<str>);

/// What the names of a source's own fields begin with.
const OWN: &str = "fields";

impl MetadataKind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Ec2, Self::Ecs, Self::Kubernetes];

    /// Its name in the configuration, and what the names of what it tells begin with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Ecs => "ecs",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// What it tells, by names after the dot.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Ec2 => {
                &["account", "image", "instance_id", "instance_type", "private_ip", "region", "zone"]
            }
            Self::Ecs => &[
                "account",
                "cluster",
                "container",
                "family",
                "launch_type",
                "region",
                "revision",
                "task_arn",
                "task_id",
                "zone",
            ],
            Self::Kubernetes => {
                &["container", "container_id", "namespace", "node", "pod", "pod_uid", "restart"]
            }
        }
    }

    /// What it tells by names of somebody's choice: `ec2.tags.team`.
    pub(super) const fn family(self) -> Option<&'static str> {
        match self {
            Self::Ec2 => Some("tags"),
            Self::Ecs => None,
            Self::Kubernetes => Some("labels"),
        }
    }
}

impl LabelName {
    /// The name of a field of a source's own.
    #[must_use]
    pub fn of_field(name: &str) -> Self {
        Self(format!("{OWN}.{name}").into())
    }

    /// Reads a dotted name; none where it does not begin as one.
    ///
    /// # Errors
    /// Says what there is, if its second part is none of it.
    pub(super) fn parse(text: &str) -> Option<Result<Self, String>> {
        let (first, rest) = text.split_once('.')?;
        if first == OWN {
            return Some(if rest.is_empty() { Err(unknown(text, None)) } else { Ok(Self(text.into())) });
        }
        let kind = MetadataKind::ALL.into_iter().find(|kind| kind.name() == first)?;
        let is_chosen = kind.family().is_some_and(|family| {
            rest.strip_prefix(family).and_then(|rest| rest.strip_prefix('.')).is_some_and(|it| !it.is_empty())
        });
        let is_known = is_chosen || kind.names().contains(&rest);
        Some(if is_known { Ok(Self(text.into())) } else { Err(unknown(text, Some(kind))) })
    }

    /// The dotted name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the source's own field that it stands for, if it does.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.0.strip_prefix(OWN)?.strip_prefix('.')
    }

    /// Who tells it; none: the source's own field.
    #[must_use]
    pub fn kind(&self) -> Option<MetadataKind> {
        let first = self.0.split('.').next()?;
        MetadataKind::ALL.into_iter().find(|kind| kind.name() == first)
    }
}

impl fmt::Display for LabelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sentence about a name that nobody tells.
fn unknown(text: &str, kind: Option<MetadataKind>) -> String {
    let Some(kind) = kind else {
        return format!("names an unknown field `{{{text}}}`; write `{{{OWN}.NAME}}`");
    };
    let told = || kind.names().iter().map(|name| format!("{}.{name}", kind.name()));
    let names: Vec<String> =
        told().chain(kind.family().map(|it| format!("{}.{it}.NAME", kind.name()))).collect();
    let names = || names.iter().map(String::as_str);
    match nearest(text, names()) {
        Some(near) => format!("names an unknown field `{{{text}}}`; did you mean `{{{near}}}`?"),
        None => format!(
            "names an unknown field `{{{text}}}`; of `{}` there are {}",
            kind.name(),
            alternatives(names())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_name_is_one_that_somebody_tells() {
        let check = |text: &str, expected: Option<Result<(), &str>>| {
            let parsed = LabelName::parse(text).map(|parsed| parsed.map(drop));
            assert_eq!(parsed, expected.map(|it| it.map_err(str::to_owned)), "{text}");
        };
        check("owner", None);
        check("planet.name", None);
        for name in
            ["fields.team", "fields.a.b", "ec2.zone", "ec2.tags.a.b", "ecs.task_arn", "kubernetes.labels.app"]
        {
            check(name, Some(Ok(())));
        }
        check("ec2.zon", Some(Err("names an unknown field `{ec2.zon}`; did you mean `{ec2.zone}`?")));
        check("fields.", Some(Err("names an unknown field `{fields.}`; write `{fields.NAME}`")));
        assert!(
            LabelName::parse("ec2.tags.").unwrap().is_err()
                && LabelName::parse("ecs.tags.a").unwrap().is_err()
        );
    }
}
