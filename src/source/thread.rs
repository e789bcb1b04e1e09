//! A thread of its own for a source that blocks on reads.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::lifecycle::SourceError;

/// Runs `source` on a thread of its own, and waits for its end. Dropped before, it leaves the thread alone: a read that hangs can
/// not be called off.
pub(crate) async fn on_thread(
    name: &str,
    source: impl Future<Output = Result<(), SourceError>> + Send + 'static,
) -> Result<(), SourceError> {
    let (done, result) = oneshot::channel();
    let runtime = Handle::current();
    let body = move || {
        // Nobody listens any more when the process is past its deadline.
        done.send(runtime.block_on(source)).ok();
    };
    std::thread::Builder::new().name(format!("source-{name}")).spawn(body).map_err(SourceError::Thread)?;
    result.await.unwrap_or(Err(SourceError::ThreadEnded))
}
