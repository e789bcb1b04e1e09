//! `standpipe status`: how the running daemon is, source by source and destination by destination.

mod shown;

use std::io::{self, Write};

use super::live_arguments::{DaemonAddress, StatusArguments};
use super::{admin_client, exit};

/// Asks the daemon, and shows the answer; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(wanted: &StatusArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let StatusArguments { daemon: DaemonAddress { url }, json, files } = wanted;
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
    if *json {
        out.write_all(body.as_bytes())?;
    } else {
        shown::write(&overview, *files, out)?;
    }
    out.flush()?;
    Ok(if overview.ready { exit::DONE } else { exit::FAILED })
}
