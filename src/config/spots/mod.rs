//! Where the keys of a file stand. The `config` crate reads the values, and does not say.

mod fault;
mod in_json;
mod in_toml;
mod in_yaml;

use config::FileFormat;

pub(super) use self::fault::{Spots, SyntaxFault};

/// The places of a text's keys.
pub(super) fn find(format: FileFormat, text: &str) -> Result<Spots, SyntaxFault> {
    match format {
        FileFormat::Toml => in_toml::find(text),
        FileFormat::Yaml => in_yaml::find(text),
        FileFormat::Json => in_json::find(text),
        _ => Ok(Spots::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// Checks what stands at the places: key, key's text, value's text.
    #[track_caller]
    fn check(format: FileFormat, text: &str, expected: &[(&str, &str, &str)]) {
        let spots = find(format, text).unwrap_or_else(|fault| panic!("{fault:?}"));
        let at = |range: &Range<usize>| text.get(range.clone()).unwrap();
        let shown: Vec<(&str, &str, &str)> =
            spots.iter().map(|(key, spot)| (key.as_str(), at(&spot.key), at(&spot.value))).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn keys_of_toml_are_found() {
        check(
            FileFormat::Toml,
            "[sources.\"b d\"]\nx = 'y'\n[[routes]]\nto = [\"a\", { z = 1 }]\n",
            &[
                ("routes", "routes", "[[routes]]"),
                ("routes[0]", "[[routes]]", "[[routes]]"),
                ("routes[0].to", "to", "[\"a\", { z = 1 }]"),
                ("routes[0].to[0]", "\"a\"", "\"a\""),
                ("routes[0].to[1]", "{ z = 1 }", "{ z = 1 }"),
                ("routes[0].to[1].z", "z", "1"),
                ("sources", "sources", "sources"),
                ("sources.\"b d\"", "\"b d\"", "[sources.\"b d\"]"),
                ("sources.\"b d\".x", "x", "'y'"),
            ],
        );
    }

    #[test]
    fn keys_of_yaml_are_found() {
        check(
            FileFormat::Yaml,
            "ключ: \"y z\"\nroutes:\n  - to: [a, b]\n  - {x: 1}\nempty:\nб: 'ä' # c\n",
            &[
                ("\"б\"", "б", "'ä'"),
                ("\"ключ\"", "ключ", "\"y z\""),
                ("empty", "empty", ""),
                ("routes", "routes", "- to: [a, b]"),
                ("routes[0]", "to: [a, b]", "to: [a, b]"),
                ("routes[0].to", "to", "[a, b]"),
                ("routes[0].to[0]", "a", "a"),
                ("routes[0].to[1]", "b", "b"),
                ("routes[1]", "{x: 1}", "{x: 1}"),
                ("routes[1].x", "x", "1"),
            ],
        );
    }

    #[test]
    fn keys_of_json_are_found() {
        check(
            FileFormat::Json,
            "{\"a\": {\"b\\u0063\": [1, \"x\"]},\n \"d\": null}",
            &[
                ("a", "\"a\"", "{\"b\\u0063\": [1, \"x\"]}"),
                ("a.bc", "[1, \"x\"]", "[1, \"x\"]"),
                ("a.bc[0]", "1", "1"),
                ("a.bc[1]", "\"x\"", "\"x\""),
                ("d", "\"d\"", "null"),
            ],
        );
    }
}
