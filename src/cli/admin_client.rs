//! Asks the running daemon by its admin endpoint.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use http::Uri;

use crate::overview::Overview;

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// No answer is longer: whatever answers there, it does not fill the memory.
const MOST_BYTES: u64 = 16 << 20;

/// Where the admin endpoint is by default.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:9598";

/// One GET of plain HTTP/1.0: nothing more is needed for this endpoint. Returns the status and the body.
pub(super) fn ask(url: &str, path: &str) -> io::Result<(u16, String)> {
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
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer)?;
    let not_http = || invalid("the answer is not HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(not_http)?;
    Ok((status, body.to_owned()))
}

/// How the daemon is: as it answers, and understood.
pub(super) fn overview(url: &str) -> io::Result<(String, Overview)> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    match ask(url, "/status.json")? {
        (200, body) => {
            let overview = serde_json::from_str(&body).map_err(|error| invalid(error.to_string()))?;
            Ok((body, overview))
        }
        (404, _) => Err(invalid("there is no /status.json: is it a standpipe of this version?".to_owned())),
        (status, _) => Err(invalid(format!("it answers {status}"))),
    }
}
