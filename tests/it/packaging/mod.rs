//! What is passed on is whole: packages, the image, and the examples for those who run containers.

mod examples;
mod image;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A table below `[package.metadata]`.
fn metadata(tool: &str) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = root().join("Cargo.toml");
    let told = run(
        Path::new(&cargo),
        &["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest.to_str().unwrap()],
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    let package = told["packages"].as_array().unwrap().iter().find(|package| package["name"] == "standpipe");
    package.unwrap()["metadata"][tool].clone()
}

/// Source, destination and mode of each file that a package has.
fn assets(tool: &str) -> BTreeSet<[String; 3]> {
    let part = |asset: &Value, at: usize, key: &str| {
        let value = if asset.is_object() { &asset[key] } else { &asset[at] };
        value.as_str().unwrap().to_owned()
    };
    let metadata = metadata(tool);
    let of = |asset: &Value| {
        let destination = part(asset, 1, "dest");
        let destination = destination.trim_start_matches('/');
        // Debian has a folder of its own for what packages bring.
        let destination = destination.replace("zsh/vendor-completions", "zsh/site-functions");
        [part(asset, 0, "source"), destination, part(asset, 2, "mode")]
    };
    metadata["assets"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn both_packages_hold_the_same_files() {
    let mut rpm = assets("generate-rpm");
    // The other package has it by a key of its own.
    rpm.retain(|[source, ..]| source != "LICENSE");
    assert_eq!(assets("deb"), rpm);
}

#[test]
fn every_file_of_a_package_is_there_or_is_made() {
    let script = fs::read_to_string(root().join("packaging/build.sh")).unwrap();
    for [source, destination, _] in assets("deb").union(&assets("generate-rpm")) {
        if let Some(made) = source.strip_prefix("target/packaging/") {
            let name = made.strip_suffix("*.1.gz").unwrap_or(made);
            assert!(
                script.contains(&format!("target/packaging/{name}")),
                "packaging/build.sh does not make {source}"
            );
            continue;
        }
        let (folder, name) = source.rsplit_once('/').unwrap_or((".", source));
        let end = name.strip_prefix('*').unwrap_or(name);
        let mut names = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(
            names.any(|name| name.to_string_lossy().ends_with(end)),
            "{source} for {destination} is not there"
        );
    }
    let scripts = metadata("generate-rpm");
    for key in ["post_install_script", "pre_uninstall_script", "post_uninstall_script"] {
        assert!(root().join(scripts[key].as_str().unwrap()).exists(), "{key}");
    }
}

#[test]
fn an_upgrade_keeps_the_configuration() {
    let config = "/etc/standpipe/standpipe.toml";
    assert_eq!(metadata("deb")["conf-files"].as_array().unwrap(), &[Value::from(config)]);
    let rpm = metadata("generate-rpm");
    let kept = rpm["assets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|asset| asset.get("config").and_then(Value::as_str) == Some("noreplace"));
    let kept: Vec<_> = kept.map(|asset| asset["source"].as_str().unwrap()).collect();
    assert_eq!(kept, ["packaging/standpipe.toml"]);
}

/// As Debian's own tools, from the binary of the tests. Takes minutes, and what few machines have: so it runs where that is installed.
#[test]
fn a_package_is_installed_run_upgraded_and_removed() {
    check_package("deb", "cargo-deb");
}

/// By rpm, which replaces a default, sets a new one beside what was changed, and keeps that at the end.
#[test]
fn an_rpm_is_installed_run_upgraded_and_removed() {
    check_package("rpm", "cargo-generate-rpm");
}

/// Packs the binary of the tests, and lets `packaging/verify-KIND.sh` look at the package.
#[track_caller]
fn check_package(kind: &str, packer: &str) {
    let needs = [
        (packer, "PACKERS=1 tests/tools.sh builds it, which takes minutes"),
        ("debootstrap", "tests/tools.sh has it from Debian"),
    ];
    for (program, from) in needs {
        if !is_installed(program) {
            return left_out(&format!("`{program}` is missing: {from}"));
        }
    }
    // What goes into a package is staged in one folder.
    let _staged = STAGING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut build = Command::new(root().join("packaging/build.sh"));
    build
        .arg(kind)
        .envs([("BINARY", env!("CARGO_BIN_EXE_standpipe")), ("QUICK", "1")])
        .env("OUT", folder.path());
    let (code, words) = outcome(&mut build);
    assert_eq!(code, Some(0), "{words}");
    let packages = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let package = packages.filter(|path| path.extension().is_some_and(|is| is == kind)).max().unwrap();
    let script = root().join("packaging").join(format!("verify-{kind}.sh"));
    let (code, words) = outcome(Command::new(script).arg(&package));
    if code == Some(77) {
        return left_out(&words);
    }
    assert_eq!(code, Some(0), "{words}");
}

static STAGING: Mutex<()> = Mutex::new(());

/// The exit code of a command, and what it said.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Few machines can, so that CI goes on without it, too.
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn left_out(why: &str) {
    eprintln!("left out: {why}");
}

/// Runs a program that is there, and gives back what it printed.
#[track_caller]
fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {arguments:?}\n{words}", program.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
