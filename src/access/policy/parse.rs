//! JSON to a policy document: strict, and every error says where.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::document::{
    Comparison, ConditionOperator, Effect, LanguageVersion, Negatable, PolicyCondition, PolicyDocument,
    PrincipalType, Principals, SetOperator, Statement,
};
use super::json::JsonNode;

/// A text is not a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyParseError {
    /// Where, such as `Statement[1].Action`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub problem: PolicyProblem,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PolicyProblem {
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
    #[error("`{0}` is there twice: merge them")]
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

type PolicyParse<T> = Result<T, PolicyParseError>;

impl fmt::Display for PolicyParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "the policy: {}", self.problem)
        } else {
            write!(f, "`{}`: {}", self.path, self.problem)
        }
    }
}

impl std::error::Error for PolicyParseError {}

impl FromStr for PolicyDocument {
    type Err = PolicyParseError;

    fn from_str(text: &str) -> PolicyParse<Self> {
        let node: JsonNode = serde_json::from_str(text).map_err(|error| PolicyParseError {
            path: String::new(),
            problem: PolicyProblem::Json(error.to_string()),
        })?;
        document(&JsonAt::root(&node))
    }
}

/// A node, and where it stands.
pub(super) struct JsonAt<'a> {
    path: String,
    node: &'a JsonNode,
}

/// The entries of an object whose keys are known.
struct JsonFields<'a> {
    path: String,
    entries: &'a [(String, JsonNode)],
}

pub(super) fn document(at: &JsonAt<'_>) -> PolicyParse<PolicyDocument> {
    let fields = at.fields("a policy", &["Version", "Id", "Statement"])?;
    let version = version(at)?;
    let id = fields.get("Id").map(|at| at.text("a text").map(str::to_owned)).transpose()?;
    let statements = fields.needed("Statement")?.each(statement)?;
    Ok(PolicyDocument { version, id, statements })
}

/// The version that a policy says it is written in.
pub(super) fn version(at: &JsonAt<'_>) -> PolicyParse<LanguageVersion> {
    let known = [("2012-10-17", LanguageVersion::V2012), ("2008-10-17", LanguageVersion::V2008)];
    at.member("Version").map_or(Ok(LanguageVersion::V2008), |at| at.word("version", &known))
}

pub(super) fn statement(at: &JsonAt<'_>) -> PolicyParse<Statement> {
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
        actions: actions.ok_or_else(|| fields.error(PolicyProblem::Missing("Action")))?,
        resources: fields.element("Resource", "NotResource", |at| at.each(resource))?,
        conditions: fields.get("Condition").as_ref().map(conditions).transpose()?.unwrap_or_default(),
    })
}

fn action(at: &JsonAt<'_>) -> PolicyParse<String> {
    let text = at.text("an action")?;
    let is_action =
        text.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    if !is_action && text != "*" {
        return Err(at.error(PolicyProblem::Action(text.to_owned())));
    }
    Ok(text.to_owned())
}

fn resource(at: &JsonAt<'_>) -> PolicyParse<String> {
    match at.text("an ARN or `*`")? {
        "" => Err(at.expected("an ARN or `*`")),
        text => Ok(text.to_owned()),
    }
}

fn principals(at: &JsonAt<'_>) -> PolicyParse<Principals> {
    if let JsonNode::Text(text) = at.node {
        return if text == "*" {
            Ok(Principals::Everyone)
        } else {
            Err(at.expected("`*`, or an object of kinds"))
        };
    }
    let mut named = BTreeMap::new();
    let kinds = PrincipalType::ALL.map(PrincipalType::as_str);
    let fields = at.fields("`*`, or an object of kinds", &kinds)?;
    for kind in PrincipalType::ALL {
        if let Some(at) = fields.get(kind.as_str()) {
            named.insert(kind, at.each(|at| at.text("a principal").map(str::to_owned))?);
        }
    }
    Ok(Principals::Named(named))
}

fn conditions(at: &JsonAt<'_>) -> PolicyParse<Vec<PolicyCondition>> {
    let mut conditions = Vec::new();
    for (name, tests) in at.entries("an object of operators")? {
        let operator = tests.operator(name)?;
        for (key, values) in tests.entries("an object of keys")? {
            let values = values.each(JsonAt::scalar)?;
            conditions.push(PolicyCondition { operator, key: key.to_owned(), values });
        }
    }
    Ok(conditions)
}

impl<'a> JsonAt<'a> {
    /// All of a text.
    pub(super) fn root(node: &'a JsonNode) -> Self {
        Self { path: String::new(), node }
    }

    /// A member of an object, if it is one and has it.
    pub(super) fn member(&self, key: &str) -> Option<Self> {
        let JsonNode::Object(entries) = self.node else { return None };
        let (key, node) = entries.iter().find(|(own, _)| own == key)?;
        Some(self.below(key, node))
    }

    /// The items of a list, or the one that stands for a list of one.
    pub(super) fn items(&self) -> Vec<Self> {
        let JsonNode::List(nodes) = self.node else { return vec![Self { path: self.path.clone(), ..*self }] };
        let item = |(index, node)| Self { path: format!("{}[{index}]", self.path), node };
        nodes.iter().enumerate().map(item).collect()
    }

    fn error(&self, problem: PolicyProblem) -> PolicyParseError {
        PolicyParseError { path: self.path.clone(), problem }
    }

