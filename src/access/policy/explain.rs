//! Answers in words, and how far a statement is from a request.

use std::fmt::{self, Display, Formatter};

use super::decision::{
    AccessDecision, ContextValue, Evaluation, MissingAllow, MissingReason, PolicyType, StatementMismatch,
    StatementRef, UnknownFact,
};
use super::document::{Negatable, PrincipalType, Principals};
use super::pattern::WildcardPattern;
use super::read::UnreadPart;

/// How far a statement is from a request: the fewer elements are at fault, and the less these differ, the nearer. Endless when it
/// is about another service.
pub(super) fn strangeness(faults: &[StatementMismatch]) -> f64 {
    faults.iter().map(|fault| 1.0 + distance(fault)).sum()
}

/// From 0, nearly the same, to 1.
fn distance(fault: &StatementMismatch) -> f64 {
    match fault {
        StatementMismatch::Principal { caller, element } => {
            nearest(caller, &entries(element.written())).map_or(1.0, |(_, distance)| distance)
        }
        StatementMismatch::Action { asked, element } => {
            let service = |action: &str| action.split(':').next().unwrap_or_default().to_ascii_lowercase();
            let same = element.written().iter().any(|action| service(action) == service(asked));
            if same || matches!(element, Negatable::Not(_)) { 0.5 } else { f64::INFINITY }
        }
        StatementMismatch::Resource { asked, element } => {
            nearest(asked, element.written()).map_or(1.0, |(_, distance)| distance)
        }
        StatementMismatch::Condition { .. } => 0.0,
    }
}

/// The text that differs least from `asked`, and by how much.
fn nearest<'a>(asked: &str, texts: &'a [String]) -> Option<(&'a str, f64)> {
    let distances =
        texts.iter().map(|text| (text.as_str(), 1.0 - strsim::normalized_levenshtein(asked, text)));
    distances.min_by(|(_, one), (_, other)| one.total_cmp(other))
}

impl Display for Evaluation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.decision.fmt(f)?;
        if self.unknowns.is_empty() {
            return Ok(());
        }
        f.write_str("; not checked: ")?;
        list(
            f,
            ", ",
            self.unknowns.iter().map(|unknown| {
                if let UnknownFact::Unseen(side) = unknown { side.to_string() } else { unknown.to_string() }
            }),
        )
    }
}

impl Display for AccessDecision {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { by } if by.is_empty() => f.write_str("allowed: it is the account's root user"),
            Self::Allowed { by } => {
                f.write_str("allowed by ")?;
                list(f, " and ", by)
            }
            Self::Denied { by } => write!(f, "denied by {by}"),
            Self::Missing { gaps } => {
                f.write_str("not allowed: ")?;
                list(f, "; ", gaps)
            }
            Self::Undecided { on, gaps } => {
                f.write_str("cannot tell: ")?;
                list(f, "; ", on.iter().map(ToString::to_string).chain(gaps.iter().map(ToString::to_string)))
            }
        }
    }
}

impl Display for PolicyType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "the caller's policies",
            Self::Resource => "the resource's policy",
            Self::Boundary => "the caller's permissions boundary",
            Self::Session => "the session's policies",
            Self::ServiceControl => "the service control policies",
            Self::ResourceControl => "the resource control policies",
        })
    }
}

impl Display for StatementRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.number)?;
        if let Some(sid) = &self.sid {
            write!(f, " `{sid}`")?;
        }
        write!(f, " of {}", self.policy)
    }
}

impl Display for MissingAllow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let side = self.side;
        match &self.lack {
            MissingReason::NotSupported { service, owner } => write!(
                f,
                "`{service}` has no resource policies, so only identities of account {owner} can be allowed: \
                 assume a role there"
            ),
            MissingReason::NoPolicy => match side {
                PolicyType::Resource => f.write_str("the resource has no policy"),
                PolicyType::Identity => f.write_str("the caller has no policy"),
                PolicyType::Boundary
                | PolicyType::Session
                | PolicyType::ServiceControl
                | PolicyType::ResourceControl => {
                    write!(f, "{side} are empty")
                }
            },
            MissingReason::NoStatement => write!(f, "{side}: no statement allows anything like it"),
            MissingReason::Nearest { cite, faults } => {
                write!(f, "{side}: nearest is {cite}, which ")?;
                list(f, ", and ", faults)
            }
            MissingReason::Delegated { cite } => {
                write!(f, "{cite} names the account, which leaves it to the caller's own policies")
            }
        }
    }
}

impl Display for StatementMismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal { caller, element } => {
                let entries = entries(element.written());
                named(f, element, "principal", caller, &entries)?;
                principal_hint(f, &entries)
            }
            Self::Action { asked, element } => named(f, element, "action", asked, element.written()),
            Self::Resource { asked, element } => {
                named(f, element, "resource", asked, element.written())?;
                match nearest(asked, element.written()).and_then(|(text, _)| difference(asked, text)) {
                    Some(difference) => write!(f, " ({difference})"),
                    None => Ok(()),
                }
            }
            Self::Condition { operator, key, wanted, found } => {
                write!(f, "asks for `{key}` by `{operator}` ")?;
                some(f, wanted)?;
                match found {
                    ContextValue::Absent => f.write_str(", which the request does not carry"),
                    ContextValue::Values(values) => {
                        f.write_str(", and the request has ")?;
                        some(f, values)
                    }
                }
            }
        }
    }
}

