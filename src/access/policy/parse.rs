//! JSON to a policy document: strict, and every error says where.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::document::{
    Condition, Document, Effect, Element, Operator, PrincipalKind, Principals, SetOperator, Statement, Test,
    Version,
};
use super::tree::Node;

/// A text is not a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentError {
    /// Where, such as `Statement[1].Action`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It is no JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// It is something else.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A word that the language does not know here.
    #[error("unknown {what} `{word}`{}", nearest.as_ref().map(|word| format!(": did you mean `{word}`?")).unwrap_or_default())]
    Word {
        /// What it stands for.
        what: &'static str,
        /// The word.
        word: String,
        /// The one that is like it.
        nearest: Option<&'static str>,
    },
    /// A key is there twice, and only one of them would count.
    #[error("`{0}` is there twice: make one of them")]
    Twice(String),
    /// A key is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Two keys of which only one may be there.
    #[error("`{0}` and `{1}` exclude each other")]
    Both(&'static str, &'static str),
    /// An action without its service.
    #[error("`{0}` is not an action: expected `service:Name`, or `*`")]
    Action(String),
}

type Parsed<T> = Result<T, DocumentError>;

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "the policy: {}", self.problem)
        } else {
            write!(f, "`{}`: {}", self.path, self.problem)
        }
    }
}

impl std::error::Error for DocumentError {}

impl FromStr for Document {
    type Err = DocumentError;

    fn from_str(text: &str) -> Parsed<Self> {
        let node: Node = serde_json::from_str(text).map_err(|error| DocumentError {
            path: String::new(),
            problem: Problem::Json(error.to_string()),
        })?;
        document(&At { path: String::new(), node: &node })
    }
}

/// A node, and where it stands.
struct At<'a> {
    path: String,
    node: &'a Node,
}

/// The entries of an object whose keys are known.
struct Fields<'a> {
    path: String,
    entries: &'a [(String, Node)],
}

fn document(at: &At<'_>) -> Parsed<Document> {
    let fields = at.fields("a policy", &["Version", "Id", "Statement"])?;
    let version = match fields.get("Version") {
        Some(at) => at.word("version", &[("2012-10-17", Version::V2012), ("2008-10-17", Version::V2008)])?,
        None => Version::V2008,
    };
    let id = fields.get("Id").map(|at| at.text("a text").map(str::to_owned)).transpose()?;
    let statements = fields.needed("Statement")?.each(statement)?;
    Ok(Document { version, id, statements })
}

fn statement(at: &At<'_>) -> Parsed<Statement> {
    let keys = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    let fields = at.fields("a statement", &keys)?;
    let effect =
        fields.needed("Effect")?.word("effect", &[("Allow", Effect::Allow), ("Deny", Effect::Deny)])?;
    let actions = fields.element("Action", "NotAction", |at| at.each(action))?;
    Ok(Statement {
        sid: fields.get("Sid").map(|at| at.text("a text").map(str::to_owned)).transpose()?,
        effect,
        principals: fields.element("Principal", "NotPrincipal", principals)?,
        actions: actions.ok_or_else(|| fields.error(Problem::Missing("Action")))?,
        resources: fields.element("Resource", "NotResource", |at| at.each(resource))?,
        conditions: fields.get("Condition").as_ref().map(conditions).transpose()?.unwrap_or_default(),
    })
}

fn action(at: &At<'_>) -> Parsed<String> {
    let text = at.text("an action")?;
    let is_action =
        text.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    if !is_action && text != "*" {
        return Err(at.error(Problem::Action(text.to_owned())));
    }
    Ok(text.to_owned())
}

fn resource(at: &At<'_>) -> Parsed<String> {
    match at.text("an ARN or `*`")? {
        "" => Err(at.expected("an ARN or `*`")),
        text => Ok(text.to_owned()),
    }
}

fn principals(at: &At<'_>) -> Parsed<Principals> {
    if let Node::Text(text) = at.node {
        return if text == "*" {
            Ok(Principals::Everyone)
        } else {
            Err(at.expected("`*`, or an object of kinds"))
        };
    }
    let mut named = BTreeMap::new();
    let kinds = PrincipalKind::ALL.map(PrincipalKind::as_str);
    let fields = at.fields("`*`, or an object of kinds", &kinds)?;
    for kind in PrincipalKind::ALL {
        if let Some(at) = fields.get(kind.as_str()) {
            named.insert(kind, at.each(|at| at.text("a principal").map(str::to_owned))?);
        }
    }
    Ok(Principals::Named(named))
}

fn conditions(at: &At<'_>) -> Parsed<Vec<Condition>> {
    let mut conditions = Vec::new();
    for (name, tests) in at.entries("an object of operators")? {
        let operator = tests.operator(name)?;
        for (key, values) in tests.entries("an object of keys")? {
            let values = values.each(At::scalar)?;
            conditions.push(Condition { operator, key: key.to_owned(), values });
        }
    }
    Ok(conditions)
}

impl<'a> At<'a> {
    fn error(&self, problem: Problem) -> DocumentError {
        DocumentError { path: self.path.clone(), problem }
    }

