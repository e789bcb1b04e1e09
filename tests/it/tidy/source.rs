//! One file of Rust: what it declares, and what it names.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Kind, Token, read, skip, split};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the package's folder: `src/sink/mod.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Its tokens without the tests.
    pub(crate) tokens: Vec<Token>,
    /// Lines that belong to tests.
    pub(crate) test_lines: BTreeSet<usize>,
    /// It is there for tests alone, by its own word.
    pub(crate) is_test: bool,
    /// `mod name;`
    pub(crate) children: Vec<Child>,
    pub(crate) uses: Vec<Use>,
    /// What each name that is used stands for.
    pub(crate) aliases: BTreeMap<String, Named>,
    /// Other paths of two names or more.
    pub(crate) paths: Vec<Named>,
    pub(crate) types: Vec<(String, usize)>,
    pub(crate) functions: Vec<Function>,
    /// What the file itself declares, outside of functions.
    pub(crate) items: BTreeSet<String>,
}

/// A module in a file of its own.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    /// From `#[path = "…"]`.
    pub(crate) file: Option<String>,
    pub(crate) is_test: bool,
}

/// A path as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// The modules within the file that it stands in.
    pub(crate) within: Vec<String>,
}

/// One name of a `use`, its braces resolved.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) named: Named,
    /// What it is called here; `*` for all.
    pub(crate) alias: String,
    pub(crate) is_public: bool,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Lines of its body that hold code.
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn read(path: &str, text: &str) -> Result<Self, String> {
        let all = read(text).map_err(|error| format!("{path} {error}"))?;
        let parts = split(&all);
        let test_lines = parts.tests.iter().flat_map(|item| lines(item)).collect();
        let mut children = children(&parts.production, false);
        children.extend(parts.tests.iter().flat_map(|item| self::children(item, true)));
        let tokens = parts.production;
        let (uses, paths) = names(&tokens);
        let aliases = uses.iter().filter(|used| used.alias != "*");
        let aliases = aliases.map(|used| (used.alias.clone(), used.named.clone())).collect();
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            test_lines,
            is_test: parts.is_test,
            children,
            uses,
            aliases,
            paths,
            types: types(&tokens),
            // The tests' functions are functions too.
            functions: functions(&all),
            items: items(&tokens),
            tokens,
        })
    }

    /// Modules from the crate's root; `main` is a crate of its own.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        module
    }
}

/// The lines from the first to the last token of an item.
fn lines(item: &[Token]) -> std::ops::RangeInclusive<usize> {
    let first = item.first().map_or(1, |token| token.line);
    first..=item.iter().map(|token| token.last_line).max().unwrap_or(0)
}

fn word(tokens: &[Token], at: usize) -> Option<&str> {
    tokens.get(at).filter(|token| token.kind == Kind::Word).map(|token| token.text.as_str())
}

fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.is(text))
}

fn children(tokens: &[Token], is_test: bool) -> Vec<Child> {
    let mut children = Vec::new();
    let mut file = None;
    for (at, token) in tokens.iter().enumerate() {
        if token.is("path") && is(tokens, at + 1, "=") {
            file = tokens.get(at + 2).map(|literal| literal.text.trim_matches('"').to_owned());
        }
        if token.is("mod") && is(tokens, at + 2, ";") {
            let name = word(tokens, at + 1).unwrap_or_default().to_owned();
            children.push(Child { name, file: file.take(), is_test });
        }
    }
    children
}

/// All that is used, and all other paths.
fn names(tokens: &[Token]) -> (Vec<Use>, Vec<Named>) {
    let (mut uses, mut paths) = (Vec::new(), Vec::new());
    let mut modules: Vec<(String, usize)> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        modules.retain(|(_, end)| at < *end);
        let within = || modules.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if is(tokens, at, "mod") && is(tokens, at + 2, "{") {
            modules.push((tokens[at + 1].text.clone(), skip(tokens, at + 2)));
            at += 3;
        } else if is(tokens, at, "use") && !is(tokens, at + 1, "<") {
            let is_public = at > 0 && (is(tokens, at - 1, "pub") || is(tokens, at - 1, ")"));
            let mut found = Vec::new();
            at = tree(tokens, at + 1, &[], &mut found);
            uses.extend(found.into_iter().map(|(path, alias, line)| {
                let named = Named { path, line, within: within() };
                Use { named, alias, is_public }
            }));
        } else if word(tokens, at).is_some() {
            let line = tokens[at].line;
            let in_visibility = at > 0 && is(tokens, at - 1, "in") && at > 1 && is(tokens, at - 2, "(");
            let (path, end) = path(tokens, at);
            at = end;
            if path.len() > 1 && !in_visibility {
                paths.push(Named { path, line, within: within() });
            }
        } else {
            at += 1;
        }
    }
    (uses, paths)
}

