//! A thread of its own for a source that blocks on reads, and a watch over it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::lifecycle::SourceError;
use crate::health::Activity;

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

/// Runs `source`: while it waits for nothing that tells when it is there, it is at work.
pub(super) async fn watched<T>(activity: Arc<Activity>, source: impl Future<Output = T>) -> T {
    let mut source = pin!(source);
    poll_fn(|context| {
        activity.begin();
        let polled = source.as_mut().poll(context);
        activity.end();
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::health::Status;

    /// What is said of a source after a minute.
    fn after_a_minute(status: &Status) -> Vec<String> {
        let start = Instant::now();
        (0..60).for_each(|second| status.look(start + Duration::from_secs(second)));
        status.issues()
    }

    #[tokio::test]
    async fn a_source_that_hangs_in_a_read_is_named_until_the_read_ends() {
        let (status, activity) = (Status::default(), Arc::<Activity>::default());
        status.watch("source app", "its thread hangs in a call of the file system", &activity);
        let (begun_tx, begun) = oneshot::channel();
        let (answer_tx, answer) = mpsc::channel::<()>();
        let (idle_tx, idle) = oneshot::channel::<()>();
        let source = async move {
            begun_tx.send(()).unwrap();
            answer.recv().ok();
            idle.await.ok();
            Ok(())
        };
        let running = tokio::spawn(on_thread("app", watched(activity, source)));
        begun.await.unwrap();
        let issues = after_a_minute(&status);
        let [issue] = issues.as_slice() else { panic!("{issues:?}") };
        assert!(issue.starts_with("source app: its thread hangs in a call of the file system"), "{issue}");
        answer_tx.send(()).unwrap();
        while !after_a_minute(&status).is_empty() {
            tokio::task::yield_now().await;
        }
        idle_tx.send(()).unwrap();
        running.await.unwrap().unwrap();
    }
}
