//! The state directory on a small disk of its own, and the ballast that fills it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A state directory.
pub(crate) struct Disk {
    path: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes the folder, and mounts a tmpfs on it where this user may. Dead letters stay on it: a longer run has more of them.
    pub(crate) fn make(path: &Path, seconds: u64) -> Self {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        let options = format!("size={}m,mode=0700", 48 + seconds / 2);
        mount.args(["-t", "tmpfs", "-o", &options, "standpipe-chaos"]).arg(path);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        Self { path: path.to_owned(), mounted }
    }

    /// Whether it can be filled without filling anything else.
    pub(crate) fn is_small(&self) -> bool {
        self.mounted
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let mut block = vec![0; 1 << 20];
        while !block.is_empty() {
            if ballast.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        // Freed already, or never filled.
        fs::remove_file(self.ballast()).ok();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a process that has just been killed may hold it for a moment.
            Command::new("umount").arg("-l").arg(&self.path).status().ok();
        }
    }
}
