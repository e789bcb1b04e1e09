//! Symbolic links: where a path really leads, and whether it may be followed there.
//!
//! Standpipe may read more than whoever writes the logs. A link that such a writer makes must not show standpipe what the writer
//! cannot read: so by default the owner of a link has to own what it leads to. Files are then opened by their real path, in which no
//! link may have come to be since.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::config::FollowLinks;

/// Where paths lead, by a source's `follow_links`.
#[derive(Debug)]
pub(super) struct PathResolver {
    follow: FollowLinks,
    /// Folders that are reached by links, and the folders that they are.
    linked: HashMap<PathBuf, PathBuf>,
    /// Folders in which links stand that patterns name.
    dirs_of_links: BTreeSet<PathBuf>,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) struct ResolvedPath {
    /// The path without links, where that is another one.
    pub(super) real: Option<PathBuf>,
    pub(super) metadata: Metadata,
    /// Whether the path itself is a link.
    pub(super) is_link: bool,
}

/// Why a path leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnresolvedPath {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(
        "the link `{}` belongs to user {owner} and leads to what belongs to user {target}: it is not followed. \
         give both to one user, or set `follow_links = true` if nobody else can write to its folder", link.display()
    )]
    OtherOwner { link: PathBuf, owner: u32, target: u32 },
    #[error("`{}` is a symbolic link, and `follow_links` is false", link.display())]
    Link { link: PathBuf },
}

impl PathResolver {
    pub(super) fn new(follow: FollowLinks) -> Self {
        Self { follow, linked: HashMap::new(), dirs_of_links: BTreeSet::new() }
    }

    /// Forgets the folders that were reached by links.
    pub(super) fn forget(&mut self) {
        self.linked.clear();
        self.dirs_of_links.clear();
    }

    /// Where a folder really is that was written in a pattern. Links that stand in it were meant: only whom they belong to counts.
    pub(super) fn root(&mut self, dir: &Path) -> Result<PathBuf, UnresolvedPath> {
        let follow = if self.follow == FollowLinks::Never { FollowLinks::SameOwner } else { self.follow };
        let (real, _, links) = resolve_with(follow, dir)?;
        self.dirs_of_links.extend(links.iter().filter_map(|link| Some(link.parent()?.to_owned())));
        self.learn(dir, &real);
        Ok(real)
    }

    /// Notes where a folder really is.
    pub(super) fn learn(&mut self, dir: &Path, real: &Path) {
        if dir != real {
            self.linked.insert(dir.to_owned(), real.to_owned());
        }
    }

    /// The folders that links lead to.
    pub(super) fn linked_dirs(&self) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
        self.linked.iter()
    }

    /// The folders in which links stand that patterns name.
    pub(super) fn dirs_of_links(&self) -> impl Iterator<Item = &PathBuf> {
        self.dirs_of_links.iter()
    }

    /// What a path in a folder that was come upon leads to.
    pub(super) fn resolve(&self, path: &Path) -> Result<ResolvedPath, UnresolvedPath> {
        let real = match (path.parent().and_then(|dir| self.linked.get(dir)), path.file_name()) {
            (Some(dir), Some(name)) => Some(dir.join(name)),
            _ => None,
        };
        let metadata = fs::symlink_metadata(real.as_deref().unwrap_or(path))?;
        if !metadata.is_symlink() {
            return Ok(ResolvedPath { real, metadata, is_link: false });
        }
        let (real, metadata, _) = resolve_with(self.follow, real.as_deref().unwrap_or(path))?;
        Ok(ResolvedPath { real: Some(real).filter(|real| real != path), metadata, is_link: true })
    }
}

