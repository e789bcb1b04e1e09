//! All files of the crate: which are tests, and which imports which.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Named, Source, Use};

/// The files, and what each module is.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    /// Of `src`: module → place in `sources`.
    modules: BTreeMap<Vec<String>, usize>,
    tests: BTreeSet<usize>,
}

/// What a path means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// From this crate's root.
    Ours(Vec<String>),
    /// Of std or another crate, or unknown.
    Other(Vec<String>),
}

/// One file that needs another.
#[derive(Clone, Debug)]
pub(crate) struct Import<'a> {
    pub(crate) from: &'a Source,
    pub(crate) to: &'a Source,
    pub(crate) line: usize,
}

/// As deep as names stand for names.
const DEEPEST: usize = 8;

impl Tree {
    pub(crate) fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let sources: Vec<_> =
            files.into_iter().map(|(path, text)| Source::read(&path, &text).unwrap()).collect();
        let is_ours = |source: &Source| source.path.starts_with("src/");
        let modules = sources.iter().enumerate().filter(|(_, source)| is_ours(source));
        let modules = modules.map(|(at, source)| (source.module(), at)).collect();
        let mut tree = Self { sources, modules, tests: BTreeSet::new() };
        tree.find_tests();
        tree
    }

    /// A file that is declared for tests alone is one, and whatever is below it.
    fn find_tests(&mut self) {
        let mut roots: Vec<Vec<String>> = Vec::new();
        for source in self.sources.iter().filter(|source| source.path.starts_with("src/")) {
            if source.is_test {
                roots.push(source.module());
            }
            for child in source.children.iter().filter(|child| child.is_test) {
                let file = child.file.as_deref().map(|file| file.trim_end_matches(".rs"));
                // A path is from the folder of the file, which for `mod.rs` is the module's own.
                let mut module = source.module();
                if file.is_some() && !source.path.ends_with("/mod.rs") {
                    module.pop();
                }
                module.push(file.unwrap_or(&child.name).to_owned());
                roots.push(module);
            }
        }
        let is_test = |module: &[String]| roots.iter().any(|root| module.starts_with(root));
        self.tests = self.modules.iter().filter(|(module, _)| is_test(module)).map(|(_, at)| *at).collect();
    }

    /// The files of `src` that are shipped.
    pub(crate) fn production(&self) -> impl Iterator<Item = &Source> {
        self.modules.values().filter(|at| !self.tests.contains(at)).map(|at| &self.sources[*at])
    }

    /// Every import of a shipped file. A module that passes on what stands below it (`pub use child::Name`) does not import it, and who
    /// takes the name from there imports the child's file.
    pub(crate) fn imports(&self) -> Vec<Import<'_>> {
        let mut imports = Vec::new();
        for source in self.production() {
            let module = source.module();
            let mut add = |named: &Named, passes_on: bool| {
                let Meaning::Ours(path) = meaning(source, named) else { return };
                let Some(to) = self.home(&path, 0) else { return };
                let is_facade = passes_on && to.module().starts_with(&module);
                if to.path != source.path && !is_facade {
                    imports.push(Import { from: source, to, line: named.line });
                }
            };
            source.uses.iter().for_each(|used| add(&used.named, used.is_public));
            source.paths.iter().for_each(|named| add(named, false));
        }
        imports
    }

    /// The file in which a path from the root ends, through all that pass it on.
    fn home(&self, path: &[String], depth: usize) -> Option<&Source> {
        let len = (0..=path.len()).rev().find(|len| self.modules.contains_key(&path[..*len]))?;
        let source = &self.sources[self.modules[&path[..len]]];
        let Some(name) = path.get(len).filter(|_| depth < DEEPEST) else { return Some(source) };
        let follow = |used: &Use, more: &[String]| match meaning(source, &used.named) {
            Meaning::Ours(onward) if onward != path => self.home(&[&onward[..], more].concat(), depth + 1),
            Meaning::Ours(_) | Meaning::Other(_) => None,
        };
        let named = source.uses.iter().find(|used| used.alias == *name && !source.items.contains(name));
        if let Some(home) = named.and_then(|used| follow(used, &path[len + 1..])) {
            return Some(home);
        }
        // `pub use types::*`: whichever of them declares it.
        let globs = source.uses.iter().filter(|used| used.alias == "*" && !source.items.contains(name));
        let mut homes = globs.filter_map(|used| follow(used, &path[len..]));
        Some(homes.find(|home| home.items.contains(name)).unwrap_or(source))
    }
}

/// What a path stands for where it is written.
pub(crate) fn meaning(source: &Source, named: &Named) -> Meaning {
    let module = [source.module(), named.within.clone()].concat();
    mean(source, &module, &named.path, DEEPEST)
}

fn mean(source: &Source, module: &[String], path: &[String], deepest: usize) -> Meaning {
    let Some((first, rest)) = path.split_first() else { return Meaning::Other(Vec::new()) };
    let ours = |root: &[String], rest: &[String]| Meaning::Ours([root, rest].concat());
    match first.as_str() {
        "crate" => return ours(&[], rest),
        "standpipe" if source.path == "src/main.rs" => return ours(&[], rest),
        "self" => return ours(module, rest),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            return ours(&module[..module.len().saturating_sub(up)], &path[up..]);
        }
        _ => {}
    }
    if source.children.iter().any(|child| !child.is_test && child.name == *first) {
        return ours(&source.module(), path);
    }
    match source.aliases.get(first) {
        Some(named) if deepest > 0 && named.path != path => {
            let module = [source.module(), named.within.clone()].concat();
            match mean(source, &module, &named.path, deepest - 1) {
                Meaning::Ours(path) => Meaning::Ours([&path[..], rest].concat()),
                Meaning::Other(path) => Meaning::Other([&path[..], rest].concat()),
            }
        }
        _ => Meaning::Other(path.to_vec()),
    }
}

/// Every path that a file names, with what it means and the line.
pub(crate) fn named(source: &Source) -> impl Iterator<Item = (Meaning, usize)> {
    let used = source.uses.iter().map(|used| &used.named);
    used.chain(&source.paths).map(|named| (meaning(source, named), named.line))
}

/// A module as it is written: `sink::firehose`, or `lib` for the root.
pub(crate) fn module_name(module: &[String]) -> String {
    if module.is_empty() { "lib".into() } else { module.join("::") }
}
