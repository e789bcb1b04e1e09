//! A storm of rotations: whatever becomes of the files, each line arrives once.
//!
//! Two things no tailer can know are kept out: a file deleted before it was ever opened, and lines written between the last
//! read and a truncation (the window of copytruncate).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::standin::Lines;
use crate::world::{Daemon, MESSAGE_SINK, World, exactly_once, is_full, progress, until};

/// Lines of the file that is renamed, gzipped and deleted.
const RENAMED: u32 = 1;
/// Lines of the file that is truncated.
const TRUNCATED: u32 = 2;

/// A file that was rotated away.
struct Rotated {
    number: u64,
    gzipped: bool,
    /// The number after its last line.
    end: u64,
}

struct Storm {
    world: World,
    rotated: Vec<Rotated>,
    renamed_lines: u64,
    truncated_lines: u64,
    /// Lines in a burst.
    burst: u64,
}

impl Storm {
    fn new() -> Self {
        let world = World::new();
        world.config(&format!(
            "[sources.app]\ntype = \"file\"\ninclude = [\"@DIR/logs/app.log*\", \"@DIR/logs/ct.log\"]\n{MESSAGE_SINK}"
        ));
        let burst = if is_full() { 20_000 } else { 2_000 };
        Self { world, rotated: Vec::new(), renamed_lines: 0, truncated_lines: 0, burst }
    }

    /// Appends lines in writes that end in the middle of lines.
    fn append(&mut self, name: &str, lines: u64) {
        let (run, next) = match name {
            "ct.log" => (TRUNCATED, &mut self.truncated_lines),
            _ => (RENAMED, &mut self.renamed_lines),
        };
        let text = Lines::of_run(run).text(*next..*next + lines);
        *next += lines;
        self.world.standin.expect(run, *next);
        let mut file = OpenOptions::new().create(true).append(true).open(self.world.log(name)).unwrap();
        for piece in text.chunks(10_007) {
            file.write_all(piece).unwrap();
        }
    }

    fn path(&self, rotated: &Rotated) -> PathBuf {
        let gz = if rotated.gzipped { ".gz" } else { "" };
        self.world.log(&format!("app.log.{}{gz}", rotated.number))
    }

    /// `app.log` becomes `app.log.1`, and each older file the next number; the writer writes on for a moment.
    fn rename(&mut self) {
        for index in (0..self.rotated.len()).rev() {
            let from = self.path(&self.rotated[index]);
            self.rotated[index].number += 1;
            fs::rename(from, self.path(&self.rotated[index])).unwrap();
        }
        fs::rename(self.world.log("app.log"), self.world.log("app.log.1")).unwrap();
        File::create(self.world.log("app.log")).unwrap();
        self.append("app.log.1", 20);
        self.rotated.insert(0, Rotated { number: 1, gzipped: false, end: self.renamed_lines });
    }

    /// `app.log.2` becomes `app.log.2.gz`, as gzip does it: written beside the file, which is then removed.
    fn gzip(&mut self) {
        let Some(index) = self.rotated.iter().position(|file| file.number >= 2 && !file.gzipped) else {
            return;
        };
        let plain = self.path(&self.rotated[index]);
        self.rotated[index].gzipped = true;
        let mut gzip =
            GzEncoder::new(File::create(self.path(&self.rotated[index])).unwrap(), Compression::fast());
        gzip.write_all(&fs::read(&plain).unwrap()).unwrap();
        gzip.finish().unwrap();
        fs::remove_file(plain).unwrap();
    }

    /// The oldest file goes, once it was delivered; its inode is free for the next new file.
    fn expire(&mut self, daemon: &Daemon) {
        let Some(oldest) = self.rotated.pop() else { return };
        progress("the oldest file is delivered", || {
            daemon.must_run();
            let first_gap = self.world.standin.gaps(RENAMED, 1).first().copied().unwrap_or(u64::MAX);
            if first_gap >= oldest.end { Ok(()) } else { Err((first_gap, daemon.log_text())) }
        });
        fs::remove_file(self.path(&oldest)).unwrap();
    }

