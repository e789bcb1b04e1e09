//! How many files may be open at once: as many descriptors as the process may have, less what everything else needs.
//!
//! Connections, buffers and checkpoints need descriptors as well, and whoever gets none can only wait. Files that were read are
//! closed instead, and opened again when they grow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::source::carryover::Carried;

/// What the sources of files share. There is one in the process.
#[derive(Default)]
pub(super) struct FileDescriptors {
    /// How many sources share them.
    sources: AtomicUsize,
}

impl Carried for FileDescriptors {}

/// One source's share. It is given back with the source.
pub(super) struct DescriptorShare {
    of: Arc<FileDescriptors>,
    /// As many as are configured.
    max_open: usize,
}

impl DescriptorShare {
    pub(super) fn new(of: Arc<FileDescriptors>, max_open: usize) -> Self {
        of.sources.fetch_add(1, Ordering::Relaxed);
        Self { of, max_open }
    }

    /// How many files the source may have open now.
    pub(super) fn most(&self) -> usize {
        let sources = self.of.sources.load(Ordering::Relaxed).max(1);
        self.max_open.min(for_files() / sources).max(1)
    }
}

impl Drop for DescriptorShare {
    fn drop(&mut self) {
        self.of.sources.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Raises the process's limit of open descriptors as far as it may: the usual one is made for programs that select, and small.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // What closes all descriptors there may be, as some programs do that standpipe calls for credentials, must not take for ever.
    let wanted = limit.maximum.map_or(MOST, |maximum| maximum.min(MOST));
    if limit.current.is_some_and(|current| current < wanted) {
        // It works with what there is, too.
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).ok();
    }
}

/// How many descriptors there are for files, and how many in all.
pub(crate) fn descriptors_for_files() -> (usize, usize) {
    (for_files(), limit())
}

fn limit() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn for_files() -> usize {
    let limit = limit();
    let reserve = (limit / 4).max(RESERVE.min(limit.saturating_mul(2) / 3));
    limit.saturating_sub(reserve)
}

/// Whether something failed because all descriptors are taken, of the process or of the host.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

const MOST: u64 = 1 << 20;

/// For connections, buffers and checkpoints, where there are many.
const RESERVE: usize = 512;
