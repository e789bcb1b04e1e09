#!/usr/bin/env python3
"""Standpipe beside Fluent Bit and Vector: the same input to the same stand-in, in turns, in one run on one machine. Writes the README's table.

    cargo build --profile dist --bin standpipe && cargo build --release --example standin && cargo bench --bench floor --no-run
    benches/side_by_side.py --fluent-bit /opt/fluent-bit/bin/fluent-bit --vector /usr/bin/vector --out table.md

Either may be left out, and has no column then. Below the table stand the machine, the day, the versions, and each configuration as it was
used. A cell has the median of the runs, with the least and the most where they differ. CPU is user and kernel time of the shipper's process
for each 10^9 bytes of lines; in brackets stands its user time, in multiples of what the protocol itself costs on this machine (`floor`).

Fluent Bit and Vector are configured as they do best on this work: Fluent Bit with large chunks, aggregation, three threads and retries
without a limit; Vector with large reads, events joined by `reduce`, acknowledgements, and retries of refused records. `--defaults` leaves
them as they come. Where envelopes are posted all three are as they come; Fluent Bit has no source for them.
"""

import argparse
import datetime
import math
import os
import pathlib
import platform
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import kills
import measure
import subscriptions
from end_to_end import FILES, GZIP_6, HTTP, MESSAGE, ZSTD, Scenario

# Where nothing more arrives for so long, nothing more will.
QUIET = 20


@dataclass
class Work:
    """A row, or several that are measured together."""

    what: str
    # A method of `Beside`.
    kind: str
    sink: str = MESSAGE
    lines: int = 0
    faults: str = None
    # Events an envelope, envelopes a request, connections.
    requests: tuple = (0, 0, 0)
    # How a record is compressed, in the peers' words.
    compression: str = "none"
    # Whether peers are configured for the work.
    tuned: bool = True
    writing: dict = field(default_factory=dict)
    # How the words of its rows in `KINDS` begin; none: all of them.
    shows: tuple = ()


WORKS = {
    "plain": Work("file → Firehose", "file"),
    "gzip": Work("the same, gzip level 6", "file", GZIP_6, compression="gzip", shows=("CPU", "MB/s", "billed")),
    "zstd": Work("the same, zstd", "file", ZSTD, compression="zstd", shows=("CPU", "MB/s", "billed")),
    "envelopes-8": Work("envelopes over HTTP, 8 connections, 4 × 1,000 events a request", "envelopes", requests=(1000, 4, 8), tuned=False),
    "envelopes-64": Work("envelopes over HTTP, 64 connections, 100 events a request", "envelopes", requests=(100, 1, 64), tuned=False),
    "faults": Work(
        "20 % of records refused, 10 % of calls throttled",
        "file",
        faults='{"record_failures": 0.2, "throttles": 0.1}',
        shows=("MB/s", "lines"),
    ),
    "kills": Work("`kill -9` under load, in memory", "kills"),
    "delay": Work("delay at 1,000 lines a second", "delay", lines=30_000, writing={"per_second": 1000}, tuned=False),
}


class Standpipe:
    name = "standpipe"
    endpoint = True

    def __init__(self, binary):
        self.binary = binary

    def files(self, run):
        one = run.scenario
        text = measure.CONFIG.format(
            memory="64MiB", workers="", sources=one.sources, stream="logs", url=run.url, linger="1s", sink=one.sink
        )
        # What is as it comes is left out.
        return {"standpipe.toml": text.replace('linger = "1s"\n', "").replace('[limits]\nmemory = "64MiB"\n', "")}

    def command(self, folder):
        return [self.binary, "run", "-c", folder / "standpipe.toml"]

    def address(self, run):
        return run.said("firehose endpoint listening")["address"]

    def running(self, run):
        run.said("running")


