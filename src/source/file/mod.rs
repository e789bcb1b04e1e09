//! Local files, read as they grow.
//!
//! One thread follows all files of a source: it is told of changes by inotify, and walks the patterns from time to time to
//! find what it was not told. Files that have something to read stand in a queue and give one block each in turn, so a busy
//! one cannot starve the others. What is not a whole event yet is read again with the next block: that costs less than
//! keeping it for thousands of files.
//!
//! ```text
//! watch, globs ──names──▶ look ──new inode──▶ place ──from where──▶ turn ──chunks──▶ intake
//!                           └───name lost, emptied──▶ rotate ──what was read of it──▲
//! ```
//!
//! A file is known by device and inode, and each block read begins with a check of the bytes just before it, so that a file
//! that was emptied and refilled, or an inode used anew, is noticed whatever its size is.

mod content;
mod files;
mod follow;
mod globs;
mod identity;
mod look;
mod open;
mod place;
mod rotate;
mod table;
mod tail;
#[cfg(test)]
pub(super) mod tests;
mod turn;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::files::Files;
use self::follow::Follower;
use self::watch::Watch;
use super::SourceError;
use crate::config;
use crate::event::{Buffers, FilePositions};
use crate::pipeline::Intake;
use crate::source::Stop;

/// What a source's patterns find at one moment.
#[derive(Debug)]
pub struct Found {
    /// Files that match.
    pub files: BTreeSet<PathBuf>,
    /// Directories that could not be looked into.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// Walks the patterns once, and reads nothing.
///
/// # Errors
/// When a pattern is none.
pub fn find(config: &config::FileSource) -> Result<Found, SourceError> {
    let walk = globs::Patterns::new(&config.include, &config.exclude)?.walk();
    Ok(Found { files: walk.files, failed: walk.failed })
}

/// A source of type `file`.
#[derive(Debug)]
pub struct FileSource {
    name: Arc<str>,
    host: Arc<str>,
    config: config::FileSource,
    intake: Intake,
    positions: Arc<dyn FilePositions>,
    buffers: Arc<Buffers>,
    once: bool,
}

/// Buffers that files are read into, to be shared by all sources: what one keeps at rest is of use to the others.
#[must_use]
pub fn read_buffers() -> Arc<Buffers> {
    Buffers::new(turn::FULL, turn::BUFFERS)
}

impl FileSource {
    /// Joins the parts; with `once`, what is there is read, and nothing is waited for.
    #[must_use]
    pub fn new(
        name: Arc<str>,
        host: Arc<str>,
        config: config::FileSource,
        intake: Intake,
        (positions, buffers): (Arc<dyn FilePositions>, Arc<Buffers>),
        once: bool,
    ) -> Self {
        Self { name, host, config, intake, positions, buffers, once }
    }

    /// Reads until a stop is asked for, or until everything was handed over.
    ///
    /// It blocks on files: run it on a thread of its own.
    pub async fn run(self, stop: Stop) -> Result<(), SourceError> {
        let watch = if self.once { Watch::blind() } else { Watch::start() };
        self.run_with(watch, stop).await
    }

    async fn run_with(self, watch: Watch, stop: Stop) -> Result<(), SourceError> {
        let mut follower = Follower::new(self, watch, stop)?;
        // A closed pipeline is a stop: what was not taken is read again at the next start.
        follower.run().await.ok();
        Ok(())
    }
}