    /// `app.log` is deleted while it is open and has more to read.
    fn delete(&mut self, daemon: &Daemon) {
        let path = self.world.log("app.log");
        self.append("app.log", 10);
        until("the file is open", || {
            daemon.must_run();
            daemon.has_open(&path).then_some(())
        });
        self.append("app.log", self.burst);
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap();
    }

    /// `ct.log` is truncated in place and written on, once it was read: its window is empty.
    fn truncate(&mut self, daemon: &Daemon) {
        self.wait_for_truncated(daemon);
        self.truncate_now();
        self.append("ct.log", self.burst / 2);
    }

    fn truncate_now(&self) {
        let path = self.world.log("ct.log");
        fs::copy(&path, self.world.log("ct.copy")).unwrap();
        OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    }

    fn wait_for_truncated(&self, daemon: &Daemon) {
        progress("the truncated file is delivered", || {
            daemon.must_run();
            let gap = self.world.standin.gaps(TRUNCATED, 1).first().copied();
            gap.map_or(Ok(()), |gap| Err((gap, daemon.log_text())))
        });
    }

    fn rounds_up(&mut self, daemon: &Daemon, rounds: u64) {
        for round in 0..rounds {
            self.append("app.log", self.burst);
            match round % 4 {
                0 => self.rename(),
                1 => self.delete(daemon),
                2 => {
                    self.rename();
                    self.gzip();
                }
                _ => {
                    self.rename();
                    self.expire(daemon);
                }
            }
            self.truncate(daemon);
            self.append("app.log", self.burst);
        }
    }

    fn rounds_down(&mut self, rounds: u64) {
        for round in 0..rounds {
            self.append("app.log", self.burst);
            self.rename();
            if round % 2 == 1 {
                self.gzip();
            }
            self.append("app.log", self.burst);
        }
        // Longer than what was there, so that its size alone does not tell.
        self.truncate_now();
        self.append("ct.log", self.burst * 3);
    }
}

#[test]
fn a_storm_of_rotations_loses_and_doubles_nothing() {
    let mut storm = Storm::new();
    storm.append("app.log", 100);
    storm.append("ct.log", 100);
    let daemon = storm.world.start();
    storm.rounds_up(&daemon, 8);
    storm.wait_for_truncated(&daemon);
    daemon.stop().drained();
    storm.rounds_down(8);
    let daemon = storm.world.start();
    storm.rounds_up(&daemon, 4);
    let report = storm.world.delivered(&daemon);
    exactly_once(&report, storm.renamed_lines + storm.truncated_lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_last_line_without_a_newline_comes_when_its_file_is_rotated_away() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    world.write("app.log", 0..10);
    world.delivered(&daemon);
    world.standin.expect(1, 11);
    let mut file = OpenOptions::new().append(true).open(world.log("app.log")).unwrap();
    file.write_all(&Lines::of_run(1).line(10)).unwrap();
    drop(file);
    fs::rename(world.log("app.log"), world.log("app.log.1")).unwrap();
    File::create(world.log("app.log")).unwrap();
    exactly_once(&world.delivered(&daemon), 11);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn many_files_are_all_read_and_no_hot_one_starves_the_rest() {
    let world = World::new();
    for file in 0..300_u32 {
        world.write_run(10 + file, &format!("small-{file}.log"), 0..20);
    }
    world.write_run(RENAMED, "hot.log", 0..50_000);
    let daemon = world
        .config(&format!(
            "[sources.app]\ntype = \"file\"\ninclude = [\"@DIR/logs/*.log\"]\nmax_open = 32\n{MESSAGE_SINK}"
        ))
        .start();
    exactly_once(&world.delivered(&daemon), 50_000 + 300 * 20);
    daemon.conserved();
    daemon.stop().drained();
}
