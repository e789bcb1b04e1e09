#!/usr/bin/env python3
"""Writes `benches/layout.txt`: the functions that run when logs are shipped, for the linker to put side by side (see `build.rs`).

Runs a release build that has its symbols below valgrind, which counts what is called, with files of several formats and requests:

    cargo build --release --locked --bin standpipe --config 'profile.release.strip="none"' --target-dir target/symbols
    benches/layout.py --binary target/symbols/release/standpipe

To be run anew when `benches/bounds.py` says that the process takes more memory than it did, such as after a new compiler.
"""

import argparse
import os
import pathlib
import re
import subprocess
import tempfile
import time

import bounds

LIST = bounds.ROOT / "benches" / "layout.txt"
LINES = b"".join(b'%d a line with a "word" in it\n' % number for number in range(2_000))
FILES = {
    "lines": ("", LINES),
    "docker": ('format = "docker"', b'{"log":"x\\n","stream":"stdout","time":"2026-11-22T01:02:03Z"}\n' * 500),
    "cri": ('format = "cri"', b"2026-11-22T01:02:03Z stdout F a line\n" * 500),
    "cloudtrail": ('format = "cloudtrail"', b'{"Records":[' + b'{"eventID":"1"},' * 300 + b"{}]}"),
    "joined": ("multiline = { start = '^a' }", b"a\nb\n" * 500),
}
SINKS = [bounds.JSON, 'encoding = "message"\ncompression = "gzip"\nbuffer = { type = "disk", max = "1GiB" }']


def sources():
    """A source for each format, and one for requests."""
    text = bounds.HTTP.replace("sources.app", "sources.http")
    for name, (more, _) in FILES.items():
        text += f'[sources.{name}]\ntype = "file"\ninclude = ["{{dir}}/logs/{name}/**"]\n{more}\n'
    return text


class LayoutRun(bounds.Case):
    """A run that is counted rather than measured."""

    def __init__(self, sink, options):
        self.sink, self.options, self.source = sink, options, sources()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="standpipe-layout-"))
        self.name, self.memory, self.stalled, self.make = "layout", 8, 0.0, lambda _: None

    def peak_of(self, _):
        text = bounds.CONFIG
        for name, value in {"source": self.source, "sink": self.sink, "memory": 8, "url": self.url, "dir": self.folder}.items():
            text = text.replace("{" + name + "}", str(value))
        (self.folder / "bounds.toml").write_text(text)
        for name, (_, lines) in FILES.items():
            bounds.logs(self.folder, f"{name}/a.log", lines)
        counts = self.folder / "counts"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", "--compress-strings=no", "--demangle=no"]
        command = [*valgrind, self.options.binary, "run", "-c", self.folder / "bounds.toml"]
        log = (self.folder / "log").open("w")
        self.daemon = subprocess.Popen(command, stderr=log, env={**os.environ, **self.keys})
        envelope = bounds.packed(bounds.envelope([bounds.EVENT_900] * 200))
        for number, payload in enumerate([envelope, envelope * 2, bounds.packed(envelope)]):
            self.post(number, [payload] * 3)
        time.sleep(15)
        bounds.logs(self.folder, "lines/late.log", LINES)
        time.sleep(15)
        self.daemon.terminate()
        self.daemon.wait()
        return set(re.findall(r"^c?fn=(\S+?)(?:'\d+)?$", counts.read_text(), re.MULTILINE))

    def address(self):
        # The log has lines of valgrind's between.
        while True:
            found = re.search(r'"firehose endpoint listening".*?"address":"([^"]+)"', self.log())
            if found:
                return found[1]
            time.sleep(0.5)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=pathlib.Path, required=True, help="a release build with its symbols")
    arguments.add_argument("--standin", type=pathlib.Path, default=bounds.ROOT / "target" / "release" / "examples" / "standin")
    options = arguments.parse_args()
    called = set().union(*(LayoutRun(sink, options).run() for sink in SINKS))
    symbols = subprocess.run(["nm", "--defined-only", "-n", options.binary], capture_output=True, text=True, check=True).stdout
    names = [words[2] for words in map(str.split, symbols.splitlines()) if len(words) == 3 and words[1] in "tTwW"]
    names = [name for name in names if name in called]
    LIST.write_text("\n".join(names) + "\n")
    print(f"{len(names)} functions")


if __name__ == "__main__":
    main()
