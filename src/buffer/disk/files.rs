//! What the log asks of a file system, and the real one. A test's double forgets what was not synced, and fails at any call.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A file system. Everything blocks.
pub(crate) trait FileSystem: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// An open file.
    type File: std::fmt::Debug + Send + 'static;

    /// Makes a directory and those above it, for this user alone, and durably.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names and sizes of the files in a directory; none when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Makes a file that must not be there yet, or empties it.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading alone.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    fn open_to_write(&self, path: &Path) -> io::Result<Self::File>;

    /// Writes all of it at an offset.
    fn write(&self, file: &mut Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Replaces what `out` holds by up to `len` bytes at an offset; by fewer at the end of the file.
    fn read(&self, file: &mut Self::File, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()>;

    /// Cuts a file.
    fn truncate(&self, file: &mut Self::File, len: u64) -> io::Result<()>;

    /// Whether the file still has a name: what is written to one that was removed is lost.
    fn is_linked(&self, file: &Self::File) -> io::Result<bool>;

    /// Returns when the file's bytes and its size are on disk.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;

    /// Returns when the directory's entries are on disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
}

/// Removes a file, unless somebody did already.
pub(super) fn remove<F: FileSystem>(files: &F, path: &Path) -> io::Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OsFileSystem;

impl FileSystem for OsFileSystem {
    type File = File;

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // The sink's folder and the spool's may be new as well, or were made by a call that then failed.
        dir.ancestors().skip(1).take(3).try_for_each(|above| self.sync_dir(above))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file() {
                files.push((entry.file_name().to_string_lossy().into_owned(), about.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn write(&self, file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn read(&self, file: &mut File, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.reserve(len);
        file.seek(SeekFrom::Start(offset))?;
        // Into memory that need not be zeroed first.
        file.take(len as u64).read_to_end(out).map(|_| ())
    }

    fn truncate(&self, file: &mut File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn is_linked(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.nlink() > 0)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }
}
