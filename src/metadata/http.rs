//! One request in clear text to a service of this host. No proxy is asked, whatever the environment names.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take: the service is on this host.
const CONNECT: Duration = Duration::from_secs(2);

/// Most bytes of an answer.
const MOST: usize = 1 << 20;

/// An answer: its status and its body.
#[derive(Debug)]
pub(crate) struct LocalAnswer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Bytes,
}

/// Makes a request, with these headers, and reads its answer.
///
/// # Errors
/// When there is none.
pub(crate) async fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> io::Result<LocalAnswer> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    let uri: http::Uri = url.parse().map_err(|_| invalid(format!("`{url}` is no URL")))?;
    if uri.scheme_str() != Some("http") {
        return Err(invalid(format!("`{url}` does not begin with `http://`")));
    }
    let authority = uri.authority().ok_or_else(|| invalid(format!("`{url}` has no host")))?;
    let host = authority.host().trim_matches(['[', ']']);
    let connect = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
    let stream = timeout(CONNECT, connect).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, authority.as_str())
        .header(http::header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| invalid(error.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST).collect().await.map_err(broken)?.to_bytes();
        Ok(LocalAnswer { status, body })
    };
    // The connection ends with its one request.
    let (answer, _closed) = tokio::join!(answer, connection);
    answer
}

fn broken(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}
