//! This host: the state directory, the files of sources, and what a listener needs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use crate::access::report::HopFinding;
use crate::config::{FileSource, HttpSource, Tls, show_duration};

/// Below this much room, a warning: dead letters and a disk buffer need some.
const LITTLE_ROOM: u64 = 1024 * 1024 * 1024;
/// Below this much, a failure.
const NO_ROOM: u64 = 16 * 1024 * 1024;

/// How many files are named before the rest is counted.
const MOST_NAMED: usize = 5;

/// Whether state can be kept in `dir`, which need not be there yet.
pub(super) fn state(dir: &Path) -> Vec<HopFinding> {
    const WHY: &str = "checkpoints are there: without them, standpipe reads everything again after a restart";
    let Some(there) = dir.ancestors().find(|path| path.exists()) else {
        return vec![HopFinding::failure("state_dir", format!("`{}` has no parent", dir.display())).why(WHY)];
    };
    let shown = dir.display();
    if !there.is_dir() {
        let seen = format!("`{}` is not a directory", there.display());
        return vec![HopFinding::failure("state_dir", seen).why(WHY).fix("set `state.dir` to a directory")];
    }
    if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
        let seen =
            format!("`{}` cannot be written: {}; {}", there.display(), io::Error::from(error), owner(there));
        let fix =
            format!("give `{}` to the user that standpipe runs as, or set `state.dir`", there.display());
        return vec![HopFinding::failure("state_dir", seen).why(WHY).fix(fix)];
    }
    let seen =
        if there == dir { format!("`{shown}` can be written") } else { format!("`{shown}` can be made") };
    vec![HopFinding::ok("state_dir", seen), room(there)]
}

fn room(dir: &Path) -> HopFinding {
    const CHECK: &str = "free_room";
    let shown = dir.display();
    let free = match statvfs(dir) {
        Ok(room) => room.f_bavail.saturating_mul(room.f_frsize),
        Err(error) => {
            return HopFinding::warning(
                CHECK,
                format!("cannot tell for `{shown}`: {}", io::Error::from(error)),
            );
        }
    };
    let seen = format!("{} free where `{shown}` is", about(free));
    let why = "without room neither checkpoints nor dead letters can be written, and sources wait";
    match free {
        _ if free < NO_ROOM => {
            HopFinding::failure(CHECK, seen).why(why).fix("make room, or set `state.dir` elsewhere")
        }
        _ if free < LITTLE_ROOM => {
            HopFinding::warning(CHECK, seen).why(why).fix("make room, or set `state.dir` elsewhere")
        }
        _ => HopFinding::ok(CHECK, seen),
    }
}

/// A size to the whole unit below.
fn about(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes < LITTLE_ROOM { format!("{} MiB", bytes / MIB) } else { format!("{} GiB", bytes / LITTLE_ROOM) }
}

/// What the patterns of a file source find.
#[derive(Debug, Default)]
pub struct MatchingFiles {
    /// Files that match.
    pub files: Vec<PathBuf>,
    /// Directories that could not be looked into.
    pub unread: Vec<(PathBuf, io::Error)>,
    /// How many of them may be open at once.
    pub most_open: usize,
    /// How many descriptors the process may have.
    pub descriptors: usize,
    /// Why links are not followed, a sentence for each.
    pub refused: Vec<String>,
    /// How many are too old to be read, unless they were before.
    pub too_old: usize,
}

/// Whether the patterns of a source, which match what was `found`, find files, and these can be read.
pub(super) fn files(source: &FileSource, found: Result<MatchingFiles, String>) -> Vec<HopFinding> {
    const CHECK: &str = "files";
    let found = match found {
        Ok(found) => found,
        Err(error) => return vec![HopFinding::failure(CHECK, error).fix("correct `include` and `exclude`")],
    };
    let mut findings: Vec<HopFinding> = found
        .unread
        .iter()
        .take(MOST_NAMED)
        .map(|(dir, error)| unreadable(dir, error, "files in it are not found"))
        .collect();
    let locked: Vec<_> = found
        .files
        .iter()
        .filter_map(|path| Some((path, io::Error::from(access(path, Access::READ_OK).err()?))))
        .collect();
    let why = "standpipe does not read it, and tries again at each rescan";
    findings.extend(locked.iter().take(MOST_NAMED).map(|(path, error)| unreadable(path, error, why)));
    let more = locked.len().saturating_sub(MOST_NAMED);
    if 0 < more {
        findings.push(HopFinding::failure(CHECK, format!("{more} more cannot be read")));
    }
    findings.extend(found.refused.iter().take(MOST_NAMED).map(|why| {
        HopFinding::warning(CHECK, why)
            .why("what the link leads to is not read")
            .fix("write where the files really are in `include`, or set `follow_links`")
    }));
    findings.extend(few_descriptors(source, &found));
    if let Some(age) = source.ignore_older.filter(|_| found.too_old > 0) {
        let (n_old, age) = (found.too_old, show_duration(age));
        let seen = format!("nothing was written to {n_old} of them for {age} (`ignore_older`)");
        findings.push(
            HopFinding::ok(CHECK, seen).why("those that standpipe has not begun to read are left alone"),
        );
    }
    if source.remove_after.is_some() {
        findings.extend(removable(&found.files));
    }
    let globs = source.include.join("`, `");
    if found.files.is_empty() {
        let seen = format!("no file matches `{globs}`");
        let why = "nothing is read until one appears";
        findings.push(
            HopFinding::warning(CHECK, seen).why(why).fix("correct `include` if there should be files"),
        );
    } else {
        let readable = found.files.len().saturating_sub(locked.len());
        let seen = format!("{} of {} files that match `{globs}` can be read", readable, found.files.len());
        findings.push(HopFinding::ok(CHECK, seen));
    }
    findings
}

