//! Nothing imports what imports it: no file, and no folder beside another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tree::{Import, Tree, module_name};
use super::{Breach, breach};

/// What imports what, and where: the first line of each.
#[derive(Debug, Default)]
struct Graph {
    edges: BTreeMap<String, BTreeMap<String, Edge>>,
}

#[derive(Debug)]
struct Edge {
    imports: usize,
    example: String,
}

pub(super) fn no_file_imports_itself(tree: &Tree, known: &BTreeSet<String>) -> Vec<Breach> {
    let mut graph = Graph::default();
    for import in tree.imports() {
        graph.add(import.from.path.clone(), import.to.path.clone(), &import);
    }
    graph.cycles(known)
}

/// At each level: what stands side by side in one folder, each with all that is below it.
pub(super) fn no_folder_imports_itself(tree: &Tree, known: &BTreeSet<String>) -> Vec<Breach> {
    let mut graphs: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    for import in tree.imports() {
        let (from, to) = (import.from.module(), import.to.module());
        let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if from.len() > shared && to.len() > shared {
            let [from, to] = [from, to].map(|module| module_name(&module[..=shared]));
            let folder = import.from.module()[..shared].to_vec();
            graphs.entry(folder).or_default().add(from, to, &import);
        }
    }
    graphs.into_values().flat_map(|graph| graph.cycles(known)).collect()
}

impl Graph {
    fn add(&mut self, from: String, to: String, import: &Import<'_>) {
        let example = format!("{}:{}", import.from.path, import.line);
        let edges = self.edges.entry(from).or_default();
        edges.entry(to).or_insert(Edge { imports: 0, example }).imports += 1;
    }

    /// A breach for the weakest import of each circle, until none is left; those that are known are tried first.
    fn cycles(mut self, known: &BTreeSet<String>) -> Vec<Breach> {
        let mut set_aside = Vec::new();
        for (from, edges) in &mut self.edges {
            let is_known = |to: &str| known.contains(&key(from, to));
            set_aside.extend(
                edges.extract_if(.., |to, _| is_known(to)).map(|(to, edge)| (from.clone(), to, edge)),
            );
        }
        let mut breaches = Vec::new();
        while let Some(circle) = self.circle() {
            let steps = circle.iter().zip(circle.iter().cycle().skip(1));
            let weakest = steps.min_by_key(|(from, to)| self.edges[*from][*to].imports);
            let (from, to) = weakest.map(|(from, to)| (from.clone(), to.clone())).unwrap_or_default();
            breaches.push(breach(&key(&from, &to), self.words(&circle)));
            self.edges.entry(from).or_default().remove(&to);
        }
        for (from, to, edge) in set_aside {
            let back = self.way(&to, &from);
            self.edges.entry(from.clone()).or_default().insert(to.clone(), edge);
            if let Some(circle) = back {
                breaches.push(breach(&key(&from, &to), self.words(&circle)));
                self.edges.entry(from).or_default().remove(&to);
            }
        }
        breaches
    }

    /// A shortest circle.
    fn circle(&self) -> Option<Vec<String>> {
        let within = self.within_circles();
        let edges = self.edges.iter().filter(|(from, _)| within.contains(from.as_str()));
        let edges = edges.flat_map(|(from, edges)| edges.keys().map(move |to| (from, to)));
        let circles =
            edges.filter(|(_, to)| within.contains(to.as_str())).filter_map(|(from, to)| self.way(to, from));
        circles.min_by_key(Vec::len)
    }

    /// What remains when all has gone, again and again, that imports nothing of what remains: none, where there is no circle.
    fn within_circles(&self) -> BTreeSet<&str> {
        let mut within: BTreeSet<&str> = self.edges.keys().map(String::as_str).collect();
        loop {
            let before = within.len();
            let all = within.clone();
            within.retain(|from| self.edges[*from].keys().any(|to| all.contains(to.as_str())));
            if within.len() == before {
                return within;
            }
        }
    }

    /// The shortest way from one to another, both included.
    fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut waiting = VecDeque::from([from]);
        while let Some(at) = waiting.pop_front() {
            if at == to {
                let mut way = vec![to.to_owned()];
                let mut at = to;
                while at != from {
                    at = before[at];
                    way.push(at.to_owned());
                }
                way.reverse();
                return Some(way);
            }
            for next in self.edges.get(at).into_iter().flat_map(BTreeMap::keys) {
                if next != from && !before.contains_key(next.as_str()) {
                    before.insert(next, at);
                    waiting.push_back(next);
                }
            }
        }
        None
    }

    fn words(&self, circle: &[String]) -> String {
        let steps = circle.iter().zip(circle.iter().cycle().skip(1));
        let steps = steps.map(|(from, to)| {
            let place = self.edges.get(from).and_then(|edges| edges.get(to)).map_or("", |edge| &edge.example);
            format!("{from} imports {to} ({place})")
        });
        format!("closes a circle: {}", steps.collect::<Vec<_>>().join(", "))
    }
}

fn key(from: &str, to: &str) -> String {
    format!("{from} -> {to}")
}
