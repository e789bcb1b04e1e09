//! Which paths belong to a source, and the walk that finds them.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::links::{PathResolver, UnresolvedPath};
use crate::source::SourceError;

/// The include and exclude patterns of a source.
#[derive(Debug)]
pub(super) struct Patterns {
    include: GlobSet,
    exclude_paths: GlobSet,
    exclude_names: GlobSet,
    roots: Vec<WalkRoot>,
}

/// Where the walk for one pattern begins, and what it follows from there.
#[derive(Debug)]
struct WalkRoot {
    pattern: String,
    dir: PathBuf,
    steps: Vec<GlobPart>,
}

/// One component of a pattern.
#[derive(Debug)]
enum GlobPart {
    /// One name.
    Name(GlobMatcher),
    /// Any number of directories.
    Deep,
}

/// What a walk came upon.
#[derive(Debug, Default)]
pub(super) struct PatternWalk {
    /// Paths that match.
    /// Each once, by their bytes.
    pub(super) files: Vec<PathBuf>,
    /// Those of them that are symbolic links.
    pub(super) links: Vec<PathBuf>,
    /// Directories in which matching paths may appear.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// Directories that could not be read.
    pub(super) failed: Vec<(PathBuf, io::Error)>,
    /// Links that may not be followed.
    pub(super) refused: Vec<(PathBuf, UnresolvedPath)>,
    /// Patterns that matched nothing, and whether each is the name of a folder.
    pub(super) unmatched: Vec<(String, bool)>,
}

impl Patterns {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, SourceError> {
        let include: Vec<String> = include.iter().map(|pattern| normal(pattern)).collect();
        let exclude = exclude.iter().map(|pattern| normal(pattern));
        let (paths, names): (Vec<String>, Vec<String>) = exclude.partition(|glob| glob.contains('/'));
        Ok(Self {
            include: set(&include)?,
            exclude_paths: set(paths)?,
            exclude_names: set(names)?,
            roots: include.iter().map(|pattern| WalkRoot::new(pattern)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a path belongs to the source.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.include.is_match(path)
            && !self.exclude_paths.is_match(path)
            && !path.file_name().is_some_and(|name| self.exclude_names.is_match(name))
    }

    /// Walks only the directories that a pattern may match in. Learns which of them are reached by links.
    pub(super) fn walk(&self, paths: &mut PathResolver) -> PatternWalk {
        let mut walk = PatternWalk::default();
        paths.forget();
        for root in &self.roots {
            let real = match paths.root(&root.dir) {
                Ok(real) => real,
                // The walk says what is wrong with it.
                Err(UnresolvedPath::Io(_)) => root.dir.clone(),
                Err(refused) => {
                    walk.refused.push((root.dir.clone(), refused));
                    continue;
                }
            };
            let dir = WalkDir { path: root.dir.clone(), real };
            let is_any = self.descend(dir, &[root.steps.as_slice()], MOST_LEVELS, paths, &mut walk);
            if !is_any {
                walk.unmatched.push((root.pattern.clone(), Path::new(&root.pattern).is_dir()));
            }
        }
        // Paths are compared part by part, which takes long.
        walk.files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
        walk.files.dedup_by(|one, other| one.as_os_str() == other.as_os_str());
        walk
    }

    /// `states` are the rests of the pattern that a path below `dir` may still match. Whether one did.
    fn descend(
        &self,
        dir: WalkDir,
        states: &[&[GlobPart]],
        levels: usize,
        paths: &mut PathResolver,
        walk: &mut PatternWalk,
    ) -> bool {
        let mut is_any = false;
        let mut deeper = Vec::new();
        let entries = match fs::read_dir(&dir.real) {
            Ok(entries) => entries,
            Err(error) => {
                walk.miss(dir.path, error);
                return false;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            let Some((path, is_link, real)) = self.look(&dir, &entry, paths, states, walk) else { continue };
            let (is_match, below) = advance(states, Path::new(&entry.file_name()), is_link);
            if is_match && real.is_none() && self.matches(&path) {
                is_any = true;
                if is_link {
                    walk.links.push(path.clone());
                }
                walk.files.push(path.clone());
            }
            if let Some(real) = real
                && !below.is_empty()
                && levels > 0
            {
                deeper.push((WalkDir { path, real }, below));
            }
        }
        paths.learn(&dir.path, &dir.real);
        walk.dirs.insert(dir.path);
        // The folder is closed by now: one descriptor does for a walk of any depth.
        for (dir, below) in deeper {
            is_any |= self.descend(dir, &below, levels.saturating_sub(1), paths, walk);
        }
        is_any
    }

    /// The path of an entry, whether it is a link, and the folder that it leads to if it leads to one. None: it is left alone.
    fn look(
        &self,
        dir: &WalkDir,
        entry: &DirEntry,
        paths: &PathResolver,
        states: &[&[GlobPart]],
        walk: &mut PatternWalk,
    ) -> Option<(PathBuf, bool, Option<PathBuf>)> {
        let name = entry.file_name();
        let kind = entry.file_type().ok()?;
        let (path, real) = (dir.path.join(&name), dir.real.join(&name));
        if !kind.is_symlink() {
            return Some((path, false, kind.is_dir().then_some(real)));
        }
        let (is_match, below) = advance(states, Path::new(&name), true);
        if !is_match && below.is_empty() {
            return None;
        }
        match paths.resolve(&real) {
            Ok(found) if found.metadata.is_dir() => Some((path, true, found.real.or(Some(real)))),
            Ok(_) => Some((path, true, None)),
            // Whoever looks at the file says why it is not to be had.
            Err(_) if is_match && self.matches(&path) => Some((path, true, None)),
            Err(UnresolvedPath::Io(_)) => None,
            Err(refused) => {
                walk.refused.push((path, refused));
                None
            }
        }
    }
}

/// A folder on a walk: as the pattern has it, and without links.
#[derive(Debug)]
struct WalkDir {
    path: PathBuf,
    real: PathBuf,
}

impl PatternWalk {
    /// Whether this path was found.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.files.binary_search_by(|file| file.as_os_str().cmp(path.as_os_str())).is_ok()
    }

    /// A folder cannot be read.
    fn miss(&mut self, dir: PathBuf, error: io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            self.dirs.extend(dir.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned));
        } else if error.kind() != io::ErrorKind::NotADirectory {
            self.failed.push((dir, error));
        }
    }
}

/// Whether a name ends the pattern, and what may still match below it.
fn advance<'a>(states: &[&'a [GlobPart]], name: &Path, is_link: bool) -> (bool, Vec<&'a [GlobPart]>) {
    let mut is_match = false;
    let mut below = Vec::new();
    for state in states {
        let mut rest = *state;
        // `**` stands for no directory as well.
        while let Some((GlobPart::Deep, after)) = rest.split_first() {
            // A link under `**` is not followed: it may lead back up.
            if !is_link {
                below.push(rest);
            }
            is_match |= after.is_empty();
            rest = after;
        }
        if let Some((GlobPart::Name(glob), after)) = rest.split_first()
            && glob.is_match(name)
        {
            if after.is_empty() { is_match = true } else { below.push(after) }
        }
    }
    (is_match, below)
}