class FluentBit:
    """Sources of its settings: plugins/out_kinesis_firehose/firehose.c, plugins/in_tail/tail.c, src/flb_input.c and
    src/flb_config.c of Fluent Bit 5.1."""

    name = "Fluent Bit"
    # No source takes Firehose's requests.
    endpoint = False

    def __init__(self, binary):
        self.binary = binary

    def files(self, run):
        host, port = run.url.removeprefix("https://").split(":")
        # `Key` names what the stand-in finds lines by, where a record is an object.
        tail = {"Name": "tail", "Tag": "app", "Path": "DIR/*.log", "DB": "DIR/tail.db", "Read_from_Head": "on", "Key": "message"}
        out = {"Name": "kinesis_firehose", "Match": "*", "region": "us-east-1", "delivery_stream": "logs"}
        out |= {"endpoint": host, "port": port, "tls.ca_file": "DIR/ca.pem"}
        if run.work.tuned:
            tail |= {"Buffer_Chunk_Size": "1M", "Buffer_Max_Size": "2M", "Mem_Buf_Limit": "64M"}
            out |= {"log_key": "message", "simple_aggregation": "on", "workers": "3", "Retry_Limit": "no_limits"}
        if run.work.compression != "none":
            out["compression"] = run.work.compression
        sections = {"SERVICE": {"Flush": "1", "Grace": "30", "Log_Level": "warn"}, "INPUT": tail, "OUTPUT": out}
        text = "".join(
            f"[{section}]\n" + "".join(f"    {key:<20} {value}\n" for key, value in settings.items())
            for section, settings in sections.items()
        )
        return {"fluent-bit.conf": text}

    def command(self, folder):
        return [self.binary, "-c", folder / "fluent-bit.conf"]

    def running(self, run):
        """It tells of nothing by which it could be known; what it has read is known by its database."""
        run.until(lambda: (run.folder / "tail.db").exists())


class Vector:
    """Sources of its settings: src/sources/file.rs, src/sources/aws_kinesis_firehose/mod.rs, src/transforms/reduce/config.rs,
    src/sinks/aws_kinesis/config.rs of Vector 0.58."""

    name = "Vector"
    endpoint = True

    def __init__(self, binary):
        self.binary = binary

    def files(self, run):
        self.port = free_port()
        last = "app"
        if run.work.kind == "envelopes":
            sources, last = VECTOR_HTTP.replace("PORT", str(self.port)), "messages"
        else:
            sources = VECTOR_FILE
            if run.work.tuned:
                sources, last = sources + VECTOR_TUNED, "joined"
        text = VECTOR.replace("SOURCES", sources).replace("LAST", last).replace("URL", run.url)
        text = text.replace("COMPRESSION", run.work.compression).replace("RETRY", str(run.work.tuned).lower())
        return {"vector.toml": text}

    def command(self, folder):
        return [self.binary, "--config", folder / "vector.toml", "--quiet"]

    def address(self, run):
        run.until(lambda: is_open(self.port))
        return f"127.0.0.1:{self.port}"

    def running(self, run):
        """It writes its first checkpoints once it reads."""
        run.until(lambda: any((run.folder / "vector").rglob("checkpoints.json")) or run.ask("report")["total"]["seen"] > 0)


VECTOR = """data_dir = "DIR/vector"
acknowledgements.enabled = true

SOURCES
[sinks.archive]
type = "aws_kinesis_firehose"
inputs = ["LAST"]
region = "us-east-1"
stream_name = "logs"
endpoint = "URL"
tls.ca_file = "DIR/ca.pem"
compression = "COMPRESSION"
encoding.codec = "text"
request_retry_partial = RETRY
healthcheck.enabled = false
"""

VECTOR_FILE = """[sources.app]
type = "file"
include = ["DIR/*.log"]
read_from = "beginning"
"""

# So many of the input's lines fill a record of Firehose.
VECTOR_TUNED = """max_read_bytes = 1048576

[transforms.joined]
type = "reduce"
inputs = ["app"]
group_by = ["file"]
max_events = 3900
expire_after_ms = 1000
merge_strategies.message = "concat_newline"
"""

