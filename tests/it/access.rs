//! Access between accounts: what is rendered passes the tools of those who will use it, and does what it says on moto.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::moto::{Moto, installed, root};
use crate::world::{World, run_to_end};

const TOPOLOGIES: [&str; 6] = ["basic", "three-accounts", "organization", "straight", "trail", "pull"];

pub(crate) fn topology(name: &str) -> PathBuf {
    root().join("tests/access").join(format!("{name}.toml"))
}

/// Renders into a folder, and gives the files.
#[track_caller]
fn rendered(world: &World, topology: &Path, format: &str, folder: &str) -> Vec<PathBuf> {
    let out = world.path(folder);
    let arguments =
        ["access", "render", topology.to_str().unwrap(), "--format", format, "--out", out.to_str().unwrap()];
    let output = world.run(&arguments, b"");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// All topologies, the sample with every key among them.
fn all() -> Vec<PathBuf> {
    let sample = root().join("config/topology.toml");
    TOPOLOGIES.into_iter().map(topology).chain([sample]).collect()
}

/// Renders all topologies, and lets a tool look at what ends so.
#[track_caller]
fn passes(format: &str, ending: &str, tool: &str, arguments: &[&str], one_by_one: bool) {
    let Some(tool) = installed(tool) else { return };
    let world = World::new();
    let mut files = Vec::new();
    for (index, topology) in all().iter().enumerate() {
        files.extend(rendered(&world, topology, format, &format!("{format}-{index}")));
    }
    files.retain(|file| file.to_str().unwrap().ends_with(ending));
    assert!(files.len() > 8, "{files:?}");
    let groups: Vec<&[PathBuf]> = if one_by_one { files.chunks(1).collect() } else { vec![&files] };
    for group in groups {
        let output = Command::new(&tool).args(arguments).args(group).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{group:?}: {}", told(&output));
    }
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn scripts_pass_shellcheck() {
    passes("cli", ".sh", "shellcheck", &[], false);
}

#[test]
fn templates_pass_cfn_lint() {
    passes("cloudformation", ".yaml", "cfn-lint", &[], false);
}

#[test]
fn modules_are_terraforms_language() {
    passes("terraform", ".tf", "hcl2tojson", &[], true);
}

/// Who may do what in each topology is written down and was read; `STANDPIPE_TEST_GOLDEN=write` writes it anew.
#[test]
fn who_may_do_what_is_as_it_was_reviewed() {
    for name in TOPOLOGIES {
        let world = World::new();
        let files = rendered(&world, &topology(name), "policies", "policies");
        let page = fs::read_to_string(&files[0]).unwrap();
        let golden = root().join("tests/access").join(format!("{name}.md"));
        if std::env::var_os("STANDPIPE_TEST_GOLDEN").is_some_and(|is| is == "write") {
            fs::write(&golden, &page).unwrap();
        }
        let reviewed = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(page, reviewed, "{name}: STANDPIPE_TEST_GOLDEN=write writes it anew");
        for file in files.iter().filter(|file| file.extension().is_some_and(|is| is == "json")) {
            let policy: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            assert_eq!(policy["Version"], "2012-10-17", "{}", file.display());
        }
    }
}

#[test]
fn mistakes_of_a_topology_are_named_at_once() {
    let world = World::new();
    let path = world.path("topology.toml");
    fs::write(&path, "region = \"us-east-1\"\n[accounts.app]\nid = \"12\"\nprofle = \"x\"\n[stram]\n")
        .unwrap();
    let output = world.run(&["access", "render", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(78));
    let words = told(&output);
    for word in ["topology.toml", "accounts.app.id", "`profile`", "`stream`"] {
        assert!(words.contains(word), "`{word}`: {words}");
    }
}

/// Credentials of an account of moto's.
pub(crate) fn keys(moto: &Moto, account: &str) -> BTreeMap<&'static str, String> {
    let keys: Value = serde_json::from_slice(&moto.flow("keys", &[Path::new(account)])).unwrap();
    let key = |name: &str| keys[name].as_str().unwrap().to_owned();
    BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", key("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", key("SecretAccessKey")),
        ("AWS_SESSION_TOKEN", key("SessionToken")),
    ])
}

/// A folder with an `aws` that asks moto: version 1 of the AWS CLI knows better for SQS than to heed `AWS_ENDPOINT_URL`.
pub(crate) fn aws(world: &World, moto: &Moto, program: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let folder = world.path("bin");
    fs::create_dir(&folder).unwrap();
    let script = format!("#!/bin/sh\nexec '{}' --endpoint-url '{}' \"$@\"\n", program.display(), moto.url());
    fs::write(folder.join("aws"), script).unwrap();
    fs::set_permissions(folder.join("aws"), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs a script as its account; gives the lines that it says.
#[track_caller]
fn run(script: &Path, bin: &Path, keys: &BTreeMap<&'static str, String>) -> Vec<String> {
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.arg(script).env_clear().env("PATH", path).env("RETRY_SECONDS", "0").envs(keys);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), told(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// moto takes a destination's name for that of a log group of its account, which has to be there.
#[test]
fn scripts_make_everything_once_and_repair_it() {
    let (Some(moto), Some(program)) = (Moto::start(), installed("aws")) else { return };
    let world = World::new();
    let bin = aws(&world, &moto, &program);
    let scripts = rendered(&world, &topology("moto"), "cli", "scripts");
    let accounts = [("222222222222", "archive"), ("111111111111", "app")];
    let keys: Vec<_> = accounts.iter().map(|(account, _)| keys(&moto, account)).collect();
    for (account, group) in [(accounts[0].0, "everything"), (accounts[1].0, "orders")] {
        moto.flow("group", &[Path::new(account), Path::new("us-east-1"), Path::new(group)]);
    }

    let said: Vec<Vec<String>> =
        scripts.iter().zip(&keys).map(|(script, keys)| run(script, &bin, keys)).collect();
    for what in
        ["create  key alias/standpipe-logs", "create  bucket org-logs", "create  Firehose stream logs"]
    {
        assert!(said[0].iter().any(|line| line == what), "`{what}`: {said:#?}");
    }
    assert!(said[1].iter().any(|line| line.starts_with("put     filter standpipe")), "{said:#?}");

    for (script, keys) in scripts.iter().zip(&keys) {
        let changed: Vec<String> =
            run(script, &bin, keys).into_iter().filter(|line| !line.starts_with("keep ")).collect();
        assert!(changed.is_empty(), "the second run changes nothing: {changed:#?}");
    }

    moto.flow("break", &[Path::new(accounts[0].0), Path::new("us-east-1"), Path::new("standpipe-logs")]);
    let changed: Vec<String> =
        run(&scripts[0], &bin, &keys[0]).into_iter().filter(|line| !line.starts_with("keep ")).collect();
    assert_eq!(
        changed,
        [
            "change  trust policy of role standpipe-logs",
            "put     policy standpipe-logs of role standpipe-logs"
        ]
    );

    let (script, others) = (&scripts[0], &keys[1]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash").arg(script).env("PATH", path).envs(others).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "credentials of another account are refused");
    assert!(told(&output).contains("111111111111, not of 222222222222"), "{}", told(&output));
}

#[test]
fn a_look_that_saw_nothing_of_an_account_is_no_success() {
    let world = World::new();
    let nobody =
        [("AWS_EC2_METADATA_DISABLED", "true")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let env: BTreeMap<String, String> = nobody.into();
    let arguments = ["access", "verify", topology("basic").to_str().unwrap()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run_to_end(&arguments, b"", &world.path(""), &env);
    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.ends_with("nothing could be seen of 2 accounts: app, archive\n"), "{words}");
}
