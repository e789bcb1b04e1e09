#!/usr/bin/env python3
"""Checks the dependencies without a network: licences, origins, duplicates, requirements, and whether each is used.

It reads Cargo.toml, Cargo.lock and `cargo tree --locked`, prints what is wrong and how to fix it, and exits 1 then.
Advisories are not checked: their database is not on a package registry.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What is shipped is built for these.
PLATFORMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"

# Licences under which a program may be passed on in binary form, with no duty but to name the authors.
LICENCES = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

# Crates that are there in several versions, and why that cannot be helped yet.
DUPLICATES = {
    "hashbrown": "`config` reads YAML through an older `hashlink`",
    "syn": "macros at build time are on their way from 2 to 3",
}

# Direct dependencies that the code does not name, and what they are for.
UNNAMED = {
}


def main():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    packages = workspace()
    crates = tree({manifest["package"]["name"] for _, manifest, _ in packages})
    wrong = [*licences(crates), *origins(lock), *duplicates(crates)]
    unnamed = set()
    for folder, manifest, text in packages:
        found, names = unused(folder, manifest)
        unnamed |= names
        wrong += [
            f"{folder / 'Cargo.toml'}: {issue}" for issue in [*requirements(manifest), *found, *unexplained(text)]
        ]
    for name in sorted(UNNAMED.keys() - unnamed):
        wrong.append(f"`{name}` is named in the code, or gone: remove it from UNNAMED")
    for issue in wrong:
        print(f"dependencies: {issue}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"dependencies: {len(crates)} crates are in order")


def workspace():
    """Each package: its folder from the root, its manifest, and the manifest's text."""
    root = tomllib.loads((ROOT / "Cargo.toml").read_text())
    packages = []
    for folder in [Path("."), *map(Path, root.get("workspace", {}).get("members", []))]:
        text = (ROOT / folder / "Cargo.toml").read_text()
        packages.append((folder, tomllib.loads(text), text))
    return packages


def tree(ours):
    """Name, version and licence of every crate that is built, for a program or its tests, but for our own.

    `cargo metadata` would name crates too that no feature asks for.
    """
    crates = set()
    for platform in PLATFORMS:
        command = ["cargo", "tree", "--locked", "--workspace", "--target", platform]
        command += ["--prefix", "none", "--format", "{p}|{l}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit("dependencies: `cargo tree --locked` failed; if Cargo.lock is behind, run `cargo update --workspace`")
        for line in filter(None, done.stdout.splitlines()):
            crate, licence = line.removesuffix(" (*)").split("|")
            name, version = crate.split()[:2]
            crates.add((name, version.removeprefix("v"), licence))
    return sorted(crate for crate in crates if crate[0] not in ours)


def licences(crates):
    for name, version, expression in crates:
        crate = f"`{name}` {version}"
        if not expression:
            yield f"{crate} names no licence: read its licence file, and choose another crate if in doubt"
            continue
        try:
            allowed = Expression(expression).allowed()
        except ValueError as error:
            yield f"{crate}: cannot read its licence `{expression}`: {error}"
            continue
        if not allowed:
            yield f"{crate} is under `{expression}`: choose another crate, or add the licence to LICENCES if it may be"


class Expression:
    """An SPDX expression; a slash is an old way to write OR."""

    def __init__(self, text):
        self.tokens = re.findall(r"[()]|[^\s()]+", text.replace("/", " OR "))
        self.at = 0

    def allowed(self):
        value = self.either()
        if self.at != len(self.tokens):
            raise ValueError(f"`{self.tokens[self.at]}` is not expected")
        return value

    def either(self):
        value = self.both()
        while self.take("OR"):
            other = self.both()
            value = value or other
        return value

    def both(self):
        value = self.one()
        while self.take("AND"):
            other = self.one()
            value = value and other
        return value

    def one(self):
        if self.take("("):
            value = self.either()
            if not self.take(")"):
                raise ValueError("a parenthesis is not closed")
            return value
        name = self.next()
        if name in ("OR", "AND", "WITH", ")"):
            raise ValueError(f"`{name}` is not expected")
        if self.take("WITH"):
            name = f"{name} WITH {self.next()}"
        return name in LICENCES

    def take(self, token):
        found = self.at < len(self.tokens) and self.tokens[self.at] == token
        self.at += found
        return found

    def next(self):
        if self.at == len(self.tokens):
            raise ValueError("it ends too early")
        self.at += 1
        return self.tokens[self.at - 1]


def origins(lock):
    for package in lock["package"]:
        source = package.get("source")
        if source not in (None, CRATES_IO):
            yield f"`{package['name']}` comes from `{source}`: take a release from crates.io"
        elif source and "checksum" not in package:
            yield f"`{package['name']}` has no checksum in Cargo.lock: write the file anew by `cargo update`"


def duplicates(crates):
    versions = {}
    for name, version, _ in crates:
        versions.setdefault(name, []).append(version)
    double = {name for name, found in versions.items() if len(found) > 1}
    for name in sorted(double - DUPLICATES.keys()):
        found = " and ".join(versions[name])
        why = f"cargo tree --invert {name}@{versions[name][0]}"
        yield f"`{name}` is there as {found}: `{why}` shows why; update who asks for it, or say in DUPLICATES why not"
    for name in sorted(DUPLICATES.keys() - double):
        yield f"`{name}` is there once: remove it from DUPLICATES"


def dependencies(manifest):
    """Each direct dependency: table, name, requirement."""
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        for name, value in manifest.get(table, {}).items():
            yield table, name, value if isinstance(value, dict) else {"version": value}


def requirements(manifest):
    for table, name, value in dependencies(manifest):
        version = value.get("version")
        if version is None and "path" not in value:
            yield f"`{name}` in [{table}] has no version: give one"
        elif version is not None and "*" in version:
            yield f"`{name}` in [{table}] takes any version: give the one it was tested with"


def unused(folder, manifest):
    """What is wrong, and the dependencies that the code does not name."""
    code = source(folder / "src")
    tests = code + source(folder / "tests", folder / "benches")
    tables = {"dependencies": code, "dev-dependencies": tests, "build-dependencies": source(folder / "build.rs")}
    wrong, unnamed = [], set()
    for table, name, _ in dependencies(manifest):
        crate = name.replace("-", "_")
        # `crate::config::` is a module of ours.
        if re.search(rf"(?<!::)\b{crate}::|\buse {crate}\b", tables[table]):
            continue
        unnamed.add(name)
        if name not in UNNAMED:
            wrong.append(f"`{name}` in [{table}] is not named in the code: remove it, or say in UNNAMED what it is for")
    return wrong, unnamed


def source(*names):
    """The text of the Rust files below these names."""
    paths = [path for name in names for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    return "\n".join(path.read_text() for path in paths if path.suffix == ".rs" and path.is_file())


def unexplained(text):
    """Dependencies stand in groups, and each group begins with what it is for."""
    table = ""
    previous = ""
    for line in text.splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        elif table.endswith("dependencies") and line and not line.startswith("#"):
            if not previous or previous.startswith("["):
                name = line.split("=")[0].strip()
                yield f"`{name}` in [{table}] begins a group without a comment: say in a line above what the group is for"
        previous = line


if __name__ == "__main__":
    main()