    fn expected(&self, expected: &'static str) -> PolicyParseError {
        self.error(PolicyProblem::Expected { expected, found: self.node.to_string() })
    }

    fn below(&self, key: &str, node: &'a JsonNode) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{key}", self.path), node }
    }

    /// The entries of an object, no key twice.
    fn entries(&self, expected: &'static str) -> PolicyParse<Vec<(&'a str, Self)>> {
        let JsonNode::Object(entries) = self.node else { return Err(self.expected(expected)) };
        let mut seen = std::collections::BTreeSet::new();
        let mut below = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if !seen.insert(key) {
                return Err(self.error(PolicyProblem::Twice(key.clone())));
            }
            below.push((key.as_str(), self.below(key, node)));
        }
        Ok(below)
    }

    fn fields(&self, expected: &'static str, known: &[&'static str]) -> PolicyParse<JsonFields<'a>> {
        for (key, _) in self.entries(expected)? {
            if !known.contains(&key) {
                return Err(self.error(unknown("key", key, known.iter().copied())));
            }
        }
        let JsonNode::Object(entries) = self.node else { return Err(self.expected(expected)) };
        Ok(JsonFields { path: self.path.clone(), entries })
    }

    /// Each of a list, or the one that stands for a list of one.
    fn each<T>(&self, parse: impl Fn(&Self) -> PolicyParse<T>) -> PolicyParse<Vec<T>> {
        self.items().iter().map(parse).collect()
    }

    fn text(&self, expected: &'static str) -> PolicyParse<&'a str> {
        match self.node {
            JsonNode::Text(text) => Ok(text),
            JsonNode::Null
            | JsonNode::Truth(_)
            | JsonNode::Number(_)
            | JsonNode::List(_)
            | JsonNode::Object(_) => Err(self.expected(expected)),
        }
    }

    /// A text; numbers and truths need no quotes.
    fn scalar(&self) -> PolicyParse<String> {
        match self.node {
            JsonNode::Text(text) | JsonNode::Number(text) => Ok(text.clone()),
            JsonNode::Truth(truth) => Ok(truth.to_string()),
            JsonNode::Null | JsonNode::List(_) | JsonNode::Object(_) => {
                Err(self.expected("a text, a number, true or false"))
            }
        }
    }

    fn word<T: Copy>(&self, what: &'static str, words: &[(&'static str, T)]) -> PolicyParse<T> {
        let text = self.text("a text")?;
        let known = words.iter().find(|(word, _)| *word == text);
        known
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.error(unknown(what, text, words.iter().map(|(word, _)| *word))))
    }

    /// An operator such as `ForAnyValue:StringLikeIfExists`.
    fn operator(&self, name: &str) -> PolicyParse<ConditionOperator> {
        let (set, plain) = match name.split_once(':') {
            Some(("ForAnyValue", plain)) => (Some(SetOperator::ForAnyValue), plain),
            Some(("ForAllValues", plain)) => (Some(SetOperator::ForAllValues), plain),
            _ => (None, name),
        };
        let (if_exists, plain) = plain.strip_suffix("IfExists").map_or((false, plain), |plain| (true, plain));
        let test = Comparison::ALL.iter().copied().find(|test| test.as_str() == plain);
        match test {
            Some(test) if !(if_exists && test == Comparison::Null) => {
                Ok(ConditionOperator { test, set, if_exists })
            }
            _ => {
                let known = Comparison::ALL.iter().map(|test| test.as_str());
                Err(self.error(unknown("condition operator", name, known)))
            }
        }
    }
}

impl<'a> JsonFields<'a> {
    fn error(&self, problem: PolicyProblem) -> PolicyParseError {
        PolicyParseError { path: self.path.clone(), problem }
    }

    fn get(&self, key: &str) -> Option<JsonAt<'a>> {
        let (key, node) = self.entries.iter().find(|(own, _)| own == key)?;
        let dot = if self.path.is_empty() { "" } else { "." };
        Some(JsonAt { path: format!("{}{dot}{key}", self.path), node })
    }

    fn needed(&self, key: &'static str) -> PolicyParse<JsonAt<'a>> {
        self.get(key).ok_or_else(|| self.error(PolicyProblem::Missing(key)))
    }

    /// An element, or its negation.
    fn element<T>(
        &self,
        plain: &'static str,
        negated: &'static str,
        parse: impl Fn(&JsonAt<'a>) -> PolicyParse<T>,
    ) -> PolicyParse<Option<Negatable<T>>> {
        match (self.get(plain), self.get(negated)) {
            (Some(_), Some(_)) => Err(self.error(PolicyProblem::Both(plain, negated))),
            (Some(at), None) => parse(&at).map(|parsed| Some(Negatable::Is(parsed))),
            (None, Some(at)) => parse(&at).map(|parsed| Some(Negatable::Not(parsed))),
            (None, None) => Ok(None),
        }
    }
}

fn unknown(what: &'static str, word: &str, known: impl Iterator<Item = &'static str>) -> PolicyProblem {
    let likeness =
        known.map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &word.to_lowercase()), known));
    let nearest =
        likeness.filter(|(likeness, _)| 0.8 < *likeness).max_by(|(one, _), (other, _)| one.total_cmp(other));
    PolicyProblem::Word { what, word: word.to_owned(), nearest: nearest.map(|(_, known)| known) }
}
