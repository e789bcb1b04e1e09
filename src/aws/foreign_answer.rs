//! Answers that are not in the form of the service that was asked: mostly those of a proxy or gateway on the way.

use std::fmt;

use aws_smithy_runtime_api::http::Response;

/// An answer without an error code of AWS.
#[derive(Debug)]
pub(crate) struct ForeignAnswer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Whether the answer has a request's id, which AWS gives each.
    is_of_aws: bool,
    content_type: Option<String>,
    server: Option<String>,
    excerpt: String,
}

/// So much of a body is shown.
const EXCERPT: usize = 160;

impl ForeignAnswer {
    pub(crate) fn of(response: &Response) -> Self {
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default()).into_owned();
        Self {
            status: response.status().as_u16(),
            is_of_aws: ["x-amzn-requestid", "x-amz-request-id"].into_iter().any(|id| header(id).is_some()),
            content_type: header("content-type"),
            server: header("server"),
            excerpt: excerpt(&text),
        }
    }
}

/// The first characters, on one line.
fn excerpt(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

impl fmt::Display for ForeignAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(content_type) = &self.content_type {
            write!(f, " {content_type}")?;
        }
        if let Some(server) = &self.server {
            write!(f, " from server `{server}`")?;
        }
        if self.is_of_aws {
            f.write_str(", without an error code.")?;
        } else {
            f.write_str(", which is no answer of AWS: is there a proxy or gateway on the way?")?;
        }
        if self.excerpt.is_empty() {
            f.write_str(" Its body is empty")
        } else {
            write!(f, " It says: {}", self.excerpt)
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[track_caller]
    fn check(status: u16, headers: &[(&'static str, &'static str)], body: &str, expected: &str) {
        let mut response = Response::new(status.try_into().unwrap(), SdkBody::from(body));
        for (name, value) in headers {
            response.headers_mut().insert(*name, *value);
        }
        let answer = ForeignAnswer::of(&response);
        assert_eq!((answer.status, answer.to_string()), (status, expected.to_owned()));
    }

    #[test]
    fn an_answer_of_a_proxy_is_told_with_its_status_type_server_and_first_words() {
        check(
            413,
            &[("content-type", "text/html"), ("server", "nginx/1.27")],
            "<html>\r\n<head><title>413 Request Entity Too Large</title></head>",
            "HTTP 413 text/html from server `nginx/1.27`, which is no answer of AWS: is there a proxy or gateway on the way? \
             It says: <html> <head><title>413 Request Entity Too Large</title></head>",
        );
        check(
            301,
            &[],
            "",
            "HTTP 301, which is no answer of AWS: is there a proxy or gateway on the way? Its body is empty",
        );
        check(
            502,
            &[("x-amzn-requestid", "1")],
            "\u{1b}[31mx",
            "HTTP 502, without an error code. It says: [31mx",
        );
    }

    #[test]
    fn of_a_long_body_only_the_first_characters_are_told() {
        let answer = excerpt(&"ä".repeat(1_000));
        assert_eq!(answer.chars().count(), EXCERPT + 1);
    }
}
