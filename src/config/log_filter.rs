//! `STANDPIPE_LOG`: a level, or several as `TARGET=LEVEL`, with commas between them.

use super::problem::nearest;

/// The variable that holds it.
pub const LOG_VARIABLE: &str = "STANDPIPE_LOG";

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The filter as `tracing` reads it.
///
/// # Errors
/// When a level is none. `tracing` would take it for a target, and log nothing.
pub fn log_filter(text: &str) -> Result<String, String> {
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let directives: Vec<String> = directives.map(directive).collect::<Result<_, _>>()?;
    if directives.is_empty() { Err(wrong("an empty string", None)) } else { Ok(directives.join(",")) }
}

fn directive(text: &str) -> Result<String, String> {
    let Some((target, word)) = text.rsplit_once('=') else {
        // A target alone is one of which everything is logged.
        let is_target = text.starts_with("standpipe") || text.contains("::");
        return if is_target { Ok(text.to_owned()) } else { level(text).map(str::to_owned) };
    };
    let level = level(word.trim())?;
    Ok(format!("{}={level}", target.trim()))
}

fn level(word: &str) -> Result<&'static str, String> {
    let plain = word.to_ascii_lowercase();
    let meant = match plain.as_str() {
        "warning" => "warn",
        other => other,
    };
    let known = LEVELS.iter().find(|level| **level == meant);
    known.copied().ok_or_else(|| wrong(&format!("`{word}`"), nearest(word, LEVELS)))
}

fn wrong(found: &str, near: Option<&str>) -> String {
    let meant = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let [first @ .., last] = LEVELS;
    format!("found {found}, expected {} or {last}{meant}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(log_filter(text), expected, "{text}");
    }

    #[test]
    fn a_filter_is_made_of_levels() {
        check("debug", Ok("debug"));
        check("WARNING", Ok("warn"));
        check("info, standpipe::sink=Trace,aws_config=off", Ok("info,standpipe::sink=trace,aws_config=off"));
        check("standpipe::sink", Ok("standpipe::sink"));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        let expected = "expected error, warn, info, debug, trace or off";
        check("dbug", Err(&format!("found `dbug`, {expected}; did you mean `debug`?")));
        check("loud", Err(&format!("found `loud`, {expected}")));
        check("info,aws_config=wrn", Err(&format!("found `wrn`, {expected}; did you mean `warn`?")));
        check("", Err(&format!("found an empty string, {expected}")));
    }
}