/// The path at `at`, and what is behind it.
fn path(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(name) = word(tokens, at) {
        path.push(name.trim_start_matches("r#").to_owned());
        at += 1;
        if !is(tokens, at, "::") || word(tokens, at + 1).is_none() {
            break;
        }
        at += 1;
    }
    (path, at)
}

/// The tree of a `use`, each leaf with its name here and its line.
fn tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(Vec<String>, String, usize)>,
) -> usize {
    if is(tokens, at, "::") {
        at += 1;
    }
    let line = tokens.get(at).map_or(0, |token| token.line);
    let (inner, end) = path(tokens, at);
    let whole: Vec<String> = prefix.iter().cloned().chain(inner).collect();
    at = if is(tokens, end, "::") { end + 1 } else { end };
    if is(tokens, at, "{") {
        let close = skip(tokens, at);
        at += 1;
        while at + 1 < close {
            at = tree(tokens, at, &whole, found);
            // A comma, or what cannot be read: either way it goes on.
            at += usize::from(at + 1 < close);
        }
        return close;
    }
    if is(tokens, at, "*") {
        found.push((whole, "*".into(), line));
        return at + 1;
    }
    let mut whole = whole;
    if whole.len() > 1 && whole.last().is_some_and(|last| last == "self") {
        whole.pop();
    }
    let mut alias = whole.last().cloned().unwrap_or_default();
    if is(tokens, at, "as") {
        alias = tokens.get(at + 1).map(|token| token.text.clone()).unwrap_or_default();
        at += 2;
    }
    found.push((whole, alias, line));
    at
}

/// Names of types, but for those that belong to a trait.
fn types(tokens: &[Token]) -> Vec<(String, usize)> {
    let mut types = Vec::new();
    // Where the bodies of traits and their implementations are, and how deep.
    let mut bodies: Vec<(usize, usize)> = Vec::new();
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        bodies.retain(|(_, end)| at < *end);
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Word | Kind::Literal | Kind::Sign => {}
        }
        let begins =
            at == 0 || [";", "}", "]", "{", "unsafe", ")", "pub"].iter().any(|text| tokens[at - 1].is(text));
        if token.is("trait") || (token.is("impl") && begins) {
            let open = (at..tokens.len()).find(|at| is(tokens, *at, "{"));
            bodies.extend(open.map(|open| (depth + 1, skip(tokens, open))));
        }
        let is_type = ["struct", "enum", "trait", "type"].iter().any(|keyword| token.is(keyword))
            || (token.is("union") && (is(tokens, at + 2, "{") || is(tokens, at + 2, "<")));
        let is_associated = token.is("type") && bodies.iter().any(|(inside, _)| *inside == depth);
        if let Some(name) = word(tokens, at + 1).filter(|_| is_type && !is_associated) {
            types.push((name.to_owned(), token.line));
        }
    }
    types
}

fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut functions = Vec::new();
    for at in (0..tokens.len()).filter(|at| is(tokens, *at, "fn")) {
        let Some(name) = word(tokens, at + 1) else { continue };
        let mut open = at + 2;
        while open < tokens.len() && !is(tokens, open, "{") && !is(tokens, open, ";") {
            open = skip(tokens, open);
        }
        if !is(tokens, open, "{") {
            continue;
        }
        let body = &tokens[open + 1..skip(tokens, open) - 1];
        let lines: BTreeSet<usize> = body.iter().flat_map(|token| token.line..=token.last_line).collect();
        functions.push(Function { name: name.to_owned(), line: tokens[at].line, lines: lines.len() });
    }
    functions
}

fn items(tokens: &[Token]) -> BTreeSet<String> {
    const KEYWORDS: [&str; 10] =
        ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod", "macro_rules"];
    let mut items = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        if KEYWORDS.iter().any(|keyword| is(tokens, at, keyword)) {
            items.extend(word(tokens, at + 1).map(str::to_owned));
        }
        at = skip(tokens, at);
    }
    items
}
