//! Pieces of text for the page.

use crate::overview::words;

/// Text that is only text, in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && c != '\n' => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// What is shown of each, one after the other.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(show).collect::<Vec<_>>().concat()
}

/// Bytes and events a second, as far as they are known.
pub(super) fn rates(bytes: Option<f64>, events: Option<f64>) -> String {
    match (bytes, events) {
        (Some(bytes), Some(events)) => {
            format!("{}/s · {} events/s", words::size(bytes), words::count(events))
        }
        _ => "rate not known yet".to_owned(),
    }
}

/// A state: by a sign and a word, and by colour beside them.
pub(super) fn mark(level: StateLevel, word: &str) -> String {
    let (class, sign) = match level {
        StateLevel::Good => ("good", "✔"),
        StateLevel::Warning => ("warning", "▲"),
        StateLevel::Bad => ("bad", "✖"),
    };
    format!("<span class=\"mark {class}\"><span aria-hidden=true>{sign}</span> {}</span>", escape(word))
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StateLevel {
    Good,
    Warning,
    Bad,
}

impl StateLevel {
    /// The class of an element.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_nothing_but_text() {
        assert_eq!(escape("a <b> & \"c\" 'd'\u{1b}"), "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;\\u{1b}");
    }
}
