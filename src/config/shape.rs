//! What a single value has to be, in a form that a program can pass on: the misfit of a value tells it beside its sentence.

/// What a value has to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ValueShape {
    /// A string.
    Text,
    /// A string, or a table with any keys.
    TextOrTable,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count { least: u64, most: u64 },
    /// A number.
    Number { least: f64, most: f64 },
    /// A number of bytes, or a string with a unit.
    Size { least: u64, most: u64 },
    /// One of these words.
    Words(Vec<String>),
    /// One of these words, `true` or `false`.
    WordsOrFlag(Vec<String>),
    /// A list of so many items at least.
    List { item: Option<Box<Self>>, least: usize },
}

impl ValueShape {
    /// One of these words.
    pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Words(words.into_iter().map(str::to_owned).collect())
    }
}
