//! A clock that jumps by hours, for standpipe alone: by the library `libfaketime`, where it is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::arena::Arena;
use crate::story::pause;

/// Where distributions put it.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// The file that says how far the clock is ahead.
fn file(folder: &Path) -> PathBuf {
    folder.join("clock")
}

/// The variables with which a process has a clock of its own; none where the library is missing.
pub(crate) fn environment(folder: &Path) -> Vec<(String, String)> {
    let Some(library) = LIBRARIES.iter().find(|library| Path::new(library).exists()) else {
        return Vec::new();
    };
    fs::write(file(folder), "+0").unwrap();
    [
        ("LD_PRELOAD", (*library).to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file(folder).display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Sets the clock by up to three hours, to and fro, until the run is over; then it is right.
pub(crate) fn jump(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 6);
    let file = file(arena.folder.path());
    let set = |seconds: i64| {
        // Whole at once: it is read at any time.
        let new = file.with_extension("new");
        fs::write(&new, format!("{seconds:+}")).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    while file.exists() && !arena.is_over() {
        let seconds = rng.i64(-10_800..10_800);
        arena.story.tell(&format!("the clock is {seconds:+} s"));
        set(seconds);
        for _ in 0..rng.u32(20..200) {
            if !arena.is_over() {
                pause(Duration::from_millis(100));
            }
        }
    }
    if file.exists() {
        set(0);
    }
}