impl WalkRoot {
    fn new(pattern: &str) -> Result<Self, SourceError> {
        let components: Vec<&str> = components(pattern);
        let mut dir = PathBuf::from(Component::RootDir.as_os_str());
        let mut steps = Vec::new();
        for (index, component) in components.iter().enumerate() {
            let is_last = index.saturating_add(1) == components.len();
            if steps.is_empty() && !is_last && !component.contains(['*', '?', '[', '{', '\\']) {
                dir.push(component);
            } else if *component == "**" {
                steps.push(GlobPart::Deep);
            } else if component.contains('/') {
                // Alternatives of several levels: everything below is looked at, and the whole pattern decides.
                steps.extend([GlobPart::Deep, GlobPart::Name(glob("*")?.compile_matcher())]);
                break;
            } else {
                steps.push(GlobPart::Name(glob(component)?.compile_matcher()));
            }
        }
        Ok(Self { pattern: pattern.to_owned(), dir, steps })
    }
}

/// A pattern as paths are written: with one slash between its parts, and without parts that stay where they are.
fn normal(pattern: &str) -> String {
    let mut pattern = pattern.to_owned();
    while pattern.contains("//") || pattern.contains("/./") {
        pattern = pattern.replace("//", "/").replace("/./", "/");
    }
    let end = pattern.strip_suffix("/.").unwrap_or(&pattern);
    let end = if end.len() > 1 { end.strip_suffix('/').unwrap_or(end) } else { end };
    end.strip_prefix("./").unwrap_or(end).to_owned()
}

/// The parts of a pattern between slashes, where slashes within braces do not count.
fn components(pattern: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = pattern.split(|c| {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '/' && depth == 0
    });
    parts.filter(|part| !part.is_empty() && *part != ".").collect()
}

