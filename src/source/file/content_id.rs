//! What tells the content of one file from that of all others, wherever it is moved to: what ids of its lines are made of.
//!
//! The first content of an inode is told by device, inode and when the file came into being; each that follows in the same inode, by
//! the one before. So it is the same when it is found again after a crash that came before anything was written down.

use aws_lc_rs::digest::{Context, SHA256};

use super::identity::{FileKey, FileTime};
use super::setup::FileSetup;

/// See the module.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ContentId {
    /// What tells it from others.
    pub hash: u64,
    /// How many contents were in the inode before.
    pub generation: u32,
}

impl ContentId {
    /// Of the first content of a file, or of that after `before`.
    pub(super) fn new(
        setup: &FileSetup,
        key: FileKey,
        born: Option<FileTime>,
        before: impl Iterator<Item = Self>,
    ) -> Self {
        if let Some(last) = before.max_by_key(|id| id.generation) {
            return last.next();
        }
        // Where it is not known when a file came into being, the clock tells it from the one that had the inode before.
        let born = born.unwrap_or_else(FileTime::now);
        let mut context = Context::new(&SHA256);
        context.update(setup.host.as_bytes());
        context.update(b"\0");
        for number in [key.device, key.inode, born.0.cast_unsigned()] {
            context.update(&number.to_be_bytes());
        }
        Self { hash: first(context), generation: 0 }
    }

    /// Of what an inode holds next.
    pub(super) fn next(self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.hash.to_be_bytes());
        Self { hash: first(context), generation: self.generation.saturating_add(1) }
    }
}

fn first(context: Context) -> u64 {
    context.finish().as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
