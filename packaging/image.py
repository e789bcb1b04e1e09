#!/usr/bin/env python3
"""Makes a container image of a standpipe binary without a container engine: the binary, the libraries that it is linked to, and CA
certificates; no shell. It runs as a user without rights, on a root that may be read-only.

    packaging/image.py --binary target/dist/standpipe --archive standpipe.tar    # for `docker load`, `podman load`, skopeo, crane
    packaging/image.py --binary target/dist/standpipe --root FOLDER              # its files alone, for a Dockerfile

The archive is an OCI layout and one of Docker's in one file. The same binary on the same system makes the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent

USER = 65532
STATE = "/var/lib/standpipe"

CERTIFICATES = [
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Amazon Linux
]

# What `uname -m` calls them, and what images do.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

ACCOUNTS = {
    "/etc/passwd": f"root:x:0:0:root:/:/usr/sbin/nologin\nstandpipe:x:{USER}:{USER}:standpipe:{STATE}:/usr/sbin/nologin\n",
    "/etc/group": f"root:x:0:\nstandpipe:x:{USER}:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

# Of whom files are passed on.
LICENCES = ["libc6", "libgcc-s1", "ca-certificates"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=pathlib.Path, required=True)
    arguments.add_argument("--archive", type=pathlib.Path, help="the archive to write")
    arguments.add_argument("--root", type=pathlib.Path, help="the folder to write files to")
    arguments.add_argument("--tag", help="name and tag; by default standpipe and the version")
    arguments.add_argument("--most", type=float, help="fail if the image has more MB unpacked")
    options = arguments.parse_args()
    if not options.archive and not options.root:
        arguments.error("say where to: --archive or --root")
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    system, program = system_files(options.binary), program_files(options.binary)
    if options.root:
        write_folder(options.root, system + program)
    if options.archive:
        layers = [layer(system), layer(program)]
        archive = image(layers, version, options.tag or f"standpipe:{version}")
        options.archive.parent.mkdir(parents=True, exist_ok=True)
        options.archive.write_bytes(archive)
    size = sum(len(one.content or b"") for one in system + program) / 1e6
    print(f"image: {size:.1f} MB unpacked" + (f", {len(archive) / 1e6:.1f} MB as {options.archive}" if options.archive else ""))
    if options.most and size > options.most:
        sys.exit(f"image: at most {options.most:g} MB are allowed")


class Entry:
    """A file, or a folder if it has no content."""

    def __init__(self, path, content=None, mode=0o644, user=0):
        self.path, self.content, self.mode, self.user = path, content, mode, user


def system_files(binary):
    """What stays the same from one version to the next."""
    bundle = next((path for path in CERTIFICATES if os.path.exists(path)), None)
    if bundle is None:
        sys.exit(f"image: there are no CA certificates in {' or '.join(CERTIFICATES)}: install ca-certificates")
    files = [Entry(CERTIFICATES[0], pathlib.Path(bundle).read_bytes())]
    files += [Entry(path, text.encode()) for path, text in ACCOUNTS.items()]
    files += [Entry(path, pathlib.Path(path).read_bytes(), 0o755) for path in libraries(binary)]
    for package in LICENCES:
        text = pathlib.Path(f"/usr/share/doc/{package}/copyright")
        if text.exists():
            files.append(Entry(str(text), text.read_bytes()))
    files.append(Entry(STATE, mode=0o700, user=USER))
    return files


def program_files(binary):
    return [
        Entry("/usr/bin/standpipe", binary.read_bytes(), 0o755),
        Entry("/etc/standpipe/standpipe.toml", (ROOT / "packaging" / "image.toml").read_bytes()),
        Entry("/usr/share/doc/standpipe/copyright", (ROOT / "LICENSE").read_bytes()),
    ]


def libraries(binary):
    """The paths of the loader and of the libraries, where the loader looks for them."""
    listed = subprocess.run(["ldd", binary], stdout=subprocess.PIPE, text=True, check=False).stdout
    if "not found" in listed:
        sys.exit(f"image: a library is missing:\n{listed}")
    # `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or the loader's path alone.
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def with_parents(entries):
    """The entries in order, each after the folders that it is in."""
    known = {entry.path: entry for entry in entries}
    for entry in entries:
        for parent in pathlib.PurePosixPath(entry.path).parents:
            if str(parent) != "/":
                known.setdefault(str(parent), Entry(str(parent), mode=0o755))
    return [known[path] for path in sorted(known)]


def write_folder(root, entries):
    for entry in with_parents(entries):
        path = root / entry.path.lstrip("/")
        if entry.content is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(entry.content)
        path.chmod(entry.mode)


def tarred(entries):
    """A tar archive without times, so that it is always the same."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path.lstrip("/"))
            info.mode, info.uid, info.gid = entry.mode, entry.user, entry.user
            if entry.content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(entry.content)
                archive.addfile(info, io.BytesIO(entry.content))
    return raw.getvalue()


def layer(entries):
    """The digest of what it unpacks to, and its compressed bytes."""
    raw = tarred(with_parents(entries))
    return f"sha256:{hashlib.sha256(raw).hexdigest()}", gzip.compress(raw, 6, mtime=0)


def image(layers, version, tag):
    """The archive: blobs by their digests, and who refers to them."""
    blobs = {}

    def add(media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    listed = [add("application/vnd.oci.image.layer.v1.tar+gzip", content) for _, content in layers]
    made = add("application/vnd.oci.image.config.v1+json", packed(config([diff for diff, _ in layers], version)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": made,
        "layers": listed,
    }
    root = add(manifest["mediaType"], packed(manifest)) | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    blob = lambda one: "blobs/sha256/" + one["digest"].removeprefix("sha256:")  # noqa: E731
    docker = [{"Config": blob(made), "RepoTags": [tag], "Layers": [blob(one) for one in listed]}]
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [root]}
    files = blobs | {
        "oci-layout": packed({"imageLayoutVersion": "1.0.0"}),
        "index.json": packed(index),
        "manifest.json": packed(docker),
    }
    return tarred([Entry(path, content) for path, content in sorted(files.items())])


def config(diffs, version):
    """How the image runs. `Healthcheck` is Docker's; other engines ignore it."""
    machine = os.uname().machine
    seconds = 1_000_000_000
    return {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": ["/usr/bin/standpipe"],
            "Cmd": ["run"],
            "Env": ["PATH=/usr/bin"],
            "WorkingDir": "/",
            "ExposedPorts": {"9598/tcp": {}},
            "Volumes": {STATE: {}},
            "StopSignal": "SIGTERM",
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/standpipe", "health"],
                "Interval": 30 * seconds,
                "Timeout": 5 * seconds,
                "StartPeriod": 10 * seconds,
                "Retries": 3,
            },
            "Labels": {
                "org.opencontainers.image.title": "standpipe",
                "org.opencontainers.image.description": "Ships logs to Amazon Data Firehose, across accounts",
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.version": version,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": diffs},
    }


def packed(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
