//! The log files: written, renamed away, gzipped, and removed once their lines arrived.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::ledger::FILES;
use crate::standin::Lines;

/// `app.log` and what it was before.
pub(crate) struct Files {
    folder: PathBuf,
    current: File,
    next_line: u64,
    next_name: u64,
    /// The oldest first.
    rotated: Vec<Rotated>,
}

struct Rotated {
    path: PathBuf,
    gzipped: bool,
    /// The number after its last line.
    end: u64,
}

/// Lines that a writer still puts into a file that was renamed under it.
const LATE: u64 = 20;

impl Files {
    pub(crate) fn create(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let current = open(folder);
        Self { folder: folder.to_owned(), current, next_line: 0, next_name: 1, rotated: Vec::new() }
    }

    /// Appends lines in writes that end within lines; says how many lines there are then.
    pub(crate) fn append(&mut self, count: u64) -> u64 {
        let text = Lines::of_run(FILES).text(self.next_line..self.next_line + count);
        text.chunks(10_007).for_each(|piece| self.current.write_all(piece).unwrap());
        self.next_line += count;
        self.next_line
    }

    /// Renames the file, writes on for a moment, and goes on in a new one; says how many lines there are then.
    pub(crate) fn rotate(&mut self) -> u64 {
        let path = self.folder.join(format!("app.log.{}", self.next_name));
        self.next_name += 1;
        fs::rename(self.folder.join("app.log"), &path).unwrap();
        let end = self.append(LATE);
        self.current = open(&self.folder);
        self.rotated.push(Rotated { path, gzipped: false, end });
        end
    }

    /// Gzips the oldest plain one as gzip does: beside the file, which is then removed.
    pub(crate) fn compress(&mut self) {
        let Some(file) = self.rotated.iter_mut().find(|file| !file.gzipped) else { return };
        let target = file.path.with_file_name(format!("{}.gz", file.path.file_name().unwrap().display()));
        let mut gzip = GzEncoder::new(File::create(&target).unwrap(), Compression::fast());
        gzip.write_all(&fs::read(&file.path).unwrap()).unwrap();
        gzip.finish().unwrap();
        fs::remove_file(&file.path).unwrap();
        (file.path, file.gzipped) = (target, true);
    }

    /// Removes files whose lines have all arrived, so that their inodes are free for new ones.
    pub(crate) fn expire(&mut self, arrived: u64) {
        for file in self.rotated.extract_if(.., |file| file.end <= arrived) {
            fs::remove_file(file.path).unwrap();
        }
    }
}

fn open(folder: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(folder.join("app.log")).unwrap()
}
