//! What is redacted, as the rest of the program uses it.

use std::sync::Arc;

use super::secret::Secret;

/// `[redact]`
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Patterns that standpipe knows, in order.
    pub named: Vec<NamedPattern>,
    /// What is written in place of what those find.
    pub with: ReplaceWith,
    /// Patterns of one's own.
    pub patterns: Vec<OwnPattern>,
    /// The key of hashes.
    pub key: Option<Secret>,
}

impl Redaction {
    /// Whether nothing is looked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.named.is_empty() && self.patterns.is_empty()
    }

    /// The names of all that is looked for: labels of a metric.
    pub fn names(&self) -> impl Iterator<Item = Arc<str>> {
        let named = self.named.iter().map(|pattern| Arc::from(pattern.name()));
        named.chain(self.patterns.iter().map(|pattern| Arc::clone(&pattern.name)))
    }
}

/// A pattern that standpipe knows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NamedPattern {
    /// Ids of AWS access keys, and secret access keys after a name that says so.
    AwsKey,
    /// Bearer tokens.
    Bearer,
    /// Numbers of payment cards.
    Card,
    /// Addresses of mail.
    Email,
    /// Addresses of IPv4.
    Ipv4,
    /// Addresses of IPv6.
    Ipv6,
    /// Credentials of HTTP's Basic scheme.
    Basic,
    /// JSON Web Tokens.
    Jwt,
    /// What stands after a name that says that it is a password.
    Password,
    /// Passwords in URLs.
    UrlPassword,
}

impl NamedPattern {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AwsKey,
        Self::Bearer,
        Self::Card,
        Self::Email,
        Self::Ipv4,
        Self::Ipv6,
        Self::Basic,
        Self::Jwt,
        Self::Password,
        Self::UrlPassword,
    ];

    /// The length of the shortest match, in bytes; of those that need a name before them, with a part of it.
    #[must_use]
    pub const fn least(self) -> usize {
        match self {
            Self::AwsKey => 20,
            Self::Bearer | Self::Basic | Self::Password => 4,
            Self::Card | Self::Jwt => 13,
            Self::Email => 6,
            Self::Ipv4 => 7,
            Self::Ipv6 => 3,
            Self::UrlPassword => 5,
        }
    }

    /// Its name in the configuration, and in place of what it finds.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwsKey => "aws_key",
            Self::Bearer => "bearer",
            Self::Card => "card",
            Self::Email => "email",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Basic => "basic",
            Self::Jwt => "jwt",
            Self::Password => "password",
            Self::UrlPassword => "url_password",
        }
    }
}

/// A pattern of one's own.
#[derive(Clone, Debug)]
pub struct OwnPattern {
    /// What stands in place of what it finds, and labels its counter.
    pub name: Arc<str>,
    /// What it finds; never an empty text.
    pub regex: regex::bytes::Regex,
    /// The length of the shortest match.
    pub least: usize,
    /// What is written in its place.
    pub with: ReplaceWith,
}

/// What is written in place of what was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReplaceWith {
    /// The pattern's name, in brackets.
    #[default]
    Text,
    /// An asterisk for each character.
    Mask,
    /// The pattern's name and a keyed hash, so that equal values stay equal.
    Hash,
}

impl ReplaceWith {
    /// Bytes of a hash; written, two characters each.
    pub const HASH_BYTES: usize = 8;

    /// How many times as long as a match of at least so many bytes, which a pattern of this name finds, its replacement may be.
    #[must_use]
    pub fn growth(self, name: &str, least: usize) -> usize {
        let in_brackets = name.len().saturating_add(2);
        let len = match self {
            Self::Mask => 1,
            Self::Text => in_brackets,
            Self::Hash => in_brackets.saturating_add(1).saturating_add(2 * Self::HASH_BYTES),
        };
        len.div_ceil(least.max(1))
    }
}