    fn expected(&self, expected: &'static str) -> DocumentError {
        self.error(Problem::Expected { expected, found: self.node.to_string() })
    }

    fn below(&self, key: &str, node: &'a Node) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{key}", self.path), node }
    }

    /// The entries of an object, no key twice.
    fn entries(&self, expected: &'static str) -> Parsed<Vec<(&'a str, Self)>> {
        let Node::Object(entries) = self.node else { return Err(self.expected(expected)) };
        let mut seen = std::collections::BTreeSet::new();
        let mut below = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if !seen.insert(key) {
                return Err(self.error(Problem::Twice(key.clone())));
            }
            below.push((key.as_str(), self.below(key, node)));
        }
        Ok(below)
    }

    fn fields(&self, expected: &'static str, known: &[&'static str]) -> Parsed<Fields<'a>> {
        for (key, _) in self.entries(expected)? {
            if !known.contains(&key) {
                return Err(self.error(unknown("key", key, known.iter().copied())));
            }
        }
        let Node::Object(entries) = self.node else { return Err(self.expected(expected)) };
        Ok(Fields { path: self.path.clone(), entries })
    }

    /// Each of a list, or the one that stands for a list of one.
    fn each<T>(&self, parse: impl Fn(&Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        match self.node {
            Node::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| parse(&Self { path: format!("{}[{index}]", self.path), node }))
                .collect(),
            Node::Null | Node::Truth(_) | Node::Number(_) | Node::Text(_) | Node::Object(_) => {
                Ok(vec![parse(self)?])
            }
        }
    }

    fn text(&self, expected: &'static str) -> Parsed<&'a str> {
        match self.node {
            Node::Text(text) => Ok(text),
            Node::Null | Node::Truth(_) | Node::Number(_) | Node::List(_) | Node::Object(_) => {
                Err(self.expected(expected))
            }
        }
    }

    /// A text; numbers and truths need no quotes.
    fn scalar(&self) -> Parsed<String> {
        match self.node {
            Node::Text(text) | Node::Number(text) => Ok(text.clone()),
            Node::Truth(truth) => Ok(truth.to_string()),
            Node::Null | Node::List(_) | Node::Object(_) => {
                Err(self.expected("a text, a number, true or false"))
            }
        }
    }

    fn word<T: Copy>(&self, what: &'static str, words: &[(&'static str, T)]) -> Parsed<T> {
        let text = self.text("a text")?;
        let known = words.iter().find(|(word, _)| *word == text);
        known
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.error(unknown(what, text, words.iter().map(|(word, _)| *word))))
    }

    /// An operator such as `ForAnyValue:StringLikeIfExists`.
    fn operator(&self, name: &str) -> Parsed<Operator> {
        let (set, plain) = match name.split_once(':') {
            Some(("ForAnyValue", plain)) => (Some(SetOperator::ForAnyValue), plain),
            Some(("ForAllValues", plain)) => (Some(SetOperator::ForAllValues), plain),
            _ => (None, name),
        };
        let (if_exists, plain) = plain.strip_suffix("IfExists").map_or((false, plain), |plain| (true, plain));
        let test = Test::ALL.iter().copied().find(|test| test.as_str() == plain);
        match test {
            Some(test) if !(if_exists && test == Test::Null) => Ok(Operator { test, set, if_exists }),
            _ => {
                let known = Test::ALL.iter().map(|test| test.as_str());
                Err(self.error(unknown("condition operator", name, known)))
            }
        }
    }
}

impl<'a> Fields<'a> {
    fn error(&self, problem: Problem) -> DocumentError {
        DocumentError { path: self.path.clone(), problem }
    }

    fn get(&self, key: &str) -> Option<At<'a>> {
        let (key, node) = self.entries.iter().find(|(own, _)| own == key)?;
        let dot = if self.path.is_empty() { "" } else { "." };
        Some(At { path: format!("{}{dot}{key}", self.path), node })
    }

    fn needed(&self, key: &'static str) -> Parsed<At<'a>> {
        self.get(key).ok_or_else(|| self.error(Problem::Missing(key)))
    }

    /// An element, or its negation.
    fn element<T>(
        &self,
        plain: &'static str,
        negated: &'static str,
        parse: impl Fn(&At<'a>) -> Parsed<T>,
    ) -> Parsed<Option<Element<T>>> {
        match (self.get(plain), self.get(negated)) {
            (Some(_), Some(_)) => Err(self.error(Problem::Both(plain, negated))),
            (Some(at), None) => parse(&at).map(|parsed| Some(Element::Is(parsed))),
            (None, Some(at)) => parse(&at).map(|parsed| Some(Element::Not(parsed))),
            (None, None) => Ok(None),
        }
    }
}

fn unknown(what: &'static str, word: &str, known: impl Iterator<Item = &'static str>) -> Problem {
    let likeness =
        known.map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &word.to_lowercase()), known));
    let nearest =
        likeness.filter(|(likeness, _)| 0.8 < *likeness).max_by(|(one, _), (other, _)| one.total_cmp(other));
    Problem::Word { what, word: word.to_owned(), nearest: nearest.map(|(_, known)| known) }
}
