//! Names of log groups with stars: which groups a subscription takes.

/// Names of log groups in which `*` may stand for anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MatchPatterns {
    /// Those that are taken.
    pub patterns: Vec<String>,
    /// Those of them that are not.
    pub exclude: Vec<String>,
}

impl MatchPatterns {
    /// Whether a log group of this name is taken.
    #[must_use]
    pub fn takes(&self, group: &str) -> bool {
        let is_of = |list: &[String]| list.iter().any(|pattern| matches_name(pattern, group));
        is_of(&self.patterns) && !is_of(&self.exclude)
    }

    /// What the names begin with that may match, each once: those of one begin with none of the others.
    #[must_use]
    pub fn prefixes(&self) -> Vec<&str> {
        let mut prefixes: Vec<&str> =
            self.patterns.iter().filter_map(|pattern| pattern.split('*').next()).collect();
        prefixes.sort_unstable();
        // What begins with another one comes after it.
        prefixes.dedup_by(|longer, shorter| longer.starts_with(*shorter));
        prefixes
    }
}

/// Whether a pattern, in which `*` stands for anything, is a name.
fn matches_name(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    // Without a star, nothing may be left; with one, the last part is at the end.
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_everything_else_for_itself() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches_name(pattern, name), expected, "{pattern} {name}");
        };
        check("/aws/lambda/*", "/aws/lambda/orders", true);
        check("/aws/lambda/*", "/aws/lambda/", true);
        check("/aws/lambda/*", "/aws/lambda", false);
        check("*-prod", "orders-prod", true);
        check("*-prod", "orders-prod-2", false);
        check("/a/*/b/*", "/a/x/b/y", true);
        check("/a/*/b/*", "/a/x/y", false);
        check("a*a", "a", false);
        check("a*b*b", "ab", false);
        check("orders", "orders", true);
        check("orders", "orders2", false);
    }

    #[test]
    fn what_is_asked_for_comes_once() {
        let patterns = |patterns: &[&str]| MatchPatterns {
            patterns: patterns.iter().map(|text| (*text).to_owned()).collect(),
            exclude: vec!["/aws/lambda/noisy*".to_owned()],
        };
        let asked = patterns(&["/aws/lambda/*", "/aws/lambda/orders-*", "/ecs/*", "shop"]);
        assert_eq!(asked.prefixes(), ["/aws/lambda/", "/ecs/", "shop"]);
        assert_eq!(patterns(&["*-prod", "/ecs/*"]).prefixes(), [""]);
        assert!(asked.takes("/aws/lambda/orders") && !asked.takes("/aws/lambda/noisy-1"));
    }
}
