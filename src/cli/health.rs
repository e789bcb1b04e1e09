//! `standpipe health`: asks the running daemon, for a container's health check.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use http::Uri;

use super::exit;

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

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

/// One GET of plain HTTP/1.0: nothing more is needed for this endpoint.
fn ask(url: &str, path: &str) -> io::Result<(u16, String)> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri =
        whole.parse().map_err(|_| invalid("`--url` is not a URL such as http://127.0.0.1:9598"))?;
    if uri.scheme_str() != Some("http") {
        return Err(invalid("`--url` must begin with http://"));
    }
    let host = uri.host().ok_or_else(|| invalid("`--url` has no host"))?;
    let port = uri.port_u16().unwrap_or(80);
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let address = (name, port).to_socket_addrs()?.next().ok_or_else(|| invalid("the host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    let not_http = || invalid("the answer is not HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(not_http)?;
    Ok((status, body.to_owned()))
}
