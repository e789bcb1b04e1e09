//! The topology file of `standpipe access`: which accounts send logs where, read with the same care as the configuration.

mod checks;
mod found;
mod match_patterns;
mod named;
mod names;
mod parts;
mod types;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use match_patterns::MatchPatterns;
pub use types::*;

use self::named::NamedParts;
use super::expand::VariableExpansion;
use super::layers;
use super::problem::{Errors, Notes};
use super::section::{Section, expected};
use super::tree::Node;
use super::values::{Parsed, string, string_that};
use crate::arn::{AccountRegion, Partition};

/// Reads and checks a topology; every mistake is said at once.
pub fn load(file: &Path, environment: &BTreeMap<String, String>) -> Result<Topology, Errors> {
    let notes = Notes::default();
    match read(file, environment, &notes) {
        Some(topology) if !notes.has_problems() => Ok(topology),
        _ => Err(notes.into_errors()),
    }
}

fn read(file: &Path, environment: &BTreeMap<String, String>, notes: &Notes) -> Option<Topology> {
    let mut tree = layers::read(&[PathBuf::from(file)], notes);
    if notes.has_problems() {
        // What a file that cannot be read lacks is not to be reported too.
        return None;
    }
    VariableExpansion::new(environment, notes).expand(&mut tree, "");
    let topology = topology(Section::root(notes, tree))?;
    checks::check(&topology, notes);
    Some(topology)
}

fn topology(mut root: Section<'_>) -> Option<Topology> {
    let region = root.required("region", "us-east-1", region);
    let name = root.or("name", "standpipe".to_owned(), string_that(names::is_prefix, names::PREFIX));
    let organization = organization(&mut root);
    let tags = tags(&mut root);
    let known = known(&mut root, region.as_deref())?;
    let bucket = part(&mut root, "bucket", |section| parts::bucket(section, &known));
    let stream = part(&mut root, "stream", |section| parts::stream(section, &known));
    let kinesis = part(&mut root, "kinesis", |section| parts::kinesis(section, &known));
    let targets = parts::DestinationTargets { stream: stream.as_ref(), kinesis: kinesis.as_ref() };
    let destination = part(&mut root, "destination", |section| parts::destination(section, &targets));
    let subscriptions =
        each(&mut root, "subscriptions", |section| parts::subscriptions(section, &known, &name));
    let vended = each(&mut root, "vended", |section| parts::vended(section, &known));
    let log_groups = each(&mut root, "log_groups", |section| parts::log_groups(section, &known));
    let readers =
        each(&mut root, "readers", |section| parts::reader(section, &known, &name).map(|it| vec![it]));
    let log_readers = each(&mut root, "log_readers", |section| {
        parts::log_reader(section, &known, &name).map(|it| vec![it])
    });
    let writer = part(&mut root, "writer", |section| parts::writer(section, &known, &name));
    let consumer = part(&mut root, "consumer", |section| parts::consumer(section, &known, &name));
    root.finish();
    Some(Topology {
        region: region?,
        name,
        organization,
        tags,
        accounts: known.accounts,
        keys: known.keys,
        bucket,
        stream,
        kinesis,
        destination,
        subscriptions,
        vended,
        log_groups,
        readers,
        log_readers,
        writer,
        consumer,
    })
}

/// A region of a partition that is known: what is made of any other would have wrong ARNs.
fn region(node: &Node) -> Parsed<String> {
    let region = string_that(names::is_region, "a region such as `us-east-1`")(node)?;
    if Partition::of_region(&region).is_some() {
        return Ok(region);
    }
    let known = Partition::names();
    Err(format!("`{region}` is a region of no partition that is known here; the partitions are {known}")
        .into())
}

fn known(root: &mut Section<'_>, region: Option<&str>) -> Option<NamedParts> {
    let mut known = NamedParts { accounts: Vec::new(), keys: Vec::new(), whole: true };
    if !root.has("accounts") {
        root.problem("accounts", "missing; name every account, such as `[accounts.archive]`");
    }
    let region = region.unwrap_or_default();
    for (name, section) in root.table_or_empty("accounts")?.named_tables() {
        match section.and_then(|section| account(section, &name, region)) {
            Some(account) => known.accounts.push(Arc::new(account)),
            None => known.whole = false,
        }
    }
    let accounts = NamedParts { accounts: known.accounts.clone(), keys: Vec::new(), whole: known.whole };
    for (name, section) in root.table_or_empty("keys")?.named_tables() {
        match section.and_then(|section| parts::key(section, &name, &accounts)) {
            Some(key) => known.keys.push(Arc::new(key)),
            None => known.whole = false,
        }
    }
    Some(known)
}

fn account(mut section: Section<'_>, name: &str, region: &str) -> Option<AwsAccount> {
    if !names::is_part(name) {
        section.problem_here(format!("is not a valid name; use {}", names::PART));
    }
    let what = "an account's id of 12 digits, in quotes";
    let id = section.required("id", "222222222222", string_that(names::is_account, what));
    let profile = section.optional("profile", string);
    let assume_role = parts::administrator(&mut section, id.as_deref());
    let owner = section.optional("owner", string);
    section.finish();
    let place = AccountRegion { region: region.to_owned(), account: id? };
    Some(AwsAccount { name: name.to_owned(), place, profile, assume_role, owner })
}

fn organization(root: &mut Section<'_>) -> Option<String> {
    if !root.has("organization") {
        // Asked for, so that it is among the keys that are known.
        return root.optional("organization", string);
    }
    let mut section = root.table("organization")?;
    let what = "an organization's id such as `o-a1b2c3d4e5`";
    let id = section.required("id", "o-a1b2c3d4e5", string_that(names::is_organization, what));
    section.finish();
    id
}

fn tags(root: &mut Section<'_>) -> BTreeMap<String, String> {
    let Some(section) = root.table_or_empty("tags") else { return BTreeMap::new() };
    let what = "at most 128 letters, digits and `_.:/+@-`";
    section.entries(string_that(names::is_tag, what)).into_iter().collect()
}

/// A table that may be left out.
fn part<'n, T>(
    root: &mut Section<'n>,
    key: &'static str,
    read: impl FnOnce(Section<'n>) -> Option<T>,
) -> Option<T> {
    if root.has(key) {
        root.table(key).and_then(read)
    } else {
        root.optional(key, |node| Err(expected(node, "a table")))
    }
}

/// Tables of which there may be many, each of which gives some.
fn each<'n, T>(
    root: &mut Section<'n>,
    key: &'static str,
    read: impl Fn(Section<'n>) -> Option<Vec<T>>,
) -> Vec<T> {
    let tables = root.tables(key).unwrap_or_default();
    tables.into_iter().filter_map(read).flatten().collect()
}
