//! What standpipe is told by signals, and what of it is still to be done.

use tokio::sync::mpsc;

/// One signal's wish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// To drain, and end; the second time to end at once.
    Stop,
    /// To run with the configuration as it is now.
    Reload,
}

/// The wishes so far.
#[derive(Debug)]
pub(super) struct Orders {
    wishes: mpsc::Receiver<Wish>,
    /// How often a stop was asked for.
    stops: u32,
    /// Whether a reload was asked for that has not begun.
    reload: bool,
}

impl Orders {
    /// No wish yet.
    #[must_use]
    pub(super) fn new(wishes: mpsc::Receiver<Wish>) -> Self {
        Self { wishes, stops: 0, reload: false }
    }

    /// Waits for the next wish, and notes it. Cancel-safe.
    pub(super) async fn next(&mut self) -> Wish {
        let Some(wish) = self.wishes.recv().await else {
            // Who could wish is gone.
            return std::future::pending().await;
        };
        match wish {
            Wish::Stop => self.stops = self.stops.saturating_add(1),
            Wish::Reload => self.reload = true,
        }
        wish
    }

    /// What is to be done, at once if it is known already. Cancel-safe.
    pub(super) async fn pending(&mut self) -> Wish {
        loop {
            if self.stops > 0 {
                return Wish::Stop;
            }
            if std::mem::take(&mut self.reload) {
                return Wish::Reload;
            }
            self.next().await;
        }
    }

    /// How often a stop was asked for.
    #[must_use]
    pub(super) fn stops(&self) -> u32 {
        self.stops
    }
}
