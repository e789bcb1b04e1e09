//! Which paths belong to a source, and the walk that finds them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

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
    pub(super) files: BTreeSet<PathBuf>,
    /// Those of them that are symbolic links.
    pub(super) links: Vec<PathBuf>,
    /// Directories in which matching paths may appear.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// Directories that could not be read.
    pub(super) failed: Vec<(PathBuf, io::Error)>,
}

impl Patterns {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, SourceError> {
        let (paths, names): (Vec<&String>, Vec<&String>) =
            exclude.iter().partition(|glob| glob.contains('/'));
        Ok(Self {
            include: set(include)?,
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

    /// Walks only the directories that a pattern may match in.
    pub(super) fn walk(&self) -> PatternWalk {
        let mut walk = PatternWalk::default();
        for root in &self.roots {
            self.descend(&root.dir, &[root.steps.as_slice()], MOST_LEVELS, &mut walk);
        }
        walk
    }

    /// `states` are the rests of the pattern that a path below `dir` may still match.
    fn descend(&self, dir: &Path, states: &[&[GlobPart]], levels: usize, walk: &mut PatternWalk) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                walk.dirs.extend(dir.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned));
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return,
            Err(error) => return walk.failed.push((dir.to_owned(), error)),
        };
        walk.dirs.insert(dir.to_owned());
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            let (is_match, below) = advance(states, Path::new(&name), kind.is_symlink());
            let path = dir.join(&name);
            let is_dir = kind.is_dir() || (kind.is_symlink() && path.is_dir());
            if is_match && !is_dir && self.matches(&path) {
                if kind.is_symlink() {
                    walk.links.push(path.clone());
                }
                walk.files.insert(path.clone());
            }
            if is_dir && !below.is_empty() && levels > 0 {
                self.descend(&path, &below, levels.saturating_sub(1), walk);
            }
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
        Ok(Self { dir, steps })
    }
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
        let found: Vec<String> = patterns.walk().files.iter().map(|path| relative(path, root)).collect();
        assert_eq!(found, expected);
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
    fn a_missing_directory_is_waited_for_in_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        let pattern = format!("{}/not/yet/*.log", dir.path().display());
        let walk = Patterns::new(&[pattern], &[]).unwrap().walk();
        assert!(walk.dirs.contains(dir.path()));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Patterns::new(&["/var/log/[.log".to_owned()], &[]).unwrap_err();
        assert!(error.to_string().starts_with("`/var/log/[.log` is not a glob"));
    }
}
