//! The revision that the program names is that of its sources, wherever they are built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// The build script, compiled.
fn script(folder: &Path) -> PathBuf {
    let program = folder.join("script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let mut rustc = Command::new("rustc");
    // The toolchain is the one that is set for the sources.
    rustc.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--edition", "2024", "-o"]).arg(&program).arg(source);
    let output = rustc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// What the program would say of itself if it were built in a folder.
fn version(script: &Path, folder: &Path, named: Option<&str>) -> String {
    let mut command = Command::new(script);
    command.current_dir(folder).env("TARGET", "t").env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", "debug");
    // A repository that the tests run in is none of this.
    command.env("GIT_CEILING_DIRECTORIES", script.parent().unwrap()).env_remove("STANDPIPE_REVISION");
    command.env_remove("GIT_DIR");
    command.envs(named.map(|named| ("STANDPIPE_REVISION", named)));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let value = |name: &str| {
        let line = format!("cargo::rustc-env={name}=");
        said.lines().find_map(|said| said.strip_prefix(&line)).unwrap_or_default().to_owned()
    };
    let version = value("BUILD_VERSION");
    let revision = value("BUILD_REVISION");
    assert!(revision == "unknown" || version.contains(&revision), "{version} {revision}");
    version
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
    let output =
        git.env("GIT_COMMITTER_DATE", "2026-11-22T01:02:03Z").env_remove("GIT_DIR").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_revision_is_that_of_the_sources_wherever_they_are() {
    let world = tempfile::tempdir().unwrap();
    let script = script(world.path());
    let folder = |name: &str| {
        let folder = world.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };

    let plain = folder("plain");
    assert_eq!(
        version(&script, &plain, None),
        "1.2.3 (t)",
        "without a repository it builds, and says nothing"
    );
    assert_eq!(version(&script, &plain, Some("r7")), "1.2.3 (r7, t)", "a packager names it");

    let packaged = folder("packaged");
    let info = format!("{{\n  \"git\": {{\n    \"sha1\": \"{REVISION}\"\n  }},\n  \"path_in_vcs\": \"\"\n}}");
    fs::write(packaged.join(".cargo_vcs_info.json"), info).unwrap();
    assert_eq!(version(&script, &packaged, None), "1.2.3 (0123456789ab, t)");

    let repository = folder("repository");
    git(&repository, &["init", "-q"]);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [".revision", ".gitattributes"] {
        fs::copy(sources.join(name), repository.join(name)).unwrap();
    }
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "a"]);
    let head = git(&repository, &["rev-parse", "HEAD"]);
    let expected = format!("1.2.3 ({}, 2026-11-22, t)", &head[..12]);
    assert_eq!(version(&script, &repository, None), expected);
    assert_eq!(version(&script, &repository, None), expected, "the same again");

    let archived = folder("archived");
    let tar = world.path().join("a.tar");
    git(&repository, &["archive", "-o", tar.to_str().unwrap(), "HEAD"]);
    let unpacked = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&archived).status().unwrap();
    assert!(unpacked.success());
    assert_eq!(version(&script, &archived, None), expected, "an archive has the revision in it");

    // Sources that lie in another project's repository are not of its revision.
    let vendored = folder("repository/vendor/standpipe");
    fs::copy(sources.join(".revision"), vendored.join(".revision")).unwrap();
    let own = git(&vendored, &["rev-parse", "HEAD"]);
    assert_eq!(own, head, "git itself would say so");
    assert_eq!(version(&script, &vendored, None), "1.2.3 (t)");
}