impl Display for UnknownFact {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen(side) => write!(f, "{side} could not be seen"),
            Self::Unread { policy, part: UnreadPart { number: Some(number), reason } } => {
                write!(f, "statement {number} of {policy} cannot be read: {reason}")
            }
            Self::Unread { policy, part: UnreadPart { number: None, reason } } => {
                write!(f, "{policy} cannot be read: {reason}")
            }
            Self::Key { cite, key } => write!(f, "{cite} asks for `{key}`, which is unknown here"),
            Self::CanonicalUser { cite } => {
                write!(f, "{cite} names a canonical id, and its owner is unknown here")
            }
            Self::NotPrincipal { cite } => write!(
                f,
                "{cite} denies all but those it names, and it names the caller without its account or role: \
                 some services deny it then"
            ),
        }
    }
}

/// What an element names, and that it is not what is asked for.
fn named<T>(
    f: &mut Formatter<'_>,
    element: &Negatable<T>,
    what: &str,
    asked: &str,
    entries: &[String],
) -> fmt::Result {
    match (element, nearest(asked, entries)) {
        (Negatable::Not(_), _) => write!(f, "is about all but the {what} `{asked}`"),
        (Negatable::Is(_), None) => write!(f, "names no {what}"),
        (Negatable::Is(_), Some((nearest, _))) => {
            write!(f, "names the {what} `{nearest}`")?;
            match entries.len() {
                0 | 1 => {}
                2 => f.write_str(" and another")?,
                more => write!(f, " and {} others", more.saturating_sub(1))?,
            }
            write!(f, ", not `{asked}`")
        }
    }
}

/// What keeps an entry from meaning anybody.
fn principal_hint(f: &mut Formatter<'_>, entries: &[String]) -> fmt::Result {
    let is_id = |entry: &&String| {
        entry.len() >= 16 && (entry.starts_with("AROA") || entry.starts_with("AIDA")) && !entry.contains(':')
    };
    if let Some(id) = entries.iter().find(is_id) {
        return write!(f, " (`{id}` is the remains of a deleted user or role: name its successor's ARN)");
    }
    match entries.iter().find(|entry| entry.len() > 1 && entry.contains('*')) {
        Some(entry) => write!(f, " (`{entry}` means nobody: a `*` within a principal is not a wildcard)"),
        None => Ok(()),
    }
}

/// In what a pattern misses an ARN, in words.
fn difference(asked: &str, named: &str) -> Option<String> {
    if let Some(hint) = hint(asked, named) {
        return Some(hint.to_owned());
    }
    let parts = ["", "partition", "service", "region", "account"];
    let differing: Vec<_> = asked
        .splitn(6, ':')
        .zip(named.splitn(6, ':'))
        .zip(parts)
        .filter(|((asked, named), part)| {
            !part.is_empty() && !WildcardPattern::action(named).covers(&asked.to_ascii_lowercase())
        })
        .map(|(_, part)| part)
        .collect();
    (!differing.is_empty()).then(|| format!("another {}", differing.join(" and ")))
}

/// The mistakes that everybody makes.
fn hint(asked: &str, named: &str) -> Option<&'static str> {
    let is_bucket = |arn: &str| arn.contains(":s3:::") && !arn.contains('/');
    if named.strip_suffix("/*") == Some(asked) {
        return Some("its objects, not the bucket itself");
    }
    if is_bucket(named) && asked.strip_prefix(named).is_some_and(|key| key.starts_with('/')) {
        return Some("the bucket itself, not its objects: add `/*`");
    }
    if named.ends_with('/') && asked.starts_with(named) {
        return Some("not what is below it: add `*`");
    }
    let group = named.strip_suffix(":*").unwrap_or(named);
    if asked.contains(":log-group:")
        && (asked == format!("{group}:*") || asked.starts_with(&format!("{group}:log-stream:")))
    {
        return Some("the group, not its streams: add `:*`");
    }
    (asked == group && named != group).then_some("the group's streams, not the group itself: remove `:*`")
}

fn entries(principals: &Principals) -> Vec<String> {
    match principals {
        Principals::Everyone => vec!["*".to_owned()],
        Principals::Named(named) => {
            PrincipalType::ALL.iter().filter_map(|kind| named.get(kind)).flatten().cloned().collect()
        }
    }
}

/// The first few, quoted.
fn some(f: &mut Formatter<'_>, values: &[String]) -> fmt::Result {
    const MOST: usize = 4;
    list(f, " or ", values.iter().take(MOST).map(|value| format!("`{value}`")))?;
    match values.len().checked_sub(MOST) {
        Some(more) if 0 < more => write!(f, " or {more} more"),
        _ if values.is_empty() => f.write_str("nothing"),
        _ => Ok(()),
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, between: &str, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index != 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
