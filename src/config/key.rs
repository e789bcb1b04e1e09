//! Dotted keys: `sinks.archive.assume_role[1].arn`.

/// Appends a name to a dotted key.
pub(super) fn join(path: &str, name: &str) -> String {
    let mut key = String::with_capacity(path.len() + name.len() + 1);
    key.push_str(path);
    if !path.is_empty() {
        key.push('.');
    }
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain {
        key.push_str(name);
    } else {
        let quoted = format!("{name:?}");
        key.push_str(&quoted);
    }
    key
}

/// The key of an item of a list, counted from 0.
pub(super) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Whether a secret may stand under a key, or under one that is misspelt like it.
pub(super) fn may_be_secret(key: &str) -> bool {
    const WORDS: [&str; 5] = ["key", "secret", "token", "pass", "credential"];
    let key = key.to_lowercase();
    let alike = |word: &str| strsim::jaro_winkler(word, "access_keys") >= 0.8;
    WORDS.iter().any(|word| key.contains(word))
        || key.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).any(alike)
}
