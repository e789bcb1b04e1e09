"""One run: a folder, a stand-in, a daemon, and what the daemon cost."""

import json
import math
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import forward
import subscriptions

TARGET = pathlib.Path(__file__).resolve().parent.parent / "target"
# The stand-in and the floor.
RELEASE = TARGET / "release"
# What is measured is what packages contain.
BINARY = TARGET / "dist" / "standpipe"

# By the lines' size.
FLOORS = {}

CONFIG = """
[server]
listen = "127.0.0.1:0"
[state]
dir = "DIR/state"
[limits]
memory = "{memory}"
{workers}
{sources}
[sinks.archive]
type = "firehose"
region = "us-east-1"
stream = "{stream}"
endpoint_url = "{url}"
ca_file = "DIR/ca.pem"
linger = "{linger}"
{sink}
"""


@dataclass
class Result:
    """Seconds of user, kernel and floor are for each GB of lines."""

    name: str
    wall: float
    rate: float
    user: float
    kernel: float
    floor: float
    peak: float
    calls: int
    bill: float
    notes: str

    @property
    def cpu(self):
        return self.user + self.kernel


class Run:
    def __init__(self, name, scenario, options):
        self.name, self.scenario, self.options = name, scenario, options
        self.lines = scenario.lines if isinstance(scenario.lines, int) else int(options.lines * scenario.lines)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="standpipe-bench-"))
        self.peak, self.notes, self.posted, self.again, self.unsent = 0.0, [], (0, 0), 0, 0

    def result(self):
        command = [RELEASE / "examples" / "standin", "--tls", "--ca-out", self.folder / "ca.pem"]
        command += ["--light"] if self.scenario.light else []
        command += ["--faults", self.options.faults] if self.options.faults else []
        standin = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.url = standin.stdout.readline().strip()
            self.keys = dict(pair.split("=", 1) for pair in standin.stdout.readline().split())
            self.configure()
            wall, usage = getattr(self, self.scenario.run)()
            return self.judge(wall, usage, self.ask("report"))
        finally:
            standin.stdin.close()
            standin.wait()
            shutil.rmtree(self.folder)

    def configure(self):
        one = self.scenario
        sink = f"{one.sink}\n{self.options.sink}"
        workers = f"workers = {one.workers}" if one.workers else ""
        text = CONFIG.format(
            memory=self.options.memory, workers=workers, sources=one.sources, stream=one.stream, url=self.url, linger=one.linger, sink=sink
        )
        (self.folder / "bench.toml").write_text(text.replace("DIR", str(self.folder)))

    # The kinds of runs: each returns the seconds it took, and what wait4 says of the daemon.

    def once(self):
        """What is in the files is read and delivered."""
        self.write()
        before = time.monotonic()
        usage = self.end(self.start("--once"))
        return time.monotonic() - before, usage

    def post(self):
        """The lines are posted in envelopes; each request is answered when it is delivered."""
        self.write()
        bodies, *self.posted = subscriptions.requests(self.folder / "app.log", self.scenario.log_streams)
        daemon = self.start()
        address = self.said("firehose endpoint listening")["address"]
        before = time.monotonic()
        subscriptions.post(address, bodies)
        wall = time.monotonic() - before
        daemon.terminate()
        return wall, self.end(daemon)

    def answers(self, seconds=15):
        """So many connections post for a while, each its next request once it has the answer to the one before."""
        self.write()
        events, envelopes, connections = self.scenario.requests
        bodies, *_ = subscriptions.requests(self.folder / "app.log", 1, events, envelopes)
        daemon = self.start()
        address = self.said("firehose endpoint listening")["address"]
        before = time.monotonic()
        times = subscriptions.post(address, bodies, connections, seconds)
        wall = time.monotonic() - before
        daemon.terminate()
        self.unsent = self.lines - len(times) * events * envelopes
        p50, p99 = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
        self.notes.append(f"{len(times) / wall:.0f} requests/s, answered after p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        return wall, self.end(daemon)

    def forward(self):
        """The lines come as messages of Docker's driver."""
        self.write()
        shares = forward.pieces(self.folder / "app.log", self.scenario.connections)
        daemon = self.start()
        self.said("forward endpoint listening")
        before = time.monotonic()
        forward.send(str(self.folder / "fluent.sock"), shares)
        self.delivered()
        wall = time.monotonic() - before
        daemon.terminate()
        self.notes.append(f"{self.lines / wall / 1000:.0f},000 events a second")
        return wall, self.end(daemon)

    def follow(self):
        """Lines are appended while the daemon runs."""
        self.touch()
        daemon = self.start()
        self.said("running")
        before = time.monotonic()
        self.write()
        self.delivered()
        wall = time.monotonic() - before
        daemon.terminate()
        if delay := self.ask("report")["delay"]:
            self.notes.append(f"delay p50 {delay['p50']:.0f} ms, p99 {delay['p99']:.0f} ms")
        return wall, self.end(daemon)

    def stall(self, seconds=20):
        """The sink does not answer for a while, with everything there to be read."""
        self.ask("faults", {"faults": {"hang": True}})
        self.write()
        before = time.monotonic()
        daemon = self.start("--once")
        time.sleep(seconds)
        self.notes.append(f"{self.peak:.0f} MiB while stalled")
        self.ask("faults", {"faults": {}})
        usage = self.end(daemon)
        return time.monotonic() - before, usage

    def idle(self, seconds=30):
        """Files are watched, and nothing is written to them."""
        self.write()
        daemon = self.start()
        self.delivered()
        # A checkpoint is saved, and the last record has lingered.
        time.sleep(2)
        before = cpu_seconds(daemon.pid)
        time.sleep(seconds)
        share = (cpu_seconds(daemon.pid) - before) / seconds
        self.notes.append(f"{share:.2%} of a core while idle")
        daemon.terminate()
        return seconds, self.end(daemon)

    def restart(self):
        """Every file has a checkpoint; what is timed is the second start, until a line more in one of them has arrived."""
        self.write()
        self.end(self.start("--once"))
        last = self.folder / f"{self.scenario.writing['files'] - 1}.log"
        with last.open("ab") as file:
            file.write(last.read_bytes())
        self.again = 1
        before = time.monotonic()
        daemon = self.start()
        address = self.said("admin endpoint listening")["address"]
        while not is_ready(address):
            time.sleep(0.001)
        ready = time.monotonic() - before
        while self.ask("report")["total"]["duplicates"] < self.again:
            time.sleep(0.001)
        wall = time.monotonic() - before
        self.notes.append(f"ready after {ready:.2f} s, one more line arrived after {wall:.2f} s")
        daemon.terminate()
        return wall, self.end(daemon)

    def backlog(self, parts=20):
        """So many times the lines are on disk, since nothing got through; what is timed is the next start."""
        self.ask("faults", {"faults": {"throttles": 1.0}})
        daemon, size = self.start(), 0
        for part in range(parts):
            path = self.folder / f"{part}.log"
            # A file's first bytes tell it from one that had its place on the disk before.
            self.write(path=str(path), line_bytes=240 + part)
            size += path.stat().st_size
            while self.spooled() < size * 0.98:
                time.sleep(0.05)
            if part + 1 < parts:
                path.unlink()
        kill(daemon)
        self.ask("faults", {"faults": {}})
        self.peak = 0.0
        before = time.monotonic()
        daemon = self.start()
        self.said("running")
        ready = time.monotonic() - before
        while not self.ask("report")["total"]["payload_bytes"]:
            time.sleep(0.001)
        wall = time.monotonic() - before
        self.notes.append(f"{self.spooled() / 1e9:.1f} GB on disk: running after {ready:.2f} s, first record arrived after {wall:.2f} s")
        time.sleep(5)
        return wall, kill(daemon)

    # What they are made of.

    def write(self, **changes):
        writing = {"path": "DIR/app.log", "lines": self.lines, **self.scenario.writing, **changes}
        self.ask("write", {**writing, "path": writing["path"].replace("DIR", str(self.folder))})

    def touch(self):
        name = pathlib.Path(self.scenario.writing.get("path", "DIR/app.log")).name
        for number in range(self.scenario.writing.get("files", 1)):
            (self.folder / name.replace("{}", str(number))).touch()

    def start(self, *more):
        self.log = self.folder / "log"
        passed = {name: value for name, value in os.environ.items() if name.startswith(("MALLOC", "GLIBC", "LD_PRELOAD", "OPENSSL"))}
        fixed = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(self.folder), "STANDPIPE_LOG": "info"}
        command = ["taskset", "-c", self.options.cores] if self.options.cores else []
        command += self.command(*more)
        with self.log.open("w") as log:
            daemon = subprocess.Popen(command, env={**fixed, **passed, **self.keys}, stderr=log)
        threading.Thread(target=self.watch, args=(daemon.pid,), daemon=True).start()
        return daemon

    def command(self, *more):
        return [self.options.binary, "run", "-c", self.folder / "bench.toml", *more]

    def running(self):
        """Waits until the daemon runs."""
        self.said("running")

    def watch(self, pid):
        """Keeps the peak of the daemon's memory; ru_maxrss would begin at the size of this process."""
        while "VmHWM:" in (status := read(f"/proc/{pid}/status")):
            self.peak = max(self.peak, int(status.split("VmHWM:")[1].split()[0]) / 1024)
            time.sleep(0.02)

    def said(self, message):
        """The line of the daemon's log with this message."""
        while True:
            for line in self.log.read_text().splitlines():
                if f'"{message}"' in line:
                    return json.loads(line)
            time.sleep(0.001)

    def end(self, daemon):
        _, status, usage = os.wait4(daemon.pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            sys.exit(f"{self.name}: exit {code}\n{self.log.read_text()}")
        return usage

    def spooled(self):
        """Bytes in the disk buffer."""
        return sum(path.stat().st_size for path in self.folder.glob("state/spool/*/*/*.spool"))

    def delivered(self):
        while self.ask("report")["total"]["seen"] < self.lines:
            time.sleep(0.05)

    def ask(self, path, body=None):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(f"{self.url}/_standin/{path}", data, context=context) as answer:
            return json.load(answer)

    # What comes out.

    def judge(self, wall, usage, report):
        total = report["total"]
        size = sum(path.stat().st_size for path in self.folder.glob("*.log"))
        size = size * (self.lines - self.unsent) / self.lines
        gigabytes = size / 1e9
        wrong = {"lost": report["missing"] - self.unsent, "doubled": total["duplicates"] - self.again, "violations": report["limit_violations"]}
        if not self.scenario.light:
            self.notes += [f"**{count} {what}**" for what, count in wrong.items() if count]
        if self.scenario.writing.get("line_bytes") == 50:
            self.notes.append(f"{(usage.ru_utime + usage.ru_stime) / self.lines * 1e9:.0f} ns an event")
        return Result(
            name=self.name,
            wall=wall,
            rate=size / 1e6 / wall,
            user=usage.ru_utime / gigabytes,
            kernel=usage.ru_stime / gigabytes,
            floor=self.floor(size, total["record_bytes"]) / gigabytes if self.scenario.run != "answers" else math.nan,
            peak=self.peak,
            calls=report["calls"],
            bill=total["billed_bytes"] / max(1, total["payload_bytes"]),
            notes="; ".join(self.notes),
        )

    def floor(self, size, record_bytes):
        """Seconds that these records cost at the least."""
        if "zstd" in self.scenario.sink:
            # What compressing costs at the least is not measured.
            return math.nan
        parts = floor_parts(self, self.scenario.writing.get("line_bytes"))
        seconds = record_bytes * parts["records"]
        for level in (1, 6):
            if f"level = {level}" in self.scenario.sink:
                seconds += size * parts[f"deflate, level {level}"]
        gzipped, inflated = self.posted
        seconds += gzipped * parts["base64 decoding of gzip"]
        if "envelope" not in self.scenario.sink:
            seconds += inflated * parts["inflate"]
        return seconds / 1e9


def floor_parts(run, line_bytes):
    """What each stage costs at the least, in seconds per GB; measured once for each kind of lines."""
    if line_bytes not in FLOORS:
        sample = run.folder / "sample"
        run.write(path=str(sample), files=1, group=1000, per_second=None, lines=130_000_000 // (line_bytes or 250))
        built = [path for path in (RELEASE / "deps").glob("floor-*") if not path.suffix]
        command = [max(built, key=lambda path: path.stat().st_mtime), "--json", "--lines", sample]
        FLOORS[line_bytes] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return FLOORS[line_bytes]


def kill(daemon):
    daemon.kill()
    return os.wait4(daemon.pid, 0)[2]


def is_ready(address):
    try:
        return urllib.request.urlopen(f"http://{address}/readyz").status == 200
    except urllib.error.HTTPError:
        return False


def cpu_seconds(pid):
    user, kernel = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
