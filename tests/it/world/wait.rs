//! Waiting for what a test waits for.

use std::time::{Duration, Instant};

/// How long nothing may happen before a test fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until the condition gives a value.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    progress(what, || condition().ok_or((0, String::new())))
}

/// Waits until the condition gives a value; it may take long as long as the number it gives instead grows.
#[track_caller]
pub(crate) fn progress<T>(what: &str, mut condition: impl FnMut() -> Result<T, (u64, String)>) -> T {
    let mut since = Instant::now();
    let mut furthest = 0;
    loop {
        match condition() {
            Ok(value) => return value,
            Err((reached, _)) if reached > furthest => {
                furthest = reached;
                since = Instant::now();
            }
            Err((_, evidence)) => {
                assert!(since.elapsed() < PATIENCE, "waited in vain until {what}\n{evidence}");
            }
        }
        pause();
    }
}

fn pause() {
    pause_for(Duration::from_millis(10));
}

/// Lets a process work for so long before it is killed.
#[expect(clippy::disallowed_methods, reason = "between two looks at a condition, or before a kill")]
pub(crate) fn pause_for(time: Duration) {
    std::thread::sleep(time);
}