/// Whether the journal can be read.
pub(super) fn journal(seen: Result<String, String>) -> HopFinding {
    const CHECK: &str = "journal";
    match seen {
        Ok(seen) => HopFinding::ok(CHECK, seen),
        Err(why) => HopFinding::failure(CHECK, why).why("nothing of the journal is read until it can be"),
    }
}

/// Whether files can be removed from the folders that they are in.
fn removable(files: &[PathBuf]) -> Vec<HopFinding> {
    const CHECK: &str = "removal";
    const WHY: &str = "`remove_after` cannot remove files that were delivered";
    let dirs: BTreeSet<&Path> = files.iter().filter_map(|path| path.parent()).collect();
    let locked = dirs.iter().filter_map(|dir| {
        let (error, shown) = (access(*dir, Access::WRITE_OK | Access::EXEC_OK).err()?, dir.display());
        let seen = format!("`{shown}` cannot be written: {}; {}", io::Error::from(error), owner(dir));
        let fix = format!(
            "let the user that standpipe runs as write to `{shown}`; under systemd, add `ReadWritePaths={shown}` to the unit"
        );
        Some(HopFinding::failure(CHECK, seen).why(WHY).fix(fix))
    });
    let user = rustix::process::geteuid().as_raw();
    let sticky = dirs.iter().filter_map(|dir| {
        let metadata = fs::metadata(dir).ok()?;
        let is_bound = metadata.mode() & STICKY != 0 && ![0, metadata.uid()].contains(&user);
        let seen =
            format!("`{}` is sticky: only their owners can remove files; {}", dir.display(), owner(dir));
        let fix = "run standpipe as the files' owner, or take the sticky bit away: `chmod -t`";
        is_bound.then(|| HopFinding::warning(CHECK, seen).why(WHY).fix(fix))
    });
    let mut findings: Vec<HopFinding> = locked.chain(sticky).take(MOST_NAMED).collect();
    let is_linked = |path: &&PathBuf| fs::canonicalize(path).is_ok_and(|real| real != **path);
    if let Some(linked) = files.iter().find(is_linked) {
        let seen = format!("`{}` is reached over a link", linked.display());
        let fix = "write where the files really are in `include`";
        let why = "what is reached over a link is never removed";
        findings.push(HopFinding::warning(CHECK, seen).why(why).fix(fix));
    }
    if findings.is_empty() && !dirs.is_empty() {
        let seen = format!("files can be removed from {} folders once they were delivered", dirs.len());
        findings.push(HopFinding::ok(CHECK, seen));
    }
    findings
}

/// The bit of a folder by which only owners may remove files.
const STICKY: u32 = 0o1000;

/// Says where fewer files may be open at once than there are and are configured.
fn few_descriptors(source: &FileSource, found: &MatchingFiles) -> Option<HopFinding> {
    let MatchingFiles { files, most_open, descriptors, .. } = found;
    if *most_open >= source.max_open.min(files.len()) {
        return None;
    }
    let n_files = files.len();
    let seen = format!(
        "{most_open} of {n_files} files may be open at once: the process may have {descriptors} descriptors"
    );
    let why = "files are closed and opened again in turn; what comes into a closed file that is deleted at once is lost";
    let fix = "raise the hard limit of open descriptors: `LimitNOFILE` of the unit, `ulimit -Hn`, or the container's `nofile`";
    Some(HopFinding::warning("descriptors", seen).why(why).fix(fix))
}

fn unreadable(path: &Path, error: &io::Error, why: &str) -> HopFinding {
    let shown = path.display();
    HopFinding::failure("files", format!("`{shown}` cannot be read: {error}; {}", owner(path)))
        .why(why)
        .fix(format!("let the user that standpipe runs as read `{shown}`: by its group, or an ACL"))
}

