#!/usr/bin/env python3
"""Kills the real binary again and again under load, and prints what each kill doubled, and whether it made progress.

    cargo build --profile dist --bin standpipe && cargo build --release --example standin
    benches/kills.py [--kills N] [--profile debug] [--binary BEFORE --binary AFTER] [--markdown]

`steady`: 1,000 lines a second are appended to a file; the daemon is killed at a random time between 0.7 and 1.7 s after it runs. What
is in flight at a kill are the lines of `linger`, 20 ms, and of one request.
`progress`: 100,000 lines are there; the daemon is killed 300 ms after it was started, until all are delivered, or 60 times.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

import measure
from end_to_end import FILES, MESSAGE, Scenario

BUFFERS = {"memory": MESSAGE, "disk": MESSAGE + '\nbuffer = { type = "disk", max = "1GiB" }'}


@dataclass
class Outcome:
    name: str
    binary: str
    kills: int
    per_kill: float
    lost: int
    notes: str


class Kills(measure.Run):
    """A run whose daemon is killed; the rest of a run is as in the other benches."""

    def __init__(self, name, buffer, options):
        self.name, self.options = name, options
        self.scenario = Scenario(BUFFERS[buffer], FILES, linger="20ms")
        self.lines, self.peak, self.random = 0, 0.0, random.Random(7)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="standpipe-bench-"))

    def result(self):
        built = measure.TARGET / self.options.profile / "examples" / "standin"
        standin = subprocess.Popen([built, "--tls", "--ca-out", self.folder / "ca.pem"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.url = standin.stdout.readline().strip()
            self.keys = dict(pair.split("=", 1) for pair in standin.stdout.readline().split())
            self.configure()
            kills, notes = getattr(self, self.name.split("-")[0])()
            report = self.ask("report")
            doubled = report["total"]["duplicates"]
            return Outcome(self.name, str(self.options.binary), kills, doubled / max(1, kills), report["missing"], notes)
        finally:
            standin.stdin.close()
            standin.wait()
            shutil.rmtree(self.folder)

    def steady(self):
        seconds = self.options.kills * 1.6
        self.lines = int(seconds * 1000)
        writer = threading.Thread(target=self.write, kwargs={"per_second": 1000})
        self.touch()
        writer.start()
        for _ in range(self.options.kills):
            daemon = self.start()
            self.running()
            time.sleep(self.random.uniform(0.7, 1.7))
            measure.kill(daemon)
        daemon = self.start()
        writer.join()
        self.delivered()
        daemon.terminate()
        self.end(daemon)
        return self.options.kills, ""

    def progress(self):
        self.lines = 100_000
        self.write()
        for kills in range(1, 61):
            daemon = self.start()
            time.sleep(0.3)
            measure.kill(daemon)
            if self.ask("report")["total"]["seen"] >= self.lines:
                return kills, f"all delivered after {kills} kills"
        seen = self.ask("report")["total"]["seen"]
        return kills, f"{seen} of {self.lines} delivered after {kills} kills"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--profile", default="release", help="of the stand-in; any but release also of the binary, if none is named")
    arguments.add_argument("--binary", action="append", help="may be given more than once, to compare")
    arguments.add_argument("--memory", default="64MiB", help="limits.memory")
    arguments.add_argument("--markdown", action="store_true")
    options = arguments.parse_args()
    options.sink, options.faults, options.cores = "", None, None
    if options.markdown:
        print("| scenario | binary | kills | lines doubled per kill | lost | |\n|---|---|---|---|---|---|")
    built = measure.BINARY if options.profile == "release" else measure.TARGET / options.profile / "standpipe"
    for binary in options.binary or [built]:
        options.binary = binary
        for scenario in ("steady", "progress"):
            for buffer in BUFFERS:
                one = Kills(f"{scenario}-{buffer}", buffer, options).result()
                edge, between = ("| ", " | ") if options.markdown else ("", "  ")
                cells = [one.name, one.binary, str(one.kills), f"{one.per_kill:.0f}", str(one.lost), one.notes]
                print(edge + between.join(cells) + edge[::-1], flush=True)


if __name__ == "__main__":
    sys.exit(main())
