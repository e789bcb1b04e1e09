//! Positions in a folder of their own, which outlive a source.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use crate::ack::Checkpoints;
use crate::source::file::position::FilePosition;

/// The positions of one source, called `test`.
pub(super) struct Positions {
    folder: TempDir,
    checkpoints: Arc<Checkpoints>,
}

impl Default for Positions {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        Self { folder, checkpoints }
    }
}

impl Positions {
    /// For the next run of the source.
    pub(super) fn next_run(&self) -> Arc<Checkpoints> {
        self.checkpoints.renew();
        Arc::clone(&self.checkpoints)
    }

    /// What the checkpoint file holds now, for another run; what is acknowledged later does not reach it.
    pub(super) fn saved(&self) -> Self {
        self.checkpoints.save().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir(self.folder.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        Self { folder, checkpoints }
    }

    /// Writes down what moved.
    pub(super) fn record(&self) {
        self.checkpoints.record().unwrap();
    }

    /// The positions that are remembered.
    pub(super) fn all(&self) -> Vec<FilePosition> {
        self.checkpoints.save().unwrap();
        let entries = Checkpoints::list(self.folder.path()).unwrap().entries;
        entries.iter().map(|entry| entry.position().unwrap()).collect()
    }

    /// Changes what is remembered of each file, between two runs.
    pub(super) fn change(&self, change: impl Fn(&mut FilePosition)) {
        for account in self.next_run().stored("test") {
            account.change(&change);
        }
    }
}