/// Whether the certificate and key of a listener can be read.
pub(super) fn listener(source: &HttpSource) -> Vec<HopFinding> {
    let Some(tls) = &source.tls else {
        let seen = format!("plain HTTP on {}", source.listen);
        let why = "Firehose delivers only to HTTPS on port 443: a load balancer in front must end TLS";
        return vec![HopFinding::ok("listener_tls", seen).why(why)];
    };
    tls_files(tls)
}

/// Whether the certificate and key can be read.
pub(super) fn tls_files(tls: &Tls) -> Vec<HopFinding> {
    const CHECK: &str = "listener_tls";
    let locked = [&tls.cert, &tls.key].into_iter().filter_map(|path| {
        let error = io::Error::from(access(path, Access::READ_OK).err()?);
        Some(
            HopFinding::failure(
                CHECK,
                format!("`{}` cannot be read: {error}; {}", path.display(), owner(path)),
            )
            .why("standpipe does not start without it")
            .fix("let the user that standpipe runs as read it, or correct `tls`"),
        )
    });
    let findings: Vec<_> = locked.collect();
    if findings.is_empty() {
        vec![HopFinding::ok(CHECK, "certificate and key can be read")]
    } else {
        findings
    }
}

/// Whether a folder can be written to, or made.
pub(super) fn folder(path: &Path) -> HopFinding {
    const CHECK: &str = "directory";
    let shown = path.display();
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => HopFinding::ok(CHECK, format!("`{shown}` can be written")),
        Err(error) => {
            let seen = format!(
                "`{}` cannot be written: {}; {}",
                there.display(),
                io::Error::from(error),
                owner(there)
            );
            HopFinding::failure(CHECK, seen)
                .fix("let the user that standpipe runs as write there, or set `path`")
        }
    }
}

/// Whose a path is, and what may be done with it, such as `owner root:adm, mode 0640`.
fn owner(path: &Path) -> String {
    let Ok(metadata) = fs::symlink_metadata(path) else { return "not there".to_owned() };
    let (user, group) = (name("/etc/passwd", metadata.uid()), name("/etc/group", metadata.gid()));
    format!("owner {user}:{group}, mode {:04o}", metadata.mode() & 0o7777)
}

/// The name of an id in a file of names; the id itself when it has none.
fn name(file: &str, id: u32) -> String {
    let names = fs::read_to_string(file).unwrap_or_default();
    let is = |line: &&str| line.split(':').nth(2) == Some(&id.to_string());
    names
        .lines()
        .find(is)
        .and_then(|line| line.split(':').next())
        .map_or_else(|| id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::report::Severity;

    #[test]
    fn a_state_directory_is_looked_at_and_not_made() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/state");
        let levels: Vec<_> = state(&dir).iter().map(|finding| (finding.check, finding.level)).collect();
        assert_eq!(levels.first(), Some(&("state_dir", Severity::Ok)));
        assert_eq!(levels.get(1).map(|(check, _)| *check), Some("free_room"));
        assert!(!dir.exists());
        fs::write(home.path().join("file"), "").unwrap();
        let findings = state(&home.path().join("file/state"));
        assert_eq!(findings.first().map(|finding| finding.level), Some(Severity::Failure));
    }

    #[test]
    fn a_link_on_the_way_to_files_that_are_to_be_removed_is_named() {
        let home = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(home.path()).unwrap();
        fs::create_dir(real.join("logs")).unwrap();
        fs::write(real.join("logs/a.log"), "").unwrap();
        std::os::unix::fs::symlink(real.join("logs"), real.join("linked")).unwrap();
        let levels = |path: &str| -> Vec<Severity> {
            removable(&[real.join(path)]).iter().map(|finding| finding.level).collect()
        };
        assert_eq!(levels("logs/a.log"), [Severity::Ok]);
        assert_eq!(levels("linked/a.log"), [Severity::Warning]);
        assert!(removable(&[]).is_empty());
    }

    #[test]
    fn a_room_is_told_in_whole_units() {
        assert_eq!(about(LITTLE_ROOM - 1), "1023 MiB");
        assert_eq!(about(44_297_850_880), "41 GiB");
        assert_eq!(about(0), "0 MiB");
    }

    #[test]
    fn an_owner_and_a_mode_are_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("f");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(owner(&path).ends_with(", mode 0640"), "{}", owner(&path));
        assert_eq!(name("/etc/passwd", 0), "root");
        assert_eq!(name("/nowhere", 7), "7");
        let found = unreadable(&path, &io::Error::from(io::ErrorKind::PermissionDenied), "w");
        assert!(found.seen.contains("permission denied; owner "), "{}", found.seen);
    }
}
