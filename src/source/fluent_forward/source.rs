//! The border of the source: a socket that outlives a reload.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tracing::{info, warn};

use super::socket::ForwardSocket;
use super::{ForwardEndpoint, ecs, serve};
use crate::config::{ForwardListen, ForwardSource};
use crate::event::Origin;
use crate::pipeline::Intake;
use crate::source::carryover::Carried;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;
use crate::sync::Lock;

/// A source of type `fluent_forward`, as the daemon sees it.
pub(crate) struct FluentForward {
    context: SourceContext,
    /// Served by the first run.
    endpoint: Option<ForwardEndpoint>,
}

/// The sockets that are bound, by where they listen and, where the system chose the port, by the source: a source of the next
/// generation takes them over.
#[derive(Default)]
struct ForwardSockets(
    /// The lock covers a look-up.
    Lock<BTreeMap<String, Weak<ForwardSocket>>>,
);

impl Carried for ForwardSockets {}

impl ForwardSockets {
    fn key(listen: &ForwardListen, source: &str) -> String {
        match listen {
            ForwardListen::Tcp(address) if address.port() == 0 => format!("{listen} {source}"),
            ForwardListen::Tcp(_) | ForwardListen::Unix(_) => listen.to_string(),
        }
    }

    fn find(&self, key: &str) -> Option<Arc<ForwardSocket>> {
        self.0.lock().get(key).and_then(Weak::upgrade)
    }

    fn keep(&self, key: String, socket: &Arc<ForwardSocket>) {
        let mut sockets = self.0.lock();
        sockets.retain(|_, socket| socket.strong_count() > 0);
        sockets.insert(key, Arc::downgrade(socket));
    }
}

impl FluentForward {
    /// Reads the certificate, and binds the socket unless the generation before has.
    ///
    /// # Errors
    /// When the configuration cannot be served.
    pub(crate) async fn prepare(config: ForwardSource, context: SourceContext) -> Result<Self, SourceError> {
        let sockets = context.carryover.get::<ForwardSockets>("");
        let key = ForwardSockets::key(&config.listen, &context.name);
        let mut origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        if let Some(url) = &config.ecs_metadata {
            match ecs::fields(url).await {
                Ok(fields) => origin.attributes = fields,
                Err(error) => warn!(
                    source = &*context.name,
                    url,
                    %error,
                    "the task's metadata cannot be read: events have no fields of ECS"
                ),
            }
        }
        let endpoint = ForwardEndpoint::open(config, origin, sockets.find(&key)).await;
        let endpoint = endpoint.map_err(|error| SourceError::Other(Box::new(error)))?;
        sockets.keep(key, &endpoint.socket);
        Ok(Self { context, endpoint: Some(endpoint) })
    }
}

impl Source for FluentForward {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        let (name, status) = (Arc::clone(&self.context.name), Arc::clone(&self.context.status));
        let endpoint = self.endpoint.take();
        Box::pin(async move {
            if let Some(endpoint) = endpoint {
                let address = endpoint.socket.address().unwrap_or_default();
                info!(source = &*name, address, "forward endpoint listening");
                serve(endpoint, intake, status, stop).await;
            }
            Ok(())
        })
    }
}