VECTOR_HTTP = """[sources.subscriptions]
type = "aws_kinesis_firehose"
address = "127.0.0.1:PORT"
access_keys = ["bench"]
record_compression = "gzip"

[transforms.events]
type = "remap"
inputs = ["subscriptions"]
source = '''
. = parse_aws_cloudwatch_log_subscription_message!(.message)
. = unnest!(.log_events)
'''

[transforms.messages]
type = "remap"
inputs = ["events"]
source = '. = { "message": .log_events.message }'
"""


@dataclass
class Cell:
    """What one run gave."""

    cpu: float = math.nan
    user: float = math.nan
    floor: float = math.nan
    rate: float = math.nan
    events: float = math.nan
    peak: float = math.nan
    bill: float = math.nan
    lost: int = 0
    # That came with other bytes than were written.
    changed: int = 0
    doubled: float = 0
    violations: int = 0
    delay: tuple = ()


class Beside:
    """A run of any shipper; the rest of it is as in the other benches."""

    def __init__(self, shipper, work, options):
        self.shipper, self.work = shipper, work
        super().__init__(*self.begin(shipper, work, options))

    def configure(self):
        self.configuration = {}
        # Vector does not make its own.
        (self.folder / "vector").mkdir()
        for name, text in self.shipper.files(self).items():
            self.configuration[name] = text
            (self.folder / name).write_text(text.replace("DIR", str(self.folder)))

    def command(self, *_):
        return self.shipper.command(self.folder)

    def running(self):
        self.shipper.running(self)

    def until(self, happened):
        deadline = time.monotonic() + 30
        while not happened():
            if time.monotonic() > deadline:
                sys.exit(f"{self.name}: it does not run\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def delivered(self):
        """Waits until all is there, or nothing comes any more."""
        seen, since = 0, time.monotonic()
        while time.monotonic() - since < QUIET:
            total = self.ask("report")["total"]
            now = total["seen"] + total["damaged"]
            if now >= self.lines:
                break
            if now > seen:
                seen, since = now, time.monotonic()
            time.sleep(0.05)
        self.last_arrival = since

    def end(self, daemon):
        """A peer that is stopped may end as it likes."""
        deadline = time.monotonic() + 60
        while True:
            pid, status, usage = os.wait4(daemon.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                daemon.kill()
            time.sleep(0.02)
        if code := os.waitstatus_to_exitcode(status):
            print(f"{self.name}: exit {code}\n{self.log.read_text()[-2000:]}", file=sys.stderr)
        return usage


class BesideRun(Beside, measure.Run):
    def begin(self, shipper, work, options):
        sources = HTTP if work.kind == "envelopes" else FILES
        lines = work.lines or options.lines
        options.faults = work.faults
        name = f"{work.what}, {shipper.name}"
        return name, Scenario(work.sink, sources, lines=lines, writing=work.writing, requests=work.requests, run=work.kind), options

    def file(self):
        self.write()
        before = time.monotonic()
        daemon = self.start()
        self.delivered()
        wall = self.stopped(before)
        daemon.terminate()
        return wall, self.end(daemon)

    def stopped(self, before):
        """Without the wait for what does not come."""
        total = self.ask("report")["total"]
        everything = total["seen"] + total["damaged"] >= self.lines
        return (time.monotonic() if everything else self.last_arrival) - before

    def envelopes(self, seconds=15):
        self.write()
        events, envelopes, connections = self.scenario.requests
        bodies, *self.posted = subscriptions.requests(self.folder / "app.log", 1, events, envelopes)
        daemon = self.start()
        address = self.shipper.address(self)
        before = time.monotonic()
        times = subscriptions.post(address, bodies, connections, seconds)
        wall = time.monotonic() - before
        daemon.terminate()
        share = len(times) * events * envelopes / self.lines
        self.posted = [part * share for part in self.posted]
        self.unsent = self.lines - len(times) * events * envelopes
        self.times = tuple(times[int(len(times) * part)] * 1e3 for part in (0.5, 0.99))
        return wall, self.end(daemon)

    def delay(self):
        self.touch()
        daemon = self.start()
        self.running()
        before = time.monotonic()
        self.write()
        self.delivered()
        wall = time.monotonic() - before
        daemon.terminate()
        return wall, self.end(daemon)

    def judge(self, wall, usage, report):
        result = super().judge(wall, usage, report)
        total = report["total"]
        delay = report["delay"]
        # Requests that were posted and not answered may have arrived or not.
        changed = total["damaged"]
        lost = max(0, report["missing"] - changed - self.unsent)
        arrived = self.lines - self.unsent - lost
        return Cell(
            cpu=result.cpu,
            user=result.user,
            floor=result.floor,
            rate=result.rate * arrived / max(1, self.lines - self.unsent),
            events=arrived / wall,
            peak=self.peak,
            bill=result.bill,
            lost=lost,
            changed=changed,
            doubled=total["duplicates"],
            violations=report["limit_violations"],
            delay=(delay["p50"], delay["p99"]) if delay else getattr(self, "times", ()),
        )


class BesideKills(Beside, kills.Kills):
    def begin(self, shipper, work, options):
        options.faults = None
        return "steady-memory", "memory", options

    def result(self):
        outcome = super().result()
        return Cell(lost=outcome.lost, doubled=outcome.per_kill)


def main():
    options = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    shippers = [Standpipe(options.binary)]
    shippers += [FluentBit(options.fluent_bit)] if options.fluent_bit else []
    shippers += [Vector(options.vector)] if options.vector else []
    cells, configurations = {}, {}
    for name in options.rows:
        for _ in range(1 if WORKS[name].kind == "kills" else options.runs):
            # In turns, so that what the machine does meanwhile is shared.
            for shipper in shippers:
                if cell := measured(shipper, name, options, configurations):
                    cells.setdefault((name, shipper.name), []).append(cell)
                    print(f"{name} {shipper.name}: {cell}", file=sys.stderr, flush=True)
    text = "\n".join([*table(options.rows, shippers, cells), "", *about(shippers, options), "", *shown(configurations)]) + "\n"
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=list(WORKS), metavar="ROW", help=" ".join(WORKS))
    parser.add_argument("--fluent-bit", type=pathlib.Path)
    parser.add_argument("--vector", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, help="of standpipe")
    parser.add_argument("--target", type=pathlib.Path, default=measure.TARGET, help="where the stand-in and the floor are built")
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--defaults", action="store_true", help="leave the peers as they come")
    parser.add_argument("--out", type=pathlib.Path, help="where to write the table")
    options = parser.parse_args()
    measure.TARGET, measure.RELEASE = options.target, options.target / "release"
    options.binary = options.binary or options.target / "dist" / "standpipe"
    # What the other benches may be told.
    options.sink, options.cores, options.memory, options.profile = "", None, "64MiB", "release"
    if options.defaults:
        for work in WORKS.values():
            work.tuned = False
    return options


def measured(shipper, name, options, configurations):
    """One run; none: the shipper cannot do it."""
    work = WORKS[name]
    if work.kind == "envelopes" and not shipper.endpoint:
        return None
    run = (BesideKills if work.kind == "kills" else BesideRun)(shipper, work, options)
    cell = run.result()
    for file, text in run.configuration.items():
        text = text.replace(run.url, "https://127.0.0.1:PORT")
        text = re.sub(r"127\.0\.0\.1:[1-9]\d*", "127.0.0.1:PORT", text)
        text = re.sub(r"(port +)\d+", r"\1PORT", text)
        configurations.setdefault((shipper.name, file, text), []).append(name)
    return cell


# The table.


def table(rows, shippers, cells):
    yield f"| | floor | {' | '.join(shipper.name for shipper in shippers)} |"
    yield "|---" * (len(shippers) + 2) + "|"
    for name in rows:
        of = [cells.get((name, shipper.name)) for shipper in shippers]
        floor = statistics.median(cell.floor for cell in of[0])
        shows = WORKS[name].shows
        for what, words in KINDS[WORKS[name].kind]:
            if shows and not what.removeprefix(": ").startswith(shows):
                continue
            texts = [words(some, floor) if some else "no such source" for some in of]
            told = f"{floor:.2f} s/GB" if "CPU" in what and not math.isnan(floor) else ""
            yield f"| {WORKS[name].what}{what} | {told} | {' | '.join(texts)} |"


def figures(form, value):
    """A row's words: the median of all runs, with the least and the most where they show."""

    def words(some, _):
        values = [value(cell) for cell in some]
        middle, least, most = (form.format(figure) for figure in (statistics.median(values), min(values), max(values)))
        return middle if least == most else f"{middle} ({least} to {most})"

    return words


def cpu(some, floor):
    times = statistics.median(cell.user for cell in some) / floor
    return figures("{:.2f} s/GB", lambda cell: cell.cpu)(some, floor) + ("" if math.isnan(times) else f" [{times:.1f} ×]")


def delays(some, _):
    p50, p99 = (statistics.median(cell.delay[at] for cell in some if cell.delay) for at in (0, 1))
    return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"


def fate(some, _):
    """The worst run's."""
    lost, changed, doubled, violations = (
        max(getattr(cell, what) for cell in some) for what in ("lost", "changed", "doubled", "violations")
    )
    told = [f"{lost:,} lost", f"{doubled:,.0f} doubled"]
    told += [f"{changed:,} changed"] if changed else []
    return ", ".join(told + ([f"{violations} limits broken"] if violations else []))


BILL = figures("{:.4f}", lambda cell: cell.bill)
PEAK = figures("{:.0f} MiB", lambda cell: cell.peak)

KINDS = {
    "file": [
        (": CPU", cpu),
        (": MB/s", figures("{:.0f}", lambda cell: cell.rate)),
        (": billed / payload bytes", BILL),
        (": peak memory", PEAK),
        (": lines", fate),
    ],
    "envelopes": [
        (": CPU", cpu),
        (": events/s", figures("{:,.0f}", lambda cell: cell.events)),
        (": answered after", delays),
        (": billed / payload bytes", BILL),
        (": peak memory", PEAK),
        (": events", fate),
    ],
    "kills": [(": lines lost, and doubled a kill", fate)],
    "delay": [("", delays)],
}


def about(shippers, options):
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    flags = re.search(r"^flags\s*:(.*)$", read("/proc/cpuinfo"), re.M)
    known = set(flags[1].split()) if flags else set()
    features = [word for flag, word in (("sha_ni", "SHA instructions"), ("avx2", "AVX2"), ("avx512bw", "AVX-512")) if flag in known]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = re.search(r'^PRETTY_NAME="(.*)"$', read("/etc/os-release"), re.M)
    yield (
        f"{datetime.date.today()}, {model[1] if model else platform.processor()} ({', '.join(features)}), {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{system[1] if system else platform.system()}, load {os.getloadavg()[0]:.1f} at the end. {options.lines:,} lines where nothing else is said; "
        f"medians of {options.runs} runs, in turns; {options.kills} kills. The stand-in is a process on the same cores, over TLS."
    )
    yield ""
    for shipper in shippers:
        yield f"- {shipper.name}: {version(shipper.binary)}"


def version(binary):
    said = subprocess.run([binary, "--version"], capture_output=True, text=True)
    return (said.stdout or said.stderr).strip().splitlines()[0]


def shown(configurations):
    for (name, file, text), rows in configurations.items():
        yield f"{name}, `{file}`, for {', '.join(dict.fromkeys(rows))}:"
        yield ""
        yield "```toml" if file.endswith("toml") else "```text"
        yield text.strip()
        yield "```"
        yield ""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def read(path):
    return pathlib.Path(path).read_text()


if __name__ == "__main__":
    sys.exit(main())
