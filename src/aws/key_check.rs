//! Looks at credentials before a request is signed with them.
//!
//! The signer puts the access key id and the session token into headers, and ends the process when they do not fit there.

use aws_credential_types::Credentials as Keys;

use super::fault::CredentialsFault;

/// Refuses keys that cannot be right, whatever they were meant to be; `source` says where they are from.
pub(super) fn check(keys: &Keys, source: &str) -> Result<(), CredentialsFault> {
    let parts = [
        ("access key id", keys.access_key_id()),
        ("secret access key", keys.secret_access_key()),
        ("session token", keys.session_token().unwrap_or("none")),
    ];
    let flaws = parts.into_iter().filter_map(|(name, value)| Some(format!("the {name} {}", flaw(value)?)));
    let flaws: Vec<String> = flaws.collect();
    if flaws.is_empty() { Ok(()) } else { Err(CredentialsFault::unfit(source, &flaws.join("; "))) }
}

/// What is wrong with a part, which is never shown.
fn flaw(value: &str) -> Option<String> {
    let at_end = value.trim_end() != value;
    let found = value.trim_start().len() != value.len() || at_end;
    let is_quoted = ['"', '\'']
        .iter()
        .any(|quote| value.len() > 1 && value.starts_with(*quote) && value.ends_with(*quote));
    let wrong = |c: &char| c.is_control() || c.is_whitespace() || !c.is_ascii();
    let text = if value.is_empty() {
        "is empty".to_owned()
    } else if is_quoted {
        "has quotes around it".to_owned()
    } else {
        let (place, char) = match value.chars().rev().find(wrong).filter(|_| at_end) {
            Some(_) => ("at its end", value.chars().next_back()?),
            None if found => ("at its beginning", value.chars().next()?),
            None => ("in it", value.chars().find(wrong)?),
        };
        format!("has {} {place}", name(char))
    };
    Some(text)
}

fn name(char: char) -> &'static str {
    match char {
        '\n' => "a newline",
        '\r' => "a carriage return",
        '\t' => "a tab",
        _ if char.is_control() => "a control character",
        _ if char.is_ascii() => "a space",
        _ => "a character that is not ASCII",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_key(id: &str, expected: Option<&str>) {
        assert_eq!(flaw(id).as_deref(), expected, "{id:?}");
    }

    #[test]
    fn what_no_key_has_is_named_by_its_place() {
        check_key("AKIAIOSFODNN7EXAMPLE", None);
        check_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY==", None);
        check_key("AKIA\n", Some("has a newline at its end"));
        check_key("AKIA\r", Some("has a carriage return at its end"));
        check_key(" AKIA", Some("has a space at its beginning"));
        check_key("AK\nIA", Some("has a newline in it"));
        check_key("AK\u{1}IA", Some("has a control character in it"));
        check_key("AKIA\u{7f}", Some("has a control character in it"));
        check_key("AKIA\u{a0}", Some("has a character that is not ASCII at its end"));
        check_key("\u{feff}AKIA", Some("has a character that is not ASCII in it"));
        check_key("\"AKIA\"", Some("has quotes around it"));
        check_key("", Some("is empty"));
        check_key("\n", Some("has a newline at its end"));
    }

    #[test]
    fn a_flaw_is_told_without_the_key() {
        let keys = Keys::new("AKIA\n", "very-secret\r", None, None, "test");
        let fault = check(&keys, "the environment").unwrap_err();
        let (reason, fix) = fault.fix.clone().unwrap();
        let text = format!("{fault}; {fix}");
        assert_eq!(reason, "unrecognized_credentials");
        assert!(text.contains("the access key id has a newline at its end"), "{text}");
        assert!(text.contains("the secret access key has a carriage return at its end"), "{text}");
        assert!(text.contains("the environment"), "{text}");
        assert!(!text.contains("very-secret"), "{text}");
        check(&Keys::new("AKIA", "secret", Some("token".to_owned()), None, "test"), "x").unwrap();
    }
}
