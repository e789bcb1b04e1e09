//! Local files, read as they grow.
//!
//! One thread follows all files of a source: it is told of changes by inotify, and walks the patterns from time to time to
//! find what it was not told. Files that have something to read stand in a queue and give one block each in turn, so a busy
//! one cannot starve the others. What is not a whole event yet is read again with the next block: that costs less than
//! keeping it for thousands of files.
//!
//! ```text
//! watch, globs ──names──▶ discovery ──new inode──▶ placement ──from where──▶ reader ──chunks──▶ intake
//!                             └──name lost, emptied──▶ rotation ──what was read of it──▲
//! ```
//!
//! All of them work on one table of files (`table`), and know nothing of each other but what the arrows say; `follower` is the
//! loop that joins them. `inspect` says what is next for a file.
//!
//! A file is known by device and inode, and each block read begins with a check of the bytes just before it, so that a file
//! that was emptied and refilled, or an inode used anew, is noticed whatever its size is.

mod account;
mod blanks;
mod compare;
mod compressed_text;
mod file_issues;
mod content;
mod content_id;
mod decompression;
mod delivered;
mod descriptors;
mod discovery;
mod files;
mod follower;
mod gauges;
mod globs;
mod gone;
mod heads;
mod identity;
mod inspect;
mod job_batch;
mod links;
mod listing;
mod old;
mod opening;
mod outcome;
mod placement;
mod position;
mod progress;
mod reader;
mod removal;
mod rotation;
mod series;
mod setup;
mod shown;
mod stored;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod tracked;
mod watch;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

pub use self::content_id::ContentId;
pub(crate) use self::descriptors::{descriptors_for_files, raise_descriptor_limit};
pub use self::files::LocalFiles;
pub(crate) use self::identity::is_compressed_name;
pub use self::position::{FileLocation, FilePosition, Fingerprint, Mark};
use super::SourceError;
use crate::config;

/// What a source's patterns find at one moment.
#[derive(Debug)]
pub(crate) struct FilesFound {
    /// Files that match.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Directories that could not be looked into.
    pub(crate) failed: Vec<(PathBuf, io::Error)>,
    /// Links that are not followed, and why.
    pub(crate) refused: Vec<(PathBuf, String)>,
    /// How many of the files are not read unless something is known of them: nothing was written to them for `ignore_older`.
    pub(crate) too_old: usize,
}

/// Walks the patterns once, and reads nothing.
///
/// # Errors
/// When a pattern is none.
pub(crate) fn find(config: &config::FileSource) -> Result<FilesFound, SourceError> {
    let mut paths = links::PathResolver::new(config.follow_links);
    let mut walk = globs::Patterns::new(&config.include, &config.exclude)?.walk(&mut paths);
    for link in &walk.links {
        if let Err(why) = paths.resolve(link)
            && !matches!(why, links::UnresolvedPath::Io(_))
        {
            walk.files.retain(|file| file != link);
            walk.refused.push((link.clone(), why));
        }
    }
    let refused = walk.refused.iter().map(|(link, why)| (link.clone(), why.to_string())).collect();
    let now = identity::FileTime::now();
    let is_too_old = |path: &&PathBuf| {
        fs::metadata(path).is_ok_and(|metadata| old::is_too_old(config.ignore_older, &metadata, now))
    };
    let too_old =
        if config.ignore_older.is_some() { walk.files.iter().filter(is_too_old).count() } else { 0 };
    Ok(FilesFound { files: walk.files.into_iter().collect(), failed: walk.failed, refused, too_old })
}
