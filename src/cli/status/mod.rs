//! `standpipe status`: how the running daemon is, source by source and destination by destination.

mod shown;

use std::io::{self, Write};

use super::{admin_client, exit};

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct StatusOutput {
    /// As JSON, for machines.
    pub json: bool,
    /// Every unit of each source that the daemon tells of.
    pub files: bool,
}

/// Asks `url`, and shows the answer; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(url: &str, output: StatusOutput, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let (body, overview) = match admin_client::overview(url) {
        Ok(answer) => answer,
        Err(error) => {
            writeln!(
                err,
                "standpipe: no status from {url}: {error}; is the daemon running, and is this its `server.listen`?"
            )?;
            return Ok(exit::FAILED);
        }
    };
    if output.json {
        out.write_all(body.as_bytes())?;
    } else {
        shown::write(&overview, output.files, out)?;
    }
    out.flush()?;
    Ok(if overview.ready { exit::DONE } else { exit::FAILED })
}
