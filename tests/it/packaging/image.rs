//! The image that is made without a container engine: its files are what its index says, and it runs by itself.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::{is_installed, left_out, root, run};

/// An image, unpacked.
struct Image {
    folder: tempfile::TempDir,
}

/// A small program, for what does not depend on which it is.
const SMALL: &str = "/bin/true";

impl Image {
    /// An image of a program. None where there is no Python.
    fn of(binary: &str) -> Option<Self> {
        if !is_installed("python3") {
            left_out("`python3` is missing");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("image.tar");
        Self::write(binary, &archive);
        run(Path::new("tar"), &["-xf", archive.to_str().unwrap(), "-C", folder.path().to_str().unwrap()]);
        Some(Self { folder })
    }

    fn write(binary: &str, archive: &Path) {
        let script = root().join("packaging/image.py");
        run(&script, &["--binary", binary, "--archive", archive.to_str().unwrap()]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// What a descriptor names, which is as long as it says and has the digest that it says.
    #[track_caller]
    fn blob(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = self.path("blobs/sha256").join(digest);
        let content = fs::read(&path).unwrap();
        assert_eq!(descriptor["size"].as_u64(), Some(content.len() as u64));
        assert_eq!(hex(&content), digest);
        path
    }

    fn manifest(&self) -> Value {
        self.json(self.blob(&self.json("index.json")["manifests"][0]).to_str().unwrap())
    }

    fn config(&self) -> Value {
        self.json(self.blob(&self.manifest()["config"]).to_str().unwrap())
    }

    fn layers(&self) -> Vec<PathBuf> {
        self.manifest()["layers"].as_array().unwrap().iter().map(|layer| self.blob(layer)).collect()
    }
}

fn hex(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, content).as_ref() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

#[test]
fn the_image_is_what_its_index_says_for_either_kind_of_engine() {
    let Some(image) = Image::of(SMALL) else { return };
    assert_eq!(image.json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let (config, layers) = (image.config(), image.layers());
    let unpacked = layers.iter().map(|layer| {
        let output = Command::new("gzip").arg("-dc").stdin(fs::File::open(layer).unwrap()).output().unwrap();
        format!("sha256:{}", hex(&output.stdout))
    });
    let diffs =
        config["rootfs"]["diff_ids"].as_array().unwrap().iter().map(|diff| diff.as_str().unwrap().to_owned());
    assert_eq!(unpacked.collect::<Vec<_>>(), diffs.collect::<Vec<_>>());
    let docker = image.json("manifest.json");
    let named =
        docker[0]["Layers"].as_array().unwrap().iter().map(|layer| image.path(layer.as_str().unwrap()));
    assert_eq!(named.collect::<Vec<_>>(), layers);
    assert_eq!(image.path(docker[0]["Config"].as_str().unwrap()), image.blob(&image.manifest()["config"]));
}

#[test]
fn the_same_binary_makes_the_same_image() {
    let Some(image) = Image::of(SMALL) else { return };
    Image::write(SMALL, &image.path("again.tar"));
    assert!(fs::read(image.path("image.tar")).unwrap() == fs::read(image.path("again.tar")).unwrap());
}

#[test]
fn an_image_that_is_too_large_is_refused() {
    if !is_installed("python3") {
        return left_out("`python3` is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(root().join("packaging/image.py"))
        .args(["--binary", SMALL, "--root"])
        .arg(folder.path().join("root"))
        .args(["--most", "0.1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("at most 0.1 MB"), "{output:?}");
}

#[test]
fn the_dockerfile_makes_the_same_image() {
    let Some(image) = Image::of(SMALL) else { return };
    let config = image.config()["config"].clone();
    let text = fs::read_to_string(root().join("packaging/Dockerfile")).unwrap();
    let list = |value: &Value| value.to_string().replace("\",\"", "\", \"");
    for line in [
        format!("USER {}", config["User"].as_str().unwrap()),
        format!("ENTRYPOINT {}", list(&config["Entrypoint"])),
        format!("CMD {}", list(&config["Cmd"])),
        "VOLUME /var/lib/standpipe".to_owned(),
        "EXPOSE 9598".to_owned(),
    ] {
        assert!(text.lines().any(|is| is == line), "there is no `{line}` in\n{text}");
    }
    let health = list(&config["Healthcheck"]["Test"]).replace("[\"CMD\", ", "CMD [");
    assert!(text.contains(&health), "{health}\n{text}");
}

/// The image in its root alone, which it cannot write to but for its state, as the user that it names.
struct Unpacked {
    image: Image,
    root: PathBuf,
    state: PathBuf,
    user: String,
    config: Value,
}

/// Makes the root read-only, in mounts of its own, and goes into it as a user: root, state, user and command.
const ENTER: &str = "mount --bind \"$1\" \"$1\" && mount --bind \"$2\" \"$1/var/lib/standpipe\" && \
                     mount -o remount,ro,bind \"$1\" && exec chroot --userspec=\"$3\" \"$1\" \"${@:4}\"";

impl Unpacked {
    fn of(image: Image) -> Self {
        let (root, state) = (image.path("root"), image.path("state"));
        fs::create_dir(&root).unwrap();
        for layer in image.layers() {
            run(Path::new("tar"), &["-xpzf", layer.to_str().unwrap(), "-C", root.to_str().unwrap()]);
        }
        let config = image.config()["config"].clone();
        let user = config["User"].as_str().unwrap().to_owned();
        let id = user.split(':').next().unwrap().parse().unwrap();
        fs::create_dir(&state).unwrap();
        chown(&state, Some(id), Some(id)).unwrap();
        fs::set_permissions(image.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { image, root, state, user, config }
    }

    /// Starts what the image starts.
    fn start(&self, env: &[(&str, &str)]) -> Child {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "bash", "-c", ENTER, "bash"])
            .args([&self.root, &self.state])
            .arg(&self.user);
        command.args(words(&self.config["Entrypoint"])).args(words(&self.config["Cmd"]));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(env.iter().copied());
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs its health check as an engine does: in the same root.
    fn check_health(&self, url: &str) {
        let health = words(&self.config["Healthcheck"]["Test"]);
        let (kind, command) = health.split_first().unwrap();
        assert_eq!(kind, "CMD");
        let userspec = format!("--userspec={}", self.user);
        let command = command.iter().map(String::as_str);
        let inside =
            [&*userspec, self.root.to_str().unwrap()].into_iter().chain(command).chain(["--url", url]);
        run(Path::new("chroot"), &inside.collect::<Vec<_>>());
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_image_runs_on_a_read_only_root_without_rights() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        return left_out("an image is not run: that takes root, and the right to mount");
    }
    let Some(image) = Image::of(env!("CARGO_BIN_EXE_standpipe")) else { return };
    let unpacked = Unpacked::of(image);
    let mut standpipe = unpacked.start(&[
        ("STANDPIPE__SERVER__LISTEN", "127.0.0.1:0"),
        ("STANDPIPE__SOURCES__INPUT__TYPE", "stdin"),
        ("STANDPIPE__SINKS__OUT__TYPE", "directory"),
        ("STANDPIPE__SINKS__OUT__PATH", "/var/lib/standpipe/out"),
        ("STANDPIPE__SINKS__OUT__ENCODING", "message"),
    ]);
    let mut log = BufReader::new(standpipe.stderr.take().unwrap()).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("admin endpoint listening")).unwrap();
    let listening: Value = serde_json::from_str(&listening).unwrap();
    let fields = listening.get("fields").unwrap_or(&listening);
    unpacked.check_health(&format!("http://{}", fields["address"].as_str().unwrap()));
    standpipe.stdin.take().unwrap().write_all(b"a line for the image\n").unwrap();
    let rest: Vec<String> = log.collect();
    let status = standpipe.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", rest.join("\n"));
    let out = unpacked.image.path("state/out");
    let found = run(Path::new("grep"), &["-rh", "a line", out.to_str().unwrap()]);
    assert_eq!(found, "a line for the image\n");
}
