//! A lock without poisoning: a panic aborts the process, so nobody meets what a panic left half done.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A [`Mutex`] whose lock cannot fail. Held for moments, and never across an await.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
