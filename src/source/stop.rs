//! The request to stop, as the sources see it.

use tokio::sync::watch;

/// Tells every [`Stop`] of its pair.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Says whether a stop is wanted. Only sources look at it: every later stage ends because its input has ended.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A pair; clone the second half for each source.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Asks for the stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the stop was asked for, or the one who could ask is gone.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Resolves when the stop is asked for. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error says that the stopper is gone, which is a stop as well.
        self.0.wait_for(|stop| *stop).await.ok();
    }
}
