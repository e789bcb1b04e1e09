//! The queries of the dashboard and of the rules, and what they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::folder;
use crate::world::Scrape;

/// A query, and words in which its labels are named.
pub(super) struct Query {
    pub(super) place: String,
    pub(super) text: String,
    /// A legend, or annotations.
    pub(super) words: String,
}

/// A name with what its labels have to be.
pub(super) struct Selector {
    pub(super) name: String,
    /// Label, operator and value.
    matchers: Vec<(String, String, String)>,
}

impl Query {
    /// The names in it, but for those of recording rules.
    pub(super) fn selectors(&self) -> Vec<Selector> {
        let named =
            Regex::new(r"(?:^|[^\w:])((?:standpipe|process)_\w+|up)(?:\{([^}]*)\})?(?:$|[^\w:])").unwrap();
        let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
        let mut selectors = Vec::new();
        let mut at = 0;
        // What ends one may begin the next.
        while let Some(found) = named.captures_at(&self.text, at) {
            let labels = found.get(2).map_or("", |labels| labels.as_str());
            let matchers = matcher.captures_iter(labels);
            let matchers = matchers.map(|one| (one[1].to_owned(), one[2].to_owned(), one[3].to_owned()));
            selectors.push(Selector { name: found[1].to_owned(), matchers: matchers.collect() });
            at = found.get(2).or(found.get(1)).unwrap().end();
        }
        selectors
    }

    /// The labels that it sums by or joins on, and those of its words.
    pub(super) fn labels(&self) -> BTreeSet<String> {
        let lists = Regex::new(r"\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)").unwrap();
        let words = Regex::new(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}").unwrap();
        let listed = lists
            .captures_iter(&self.text)
            .flat_map(|found| found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
        let named = words.captures_iter(&self.words).map(|found| found[1].to_owned());
        listed.chain(named).filter(|label| !label.is_empty()).collect()
    }

    /// As Prometheus takes it: what Grafana fills in is filled in, and what is compared is there whether it is so now or not.
    pub(super) fn filled(&self) -> String {
        let mut text = self.text.replace("$__rate_interval", "1m").replace("$__interval", "1m");
        for variable in ["$job", "$instance", "$source", "$sink"] {
            text = text.replace(variable, ".*");
        }
        if let Some(compared) = text.strip_suffix(" > 0") {
            return compared.to_owned();
        }
        text
    }
}

impl Selector {
    /// The labels of each series of the name, and of what a histogram is made of.
    pub(super) fn series(&self, scrape: &Scrape) -> Vec<BTreeMap<String, String>> {
        let label = Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
        let lines = scrape.text.lines().filter(|line| !line.starts_with('#'));
        let mine = lines.filter(|line| line.split(['{', ' ']).next() == Some(&*self.name));
        mine.map(|line| label.captures_iter(line).map(|one| (one[1].to_owned(), one[2].to_owned())).collect())
            .collect()
    }

    /// The values it asks for that no series has. Variables, and what Prometheus adds, are not looked at.
    pub(super) fn misses(&self, series: &[BTreeMap<String, String>]) -> Vec<String> {
        let mut misses = Vec::new();
        for (label, operator, value) in &self.matchers {
            if ["job", "instance"].contains(&label.as_str()) {
                continue;
            }
            let wanted: Vec<&str> = if operator == "=~" { value.split('|').collect() } else { vec![value] };
            for wanted in wanted {
                let has = |labels: &BTreeMap<String, String>| {
                    labels.get(label).is_some_and(|is| is == wanted || wanted.starts_with('$'))
                };
                if !series.is_empty() && !series.iter().any(has) {
                    misses.push(format!("no `{}` has `{label}=\"{wanted}\"`", self.name));
                }
            }
        }
        misses
    }

    /// It alone, as a query.
    pub(super) fn text(&self) -> String {
        let matchers =
            self.matchers.iter().map(|(label, operator, value)| format!("{label}{operator}\"{value}\""));
        format!("{}{{{}}}", self.name, matchers.collect::<Vec<_>>().join(","))
    }
}

pub(super) fn dashboard() -> Value {
    serde_json::from_slice(&fs::read(folder().join("standpipe.json")).unwrap()).unwrap()
}

/// Those of the panels, of the variables and of the annotations.
pub(super) fn dashboard_queries() -> Vec<Query> {
    let dashboard = dashboard();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("dashboard, {}", panel["title"]);
            queries.push(Query { place, text: text(&target["expr"]), words: text(&target["legendFormat"]) });
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let place = format!("dashboard, {}", annotation["name"]);
        queries.push(Query {
            place,
            text: text(&annotation["expr"]),
            words: text(&annotation["textFormat"]),
        });
    }
    let values = Regex::new(r"^label_values\((.*), (\w+)\)$").unwrap();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(found) = values.captures(variable["definition"].as_str().unwrap_or_default()) else {
            continue;
        };
        let place = format!("dashboard, variable {}", variable["name"]);
        queries.push(Query { place, text: found[1].to_owned(), words: format!("{{{{{}}}}}", &found[2]) });
    }
    assert!(queries.len() > 60, "queries are found");
    queries
}

/// The rules of a file.
fn rules(file: &str) -> Vec<Yaml> {
    let documents = YamlLoader::load_from_str(&fs::read_to_string(folder().join(file)).unwrap()).unwrap();
    let groups = documents[0]["groups"].as_vec().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_vec().unwrap().clone()).collect()
}

/// Those of recording rules and alerts.
pub(super) fn rule_queries() -> Vec<Query> {
    let rules = [rules("recording.yml"), rules("alerts.yml")].concat();
    assert!(rules.len() > 30, "rules are found");
    let of = |rule: &Yaml| {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let annotation = |key: &str| rule["annotations"][key].as_str().unwrap_or_default().to_owned();
        let words = annotation("summary") + &annotation("description");
        Query { place: text("record") + &text("alert"), text: text("expr"), words }
    };
    rules.iter().map(of).collect()
}

/// The names of the series that are recorded.
pub(super) fn recorded() -> Vec<String> {
    rules("recording.yml").iter().map(|rule| rule["record"].as_str().unwrap().to_owned()).collect()
}

/// The names of the alerts.
pub(super) fn alerts() -> Vec<String> {
    rules("alerts.yml").iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
}
