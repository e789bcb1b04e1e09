//! What the log says of a source's files: what was found at the start, and what cannot be read, once for each.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::globs::PatternWalk;
use super::links::UnresolvedPath;
use super::opening::advice;
use super::setup::FileSetup;

/// Says what cannot be read, and counts it.
pub(super) struct FileIssues {
    setup: Arc<FileSetup>,
    /// Directories and files that could not be read, as was said.
    said: HashSet<PathBuf>,
}

impl FileIssues {
    pub(super) fn new(setup: Arc<FileSetup>) -> Self {
        Self { setup, said: HashSet::new() }
    }

    /// A path can be looked at: should it not be so again, that is said again.
    pub(super) fn settle(&mut self, path: &Path) {
        if !self.said.is_empty() {
            self.said.remove(path);
        }
    }

    /// Says what was found at the start.
    pub(super) fn introduce(&self, walk: &PatternWalk) {
        let (files, max_open, most) =
            (walk.files.len(), self.setup.config.max_open, self.setup.descriptors.most());
        info!(source = %self.setup.name, files, "files found");
        if files > most && most < max_open {
            info!(
                most,
                max_open,
                "fewer files are open at once than `max_open`; raise the limit of open descriptors (`LimitNOFILE`, `ulimit -n`)"
            );
        }
        for (pattern, is_dir) in &walk.unmatched {
            if *is_dir {
                warn!(
                    pattern,
                    "the glob names a folder and matches no file; write `{pattern}/*` or `{pattern}/**`"
                );
            } else {
                info!(pattern, "no file matches the glob yet");
            }
        }
    }

    /// Says what a walk could not read or may not follow.
    pub(super) fn walked(&mut self, walk: &PatternWalk) {
        for (dir, error) in &walk.failed {
            self.setup.metrics().error("walk");
            if self.said.insert(dir.clone()) {
                warn!(dir = %dir.display(), %error, "cannot read directory; trying again later. {}", advice(error));
            }
        }
        for dir in &walk.dirs {
            self.said.remove(dir);
        }
        for (path, why) in &walk.refused {
            self.refuse(path, why);
        }
    }

    /// A link may not be followed.
    pub(super) fn refuse(&mut self, path: &Path, why: &UnresolvedPath) {
        self.setup.metrics().error("link");
        if self.said.insert(path.to_owned()) {
            warn!(path = %path.display(), "{why}");
        }
    }

    /// Not to be seen is not gone: what is known of the path stays.
    pub(super) fn cannot_look(&mut self, path: &Path, error: &io::Error) {
        self.setup.metrics().error("look");
        if self.said.insert(path.to_owned()) {
            warn!(path = %path.display(), %error, "cannot look at file; trying again later. {}", advice(error));
        }
    }
}
