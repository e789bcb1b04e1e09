//! `standpipe health`: asks the running daemon, for a container's health check.

use std::io::{self, Write};

use super::admin_client::ask;
use super::exit;

/// Asks `url` for /healthz, or for /readyz, and writes the answer; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(url: &str, ready: bool, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let path = if ready { "/readyz" } else { "/healthz" };
    match ask(url, path) {
        Ok((200, body)) => {
            out.write_all(body.as_bytes())?;
            Ok(exit::DONE)
        }
        Ok((_, body)) => {
            out.write_all(body.as_bytes())?;
            Ok(exit::FAILED)
        }
        Err(error) => {
            writeln!(err, "standpipe: no answer from {url}{path}: {error}")?;
            Ok(exit::FAILED)
        }
    }
}
