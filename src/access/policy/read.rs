//! A policy as far as it can be read: what AWS adds to its language does not hide the rest of a document, and never counts as nothing.

use super::document::{PolicyDocument, Statement};
use super::json::JsonNode;
use super::parse::{JsonAt, PolicyParseError, PolicyProblem, document, statement, version};

/// A policy that AWS has in force, as far as it can be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReadPolicy {
    /// The statements that can be read.
    pub document: PolicyDocument,
    /// What cannot: it may allow, or deny, anything.
    pub unread: Vec<UnreadPart>,
}

/// What of a policy cannot be read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UnreadPart {
    /// Which statement, from 1; none for all of the policy.
    pub number: Option<usize>,
    /// Why.
    pub reason: String,
}

impl ReadPolicy {
    /// Reads each statement by itself.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let node: JsonNode = match serde_json::from_str(text) {
            Ok(node) => node,
            Err(error) => {
                let problem = PolicyProblem::Json(error.to_string());
                return Self::unread(PolicyParseError { path: String::new(), problem }.to_string());
            }
        };
        if node == JsonNode::Object(Vec::new()) {
            // Some services give that for none.
            return Self::default();
        }
        let at = JsonAt::root(&node);
        // Where all is well, or where there is one reason for all of it.
        let error = match document(&at) {
            Ok(document) => return document.into(),
            Err(error) => error,
        };
        let Some(statements) = at.member("Statement") else { return Self::unread(error.to_string()) };
        let Ok(version) = version(&at) else { return Self::unread(error.to_string()) };
        let mut policy =
            Self { document: PolicyDocument { version, ..PolicyDocument::default() }, unread: Vec::new() };
        for (index, read) in statements.items().iter().map(statement).enumerate() {
            policy.add(index.saturating_add(1), read);
        }
        if policy.unread.is_empty() {
            policy.unread.push(UnreadPart { number: None, reason: error.to_string() });
        }
        policy
    }

    /// A policy of which nothing can be read, or seen.
    #[must_use]
    pub fn unread(reason: String) -> Self {
        Self { unread: vec![UnreadPart { number: None, reason }], ..Self::default() }
    }

    fn add(&mut self, number: usize, read: Result<Statement, PolicyParseError>) {
        match read {
            Ok(statement) => self.document.statements.push(statement),
            Err(error) => {
                self.unread.push(UnreadPart { number: Some(number), reason: error.to_string() });
            }
        }
    }

    /// The whole document; none when something of it cannot be read: then nothing may take its place.
    #[must_use]
    pub fn whole(&self) -> Option<&PolicyDocument> {
        self.unread.is_empty().then_some(&self.document)
    }

    /// The statements that can be read, each with its number in the policy, from 1.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &Statement)> {
        let is_unread = |number: &usize| self.unread.iter().any(|part| part.number == Some(*number));
        (1..).filter(move |number| !is_unread(number)).zip(&self.document.statements)
    }
}

impl From<PolicyDocument> for ReadPolicy {
    fn from(document: PolicyDocument) -> Self {
        Self { document, unread: Vec::new() }
    }
}
