//! Who writes what nobody should: files that are odd in every way, in a folder of their own. Their lines are not counted; what is
//! judged is that everybody else's arrive, and that memory stays bounded.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::arena::Arena;
use crate::story::pause;

/// The folder below that of the run.
pub(crate) const FOLDER: &str = "hostile";

/// Makes what is there once and for all: a pipe that nobody writes, links to nothing, to themselves, to folders and devices.
pub(crate) fn prepare(folder: &Path) {
    fs::create_dir_all(folder.join("folder.log")).unwrap();
    let pipe = Command::new("mkfifo").arg(folder.join("pipe.log")).status();
    assert!(pipe.is_ok_and(|status| status.success()), "mkfifo makes a pipe");
    let links: [(&str, &Path); 5] = [
        ("nothing.log", Path::new("there/is/nothing")),
        ("itself.log", Path::new("itself.log")),
        ("up.log", Path::new("..")),
        ("zero.log", Path::new("/dev/zero")),
        ("link.log", Path::new("odd-0.log")),
    ];
    for (name, target) in links {
        symlink(target, folder.join(name)).unwrap();
    }
}

/// Writes oddly until the run is over, in bursts of a few thousand events at the most.
pub(crate) fn write(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 5);
    let folder = arena.folder.path().join(FOLDER);
    while !arena.is_over() {
        let path = name(&folder, &mut rng);
        // Removed, or a folder in its place: that is what this is about.
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(&path) {
            burst(&mut file, &mut rng).ok();
        }
        match rng.u8(..12) {
            0 => drop(File::create(&path)),
            1 => drop(fs::remove_file(&path)),
            2 => drop(fs::rename(&path, path.with_extension("1.log"))),
            _ => (),
        }
        pause(Duration::from_millis(rng.u64(100..600)));
    }
}

fn name(folder: &Path, rng: &mut fastrand::Rng) -> PathBuf {
    let number = rng.u8(..6);
    match number {
        0..=3 => folder.join(format!("odd-{number}.log")),
        4 => folder.join(format!("{} \u{1b}[31m\nodd.log", "n".repeat(200))),
        _ => folder.join("odd\"{}\\%s.log"),
    }
}

fn burst(file: &mut File, rng: &mut fastrand::Rng) -> std::io::Result<()> {
    let count = rng.usize(1..3_000);
    match rng.u8(..10) {
        0 => file.write_all(&b"\n".repeat(count)),
        1 => file.write_all(&b"x\n".repeat(count)),
        2 => file.write_all(&b"\r\n".repeat(count)),
        3 => file.write_all(&vec![0; count * 100]),
        // A hole, which is read as so many zeros.
        4 => file.set_len(file.metadata()?.len() + (count as u64) * 1_000),
        5 => file.write_all(&[0xff, 0xfe, 0xc0, b'\n'].repeat(count)),
        6 => file.write_all(&[&b"\x01".repeat(count * 50)[..], b"\n"].concat()),
        7 => file.write_all(&[&b"no end ".repeat(count)[..], "\u{feff}".as_bytes()].concat()),
        8 => file.write_all(&br#"{"a":[{"a":[{"a":["#.repeat(count.min(500))),
        _ => file.write_all(&(0..count).map(|_| rng.u8(..)).collect::<Vec<_>>()),
    }
}