/// Follows a path part by part, where each link on it may be followed. Where it leads, what is there, and the links.
fn resolve_with(
    follow: FollowLinks,
    path: &Path,
) -> Result<(PathBuf, Metadata, Vec<PathBuf>), UnresolvedPath> {
    let mut real = PathBuf::from("/");
    let mut rest: Vec<OsString> = Vec::new();
    push_parts(&mut rest, path);
    let mut metadata = fs::symlink_metadata(&real)?;
    let mut links = Vec::new();
    while let Some(part) = rest.pop() {
        if part == ".." {
            real.pop();
            continue;
        }
        real.push(&part);
        metadata = fs::symlink_metadata(&real)?;
        if !metadata.is_symlink() {
            continue;
        }
        if links.len() >= MOST_LINKS {
            return Err(io::Error::from(Errno::LOOP).into());
        }
        check_link(follow, &real, &metadata)?;
        let target = fs::read_link(&real)?;
        links.push(real.clone());
        real.pop();
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        push_parts(&mut rest, &target);
    }
    if metadata.is_symlink() {
        // It ended with a `..` after a link.
        metadata = fs::symlink_metadata(&real)?;
    }
    Ok((real, metadata, links))
}

/// The parts of a path, the first one on top.
fn push_parts(rest: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    rest.extend(parts);
}

fn check_link(follow: FollowLinks, link: &Path, metadata: &Metadata) -> Result<(), UnresolvedPath> {
    match follow {
        FollowLinks::Always => Ok(()),
        FollowLinks::Never => Err(UnresolvedPath::Link { link: link.to_owned() }),
        FollowLinks::SameOwner => {
            let (owner, target) = (metadata.uid(), fs::metadata(link)?.uid());
            if owner == ROOT || owner == target {
                return Ok(());
            }
            Err(UnresolvedPath::OtherOwner { link: link.to_owned(), owner, target })
        }
    }
}

/// As many as Linux follows.
const MOST_LINKS: usize = 40;

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    /// A folder of root with a file of root's and one of another user's, and links of both to both. None where nobody may make it.
    fn owned_links() -> Option<tempfile::TempDir> {
        let dir = tempfile::tempdir().unwrap();
        for (name, owner) in [("root", 0), ("user", 1234)] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("file"), name).unwrap();
            lchown(dir.path().join(name).join("file"), Some(owner), None).ok()?;
            lchown(dir.path().join(name), Some(owner), None).ok()?;
        }
        for (link, target, owner) in [
            ("root-to-root", "root/file", 0),
            ("root-to-user", "user/file", 0),
            ("user-to-user", "user/file", 1234),
            ("user-to-root", "root/file", 1234),
            ("user-to-root-dir", "root", 1234),
            ("user-to-user-dir", "user", 1234),
            ("root-over-user", "user-to-root", 0),
            ("user-over-root", "root-to-root", 1234),
            ("root-over-user-dir", "user-to-root-dir/file", 0),
            ("round", "round", 0),
        ] {
            symlink(target, dir.path().join(link)).unwrap();
            lchown(dir.path().join(link), Some(owner), None).ok()?;
        }
        Some(dir)
    }

    #[test]
    fn a_link_is_followed_where_its_owner_owns_what_it_leads_to() {
        let Some(dir) = owned_links() else { return };
        let root = fs::canonicalize(dir.path()).unwrap();
        let check = |follow, path: &str, expected: Option<&str>| {
            let found = resolve_with(follow, &root.join(path)).ok().map(|(real, ..)| real);
            assert_eq!(found, expected.map(|real| root.join(real)), "{follow:?} {path}");
        };
        let owner = FollowLinks::SameOwner;
        check(owner, "root/file", Some("root/file"));
        check(owner, "root-to-root", Some("root/file"));
        check(owner, "root-to-user", Some("user/file"));
        check(owner, "user-to-user", Some("user/file"));
        check(owner, "user-to-user-dir/file", Some("user/file"));
        check(owner, "user-to-user-dir/../root/file", Some("root/file"));
        for refused in ["user-to-root", "user-to-root-dir/file", "user-over-root", "round", "none"] {
            check(owner, refused, None);
        }
        // Every link on the way counts.
        check(owner, "root-over-user", None);
        check(owner, "root-over-user-dir", None);
        for followed in ["user-to-root", "user-to-root-dir/file", "user-over-root", "root-over-user"] {
            check(FollowLinks::Always, followed, Some("root/file"));
            check(FollowLinks::Never, followed, None);
        }
        check(FollowLinks::Never, "root/file", Some("root/file"));
        check(FollowLinks::Never, "root-to-root", None);
    }
}
