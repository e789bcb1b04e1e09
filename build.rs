//! Tells the program which revision it is built from, when that is of, and for which target; and the linker, in which order functions
//! are to stand.
//!
//! The same sources and the same target give the same words: no clock is read, and nothing is asked of a repository that the package
//! only happens to lie in.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Filled in where the sources are taken out of the repository with `git archive`, as the hosts of repositories do.
const ARCHIVED: &str = ".revision";

/// What `cargo package` writes beside the sources.
const PACKAGED: &str = ".cargo_vcs_info.json";

/// So many digits name a revision.
const DIGITS: usize = 12;

/// A revision, and the day of it where that is known.
#[derive(Default)]
struct Revision {
    name: Option<String>,
    day: Option<String>,
}

/// Functions that run when logs are shipped. They are put side by side: the kernel maps code in pieces of 64 KiB and more, and so the process
/// has half as much of its code in memory as where they stand anywhere. A name that is not there any more is passed over, and a function that
/// is not named stands behind those that are: an old list costs memory, and nothing else. `benches/layout.py` makes it.
const LAYOUT: &str = "benches/layout.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if Path::new(ARCHIVED).exists() {
        println!("cargo::rerun-if-changed={ARCHIVED}");
    }
    println!("cargo::rerun-if-env-changed=STANDPIPE_REVISION");
    // A packager who has no repository names it.
    let named = env::var("STANDPIPE_REVISION").ok().filter(|named| !named.is_empty());
    let found = of_repository().or_else(of_archive).or_else(of_package).unwrap_or_default();
    let revision = match named {
        Some(name) if found.name.as_ref() != Some(&name) => Revision { name: Some(name), day: None },
        Some(_) | None => found,
    };
    let target = env::var("TARGET").ok();
    let package = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let parts: Vec<&str> =
        [&revision.name, &revision.day, &target].into_iter().flatten().map(String::as_str).collect();
    set("BUILD_VERSION", &format!("{package} ({})", parts.join(", ")));
    set("BUILD_REVISION", revision.name.as_deref().unwrap_or("unknown"));
    lay_out(target.as_deref().unwrap_or_default());
    // What is built while it is written is not built anew for each commit.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(log) =
            git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists())
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// Where the linker is LLD, as the one that comes with Rust is on this target, and nobody has named another.
fn lay_out(target: &str) {
    println!("cargo::rerun-if-changed={LAYOUT}");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_own_linker = env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let Some(list) = env::current_dir().ok().map(|here| here.join(LAYOUT)).filter(|list| list.exists())
    else {
        return;
    };
    if target == "x86_64-unknown-linux-gnu" && is_own_linker && is_release && has_lld(target) {
        let argument = |argument: &str| println!("cargo::rustc-link-arg-bin=standpipe=-Wl,{argument}");
        argument(&format!("--symbol-ordering-file={}", list.display()));
        argument("--no-warn-symbol-ordering");
    }
}

/// Whether the compiler came with LLD: one that a distribution built may have another linker, which does not know the argument.
fn has_lld(target: &str) -> bool {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) = Command::new(compiler).args(["--print", "sysroot"]).output() else { return false };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&folder).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
}

/// For the compiler; cargo gives it to what it runs as well, so that no name may begin as a key of the configuration does.
fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

/// The repository whose folder the package is: another one around it says nothing of these sources.
fn of_repository() -> Option<Revision> {
    let here = env::current_dir().ok()?.canonicalize().ok()?;
    let root = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    (here == root).then_some(())?;
    let name = git(&["rev-parse", "HEAD"])?;
    Some(Revision { name: Some(short(&name)), day: git(&["log", "-1", "--format=%cs"]) })
}

/// What `git archive` left: the revision and its day, or the words that it would have replaced.
fn of_archive() -> Option<Revision> {
    let text = fs::read_to_string(ARCHIVED).ok()?;
    let (name, day) = text.trim().split_once(' ')?;
    is_name(name).then(|| Revision { name: Some(short(name)), day: Some(day.to_owned()) })
}

/// What `cargo package` left.
fn of_package() -> Option<Revision> {
    let text = fs::read_to_string(PACKAGED).ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let name = rest.split('"').nth(1)?;
    is_name(name).then(|| Revision { name: Some(short(name)), day: None })
}

fn is_name(text: &str) -> bool {
    text.len() >= DIGITS && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn short(name: &str) -> String {
    name.chars().take(DIGITS).collect()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
