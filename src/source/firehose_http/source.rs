//! The border of the source: an endpoint that outlives a reload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::net::TcpListener;
use tracing::info;

use super::{HttpEndpoint, serve};
use crate::config::HttpSource;
use crate::pipeline::Intake;
use crate::source::carryover::Carried;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;
use crate::sync::Lock;

/// A source of type `firehose_http`, as the daemon sees it.
pub struct FirehoseHttp {
    context: SourceContext,
    /// Served by the first run.
    endpoint: Option<HttpEndpoint>,
}

/// The sockets that are bound, by the address and, where the system chose the port, by the source: a source of the next generation
/// takes them over.
#[derive(Default)]
struct BoundSockets(
    /// The lock covers a look-up.
    Lock<BTreeMap<(SocketAddr, String), Weak<TcpListener>>>,
);

impl Carried for BoundSockets {}

impl BoundSockets {
    fn key(listen: SocketAddr, source: &str) -> (SocketAddr, String) {
        (listen, if listen.port() == 0 { source.to_owned() } else { String::new() })
    }

    fn find(&self, listen: SocketAddr, source: &str) -> Option<Arc<TcpListener>> {
        let sockets = self.0.lock();
        sockets.get(&Self::key(listen, source)).and_then(Weak::upgrade)
    }

    fn keep(&self, listen: SocketAddr, source: &str, socket: &Arc<TcpListener>) {
        let mut sockets = self.0.lock();
        sockets.retain(|_, socket| socket.strong_count() > 0);
        sockets.insert(Self::key(listen, source), Arc::downgrade(socket));
    }
}

impl FirehoseHttp {
    /// Reads the certificate, and binds the address unless the generation before has.
    ///
    /// # Errors
    /// When the configuration cannot be served.
    pub async fn prepare(config: HttpSource, context: SourceContext) -> Result<Self, SourceError> {
        let sockets = context.carryover.get::<BoundSockets>("");
        let listen = config.listen;
        let endpoint = HttpEndpoint::open(config, sockets.find(listen, &context.name)).await;
        let endpoint = endpoint.map_err(|error| SourceError::Other(Box::new(error)))?;
        sockets.keep(listen, &context.name, &endpoint.listener());
        Ok(Self { context, endpoint: Some(endpoint) })
    }
}

impl Source for FirehoseHttp {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        let (name, host) = (Arc::clone(&self.context.name), Arc::clone(&self.context.host));
        let (status, endpoint) = (Arc::clone(&self.context.status), self.endpoint.take());
        Box::pin(async move {
            if let Some(endpoint) = endpoint {
                info!(source = &*name, address = %endpoint.address(), "firehose endpoint listening");
                serve(endpoint, name, host, intake, status, stop).await;
            }
            Ok(())
        })
    }
}
