//! What standpipe is told by signals, and what of it is still to be done.

use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// To drain, and end; the second time to end at once.
    Stop,
    /// To run with the configuration as it is now.
    Reload,
}

/// The signals so far.
#[derive(Debug)]
pub(crate) struct SignalQueue {
    signals: mpsc::Receiver<Signal>,
    /// How often a stop was asked for.
    stops: u32,
    /// Whether a reload was asked for that has not begun.
    reload: bool,
}

impl SignalQueue {
    /// No signal yet.
    #[must_use]
    pub(crate) fn new(signals: mpsc::Receiver<Signal>) -> Self {
        Self { signals, stops: 0, reload: false }
    }

    /// Waits for the next signal, and notes it. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        let Some(signal) = self.signals.recv().await else {
            // The sender is gone.
            return std::future::pending().await;
        };
        match signal {
            Signal::Stop => self.stops = self.stops.saturating_add(1),
            Signal::Reload => self.reload = true,
        }
        signal
    }

    /// What is to be done, at once if it is known already. Cancel-safe.
    pub(crate) async fn pending(&mut self) -> Signal {
        loop {
            if self.stops > 0 {
                return Signal::Stop;
            }
            if std::mem::take(&mut self.reload) {
                return Signal::Reload;
            }
            self.next().await;
        }
    }

    /// How often a stop was asked for.
    #[must_use]
    pub(crate) fn stops(&self) -> u32 {
        self.stops
    }
}
