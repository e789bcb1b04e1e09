//! Work for the worker threads from async code.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::event::Closed;

/// A piece of work for the worker threads.
pub type OffloadTask = Box<dyn FnOnce() + Send>;

/// Runs CPU-bound work (compression, base64, hashing) on the worker threads, ahead of decoding, so that what is nearest to
/// leaving leaves first.
#[derive(Clone, Debug)]
pub struct Offload {
    tasks: crossbeam_channel::Sender<OffloadTask>,
    /// One permit a place in `tasks`, so that a task never blocks on the channel.
    places: Arc<Semaphore>,
}

impl Offload {
    /// A queue of `capacity` tasks, and the end that the threads take from.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, crossbeam_channel::Receiver<OffloadTask>) {
        let (tasks, receiver) = crossbeam_channel::bounded(capacity);
        (Self { tasks, places: Arc::new(Semaphore::new(capacity)) }, receiver)
    }

    /// Runs `work` on a worker thread and waits for its result.
    ///
    /// # Errors
    /// When the threads have ended.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Closed)?;
        let (done, result) = oneshot::channel();
        let task = move || {
            drop(place);
            // Nobody waits any more when the sink was stopped at the deadline.
            done.send(work()).ok();
        };
        self.tasks.send(Box::new(task)).map_err(|_| Closed)?;
        result.await.map_err(|_| Closed)
    }
}
