//! Why a request got no answer, with the host and port that it was for.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::ConnectorError;
use http::Uri;

/// Whom a request is for.
#[derive(Debug)]
pub(super) struct TransportPeer {
    /// Host and port.
    name: String,
    /// The proxy of the environment that it goes through.
    proxy: Option<String>,
}

/// A request got no answer: nobody could be connected to, or the connection ended.
#[derive(Debug)]
pub(super) struct TransportFault {
    peer: TransportPeer,
    source: ConnectorError,
}

impl TransportPeer {
    pub(super) fn of(uri: &Uri, proxy: Option<&Uri>) -> Self {
        Self { name: host_and_port(uri), proxy: proxy.map(host_and_port) }
    }

    /// The same error, which says whom the request was for.
    pub(super) fn blame(self, error: ConnectorError) -> ConnectorError {
        let (is_timeout, is_user, is_io, other) =
            (error.is_timeout(), error.is_user(), error.is_io(), error.as_other());
        let fault = Box::new(TransportFault { peer: self, source: error });
        match (is_timeout, is_user, is_io) {
            (true, ..) => ConnectorError::timeout(fault),
            (_, true, _) => ConnectorError::user(fault),
            (.., true) => ConnectorError::io(fault),
            _ => ConnectorError::other(fault, other),
        }
    }
}

fn host_and_port(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    format!("{}:{port}", uri.host().unwrap_or("a host without a name"))
}

/// How the client's error says that there was no connection yet.
const CONNECTING: &str = "(Connect)";

impl TransportFault {
    /// The fault among the causes of an error.
    pub(super) fn among<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }

    fn was_connecting(&self) -> bool {
        causes(&self.source).any(|cause| cause.to_string().contains(CONNECTING))
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TransportPeer { name, proxy } = &self.peer;
        let what = match (self.was_connecting(), self.source.is_timeout()) {
            (true, _) => "cannot connect to",
            (false, true) => "no answer in time from",
            (false, false) => "the connection ended before an answer of",
        };
        write!(f, "{what} `{name}`")?;
        proxy.as_ref().map_or(Ok(()), |proxy| write!(f, " through the environment's proxy `{proxy}`"))
    }
}

/// The last cause alone: those between are how the client is made.
impl Error for TransportFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        causes(&self.source).last()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::causes::with_causes;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct ClientError(#[source] io::Error);

    #[track_caller]
    fn check(uri: &str, error: ConnectorError, expected: &str) {
        let blamed = TransportPeer::of(&uri.parse().unwrap(), None).blame(error);
        assert_eq!(with_causes(TransportFault::among(&blamed).unwrap()), expected);
    }

    #[test]
    fn an_error_of_the_network_names_host_and_port() {
        let refused = || ClientError(io::Error::from(io::ErrorKind::ConnectionRefused));
        let uri = "https://firehose.eu-west-1.amazonaws.com/";
        check(
            uri,
            ConnectorError::io(refused().into()),
            "cannot connect to `firehose.eu-west-1.amazonaws.com:443`: connection refused",
        );
        check(
            "http://127.0.0.1:4566/",
            ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            "the connection ended before an answer of `127.0.0.1:4566`: connection reset",
        );
        check(
            uri,
            ConnectorError::timeout(io::Error::from(io::ErrorKind::TimedOut).into()),
            "no answer in time from `firehose.eu-west-1.amazonaws.com:443`: timed out",
        );
    }

    #[test]
    fn a_proxy_on_the_way_is_named() {
        let (uri, proxy) =
            ("https://a.example/".parse().unwrap(), "http://proxy.example:3128".parse().unwrap());
        let error = ConnectorError::io(ClientError(io::Error::from(io::ErrorKind::ConnectionRefused)).into());
        let blamed = TransportPeer::of(&uri, Some(&proxy)).blame(error);
        let said = with_causes(TransportFault::among(&blamed).unwrap());
        let expected = "cannot connect to `a.example:443` through the environment's proxy `proxy.example:3128`: connection refused";
        assert_eq!(said, expected);
    }

    #[test]
    fn the_kind_of_an_error_stays() {
        let peer = || TransportPeer::of(&Uri::default(), None);
        let cause = || io::Error::other("x").into();
        assert!(peer().blame(ConnectorError::timeout(cause())).is_timeout());
        assert!(peer().blame(ConnectorError::user(cause())).is_user());
        assert!(peer().blame(ConnectorError::io(cause())).is_io());
    }
}