fn set<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<GlobSet, SourceError> {
    let mut set = GlobSetBuilder::new();
    let mut all = String::new();
    for pattern in patterns {
        set.add(glob(pattern.as_ref())?);
        all.push_str(pattern.as_ref());
    }
    set.build().map_err(|source| SourceError::Glob { pattern: all, source })
}

fn glob(pattern: &str) -> Result<Glob, SourceError> {
    let made = GlobBuilder::new(pattern).literal_separator(true).build();
    made.map_err(|source| SourceError::Glob { pattern: pattern.to_owned(), source })
}

/// Deeper trees are taken for a loop.
const MOST_LEVELS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FollowLinks;

    /// Makes a small tree, and looks what `include` without `exclude` finds in it.
    #[track_caller]
    fn check(include: &[&str], exclude: &[&str], expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a.log", "b.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/z/c.log", "w/y/a.log", ".h.log"]
        {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("x/loop")).unwrap();
        let absolute = |globs: &[&str]| -> Vec<String> {
            globs.iter().map(|glob| glob.replace('@', root.to_str().unwrap())).collect()
        };
        let patterns = Patterns::new(&absolute(include), &absolute(exclude)).unwrap();
        let mut paths = PathResolver::new(FollowLinks::SameOwner);
        let walk = patterns.walk(&mut paths);
        let found: Vec<String> = walk.files.iter().map(|path| relative(path, root)).collect();
        assert_eq!(found, expected);
        assert_eq!(walk.unmatched.len(), if expected.is_empty() { include.len() } else { 0 });
        for path in expected {
            assert!(patterns.matches(&root.join(path)), "{path} is found by the walk only");
        }
    }

    fn relative(path: &Path, root: &Path) -> String {
        path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn globs_find_what_they_say() {
        check(&["@/*.log"], &[], &[".h.log", "a.log", "b.log"]);
        check(&["@/a.log"], &[], &["a.log"]);
        check(&["@/**/a.log"], &[], &["a.log", "w/y/a.log", "x/a.log", "x/y/a.log"]);
        check(&["@/x/**"], &[], &["x/a.log", "x/y/a.log", "x/y/z/c.log"]);
        check(&["@/*/y/*.log"], &[], &["w/y/a.log", "x/y/a.log"]);
        check(&["@/{a,b}.{log,txt}"], &[], &["a.log", "b.log", "b.txt"]);
        check(&["@/{w,x/y}/*/c.log", "@/w/y/*"], &[], &["w/y/a.log", "x/y/z/c.log"]);
        check(&["@/none/*.log"], &[], &[]);
    }

    #[test]
    fn excluded_names_and_paths_are_left_out() {
        check(&["@/**/*.log"], &["a.log", ".*"], &["b.log", "x/y/z/c.log"]);
        check(&["@/**/*.log"], &["@/x/**", ".h.log"], &["a.log", "b.log", "w/y/a.log"]);
    }

    #[test]
    fn a_pattern_means_the_same_however_its_slashes_are_written() {
        for include in ["@//*.log", "@/./*.log", "/@/*.log", "@/.//./*.log", "@/*.log/", "@/*.log/."] {
            check(&[include], &["@//b.log", "./.h.log"], &["a.log"]);
        }
        check(&["@//**//a.log"], &["@/./x/**", "**/./y//a.log"], &["a.log"]);
        check(&["@/{w,x//y}/*//c.log"], &[], &["x/y/z/c.log"]);
    }

    #[test]
    fn a_pattern_that_is_a_folder_is_told_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let pattern = format!("{}/", dir.path().display());
        let none = format!("{}/*.log", dir.path().display());
        let patterns = Patterns::new(&[pattern, none.clone()], &[]).unwrap();
        let walk = patterns.walk(&mut PathResolver::new(FollowLinks::SameOwner));
        assert_eq!(walk.unmatched, [(dir.path().display().to_string(), true), (none, false)]);
    }

    #[test]
    fn a_missing_directory_is_waited_for_in_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        let pattern = format!("{}/not/yet/*.log", dir.path().display());
        let walk = Patterns::new(&[pattern], &[]).unwrap().walk(&mut PathResolver::new(FollowLinks::Never));
        assert!(walk.dirs.contains(dir.path()));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Patterns::new(&["/var/log/[.log".to_owned()], &[]).unwrap_err();
        assert!(error.to_string().starts_with("`/var/log/[.log` is not a glob"));
    }
}
