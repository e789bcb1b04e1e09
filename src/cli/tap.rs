//! `standpipe tap`: events as they pass through the running daemon.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::os::unix::net::UnixStream;

use super::arguments::StatePlace;
use super::live_arguments::WantedEvents;
use super::{exit, state};
use crate::tap::{TapReply, TapRequest, TapTarget, connect};

/// A count comes every second; what was skipped is said after so many of them, and at the end.
const SAY_AFTER: u32 = 10;

/// Prints events until there are enough, the daemon ends, or nobody reads them; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    place: &StatePlace,
    wanted: WantedEvents,
    environment: &BTreeMap<String, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some(dir) = state::directory(place, environment, err)? else { return Ok(exit::CONFIG) };
    let limit = wanted.limit.unwrap_or(u64::MAX);
    let stream = match connect(&dir).and_then(|stream| ask(stream, wanted)) {
        Ok(stream) => stream,
        Err(error) => {
            let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
            let advice = if is_denied {
                "run this as standpipe's user"
            } else {
                "is the daemon running, and is this its state directory?"
            };
            writeln!(err, "standpipe: no daemon answers in `{}`: {error}; {advice}", dir.display())?;
            return Ok(exit::FAILED);
        }
    };
    show(BufReader::new(stream), limit, out, err)
}

fn ask(mut stream: UnixStream, wanted: WantedEvents) -> io::Result<UnixStream> {
    let WantedEvents { name, filter, .. } = wanted;
    let (target, name) = match name.split_once(':') {
        Some(("source", name)) => (Some(TapTarget::Source), name.to_owned()),
        Some(("sink", name)) => (Some(TapTarget::Sink), name.to_owned()),
        Some(_) | None => (None, name),
    };
    let mut line = serde_json::to_vec(&TapRequest { name, target, filter })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(stream)
}

/// Prints what comes, and in the end how much of what passed was looked at.
fn show(replies: impl BufRead, limit: u64, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let (mut shown, mut passed, mut counts) = (0_u64, (0, 0), 0_u32);
    for line in replies.lines() {
        if shown >= limit {
            break;
        }
        let Ok(reply) = serde_json::from_str::<TapReply>(&line?) else { continue };
        match reply {
            TapReply::Event(event) => {
                writeln!(out, "{}", harmless(&event.to_string()))?;
                // Each is seen as it comes.
                out.flush()?;
                shown = shown.saturating_add(1);
            }
            TapReply::Begun(target) if io::stderr().is_terminal() => {
                let what = match target {
                    TapTarget::Source => "as they come from the source, after redaction",
                    TapTarget::Sink => "as they are written for the sink",
                };
                writeln!(err, "standpipe: events {what}; Ctrl-C ends")?;
            }
            TapReply::Begun(_) => {}
            TapReply::Passed { events, looked_at } => {
                passed = (events, looked_at);
                counts = counts.wrapping_add(1);
                if counts.is_multiple_of(SAY_AFTER) {
                    say_skipped(passed, err)?;
                }
            }
            TapReply::Failed(words) => {
                writeln!(err, "standpipe: {words}")?;
                return Ok(exit::FAILED);
            }
        }
        if shown >= limit {
            break;
        }
    }
    say_skipped(passed, err)?;
    Ok(exit::DONE)
}

/// Of what passed, so much was looked at.
fn say_skipped((events, looked_at): (u64, u64), err: &mut impl Write) -> io::Result<()> {
    match events.saturating_sub(looked_at) {
        0 => Ok(()),
        skipped => writeln!(err, "standpipe: {skipped} of {events} events were not looked at"),
    }
}

/// JSON text without the control characters that JSON allows and terminals act on.
fn harmless(json: &str) -> String {
    let escape = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    if json.chars().any(char::is_control) { json.chars().map(escape).collect() } else { json.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(replies: &str, limit: u64, expected: (&str, &str, u8)) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = show(replies.as_bytes(), limit, &mut out, &mut err).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!((text(out).as_str(), text(err).as_str(), code), expected);
    }

    #[test]
    fn events_are_lines_that_harm_no_terminal_and_what_was_skipped_is_said() {
        let replies = "{\"begun\":\"source\"}\n{\"event\":{\"message\":\"a\u{9b}b\"}}\n{\"event\":{\"message\":\"c\"}}\n\
                       {\"passed\":{\"events\":9,\"looked_at\":2}}\n";
        let skipped = "standpipe: 7 of 9 events were not looked at\n";
        check(replies, u64::MAX, ("{\"message\":\"a\\u009bb\"}\n{\"message\":\"c\"}\n", skipped, 0));
        check(replies, 1, ("{\"message\":\"a\\u009bb\"}\n", "", 0));
        check("{\"failed\":\"there is no `x`\"}\n", 1, ("", "standpipe: there is no `x`\n", 1));
    }
}
