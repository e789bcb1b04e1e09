//! Tells the program which revision it is built from, when that is of, and for which target.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=STANDPIPE_REVISION");
    // A packager who has no repository names it.
    let revision = env::var("STANDPIPE_REVISION").ok().filter(|named| !named.is_empty());
    let revision = revision.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    set("BUILD_REVISION", revision);
    set("BUILD_REVISION_DATE", git(&["log", "-1", "--format=%cs"]));
    set("BUILD_TARGET", env::var("TARGET").ok());
    // What is built while it is written is not built anew for each commit.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(log) =
            git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists())
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// For the compiler; cargo gives it to what it runs as well, so that no name may begin as a key of the configuration does.
fn set(name: &str, value: Option<String>) {
    println!("cargo::rustc-env={name}={}", value.unwrap_or_else(|| "unknown".to_owned()));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
