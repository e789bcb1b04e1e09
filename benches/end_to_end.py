#!/usr/bin/env python3
"""Runs the real binary against the stand-in, each in a process of its own, over TLS, and prints what it cost.

    cargo build --profile dist --bin standpipe && cargo build --release --example standin && cargo bench --bench floor --no-run
    benches/end_to_end.py [SCENARIO]... [--lines N] [--runs N] [--markdown]

CPU is that of the standpipe process from wait4(2), RSS its peak. The floor is measured on the same lines by benches/floor.rs: what
the sink's records, and the compressing or inflating around them, cost at the least. GB are 10^9 bytes of lines.
"""

import argparse
import resource
import sys
from dataclasses import dataclass, field

import measure

MESSAGE, JSON, ENVELOPE = 'encoding = "message"', 'encoding = "json"', 'encoding = "envelope"'
GZIP_1 = 'encoding = "message"\ncompression = { type = "gzip", level = 1 }'
GZIP_6 = 'encoding = "message"\ncompression = { type = "gzip", level = 6 }'
ZSTD = 'encoding = "message"\ncompression = "zstd"'
FILES = '[sources.app]\ntype = "file"\ninclude = ["DIR/*.log"]\n'
HTTP = '[sources.app]\ntype = "firehose_http"\nlisten = "127.0.0.1:0"\naccess_keys = ["bench"]\n'
FORWARD = '[sources.app]\ntype = "fluent_forward"\nlisten = "unix:DIR/fluent.sock"\n'
HUNDRED = "".join(f'[sources.s{at}]\ntype = "file"\ninclude = ["DIR/{at}.log"]\n' for at in range(100))


@dataclass
class Scenario:
    """What runs, what is written, and how it is measured."""

    sink: str = MESSAGE
    sources: str = FILES
    stream: str = "logs"
    linger: str = "1s"
    # Threads; none is as many as there are cores.
    workers: int = 0
    # A number, or a share of --lines.
    lines: float = 1.0
    # More for the stand-in's `write`.
    writing: dict = field(default_factory=dict)
    # Where envelopes are posted, how many they come from.
    log_streams: int = 1
    # Events an envelope, envelopes a request, connections.
    requests: tuple = (1000, 4, 8)
    # How many send messages.
    connections: int = 1
    # A kind of run in `measure`.
    run: str = "once"
    # The stand-in counts bytes and checks nothing, so that the cores are standpipe's.
    light: bool = False


def posted(sink, **more):
    return Scenario(sink, HTTP, linger="100ms", lines=0.5, run="post", **more)


def answered(events, envelopes, connections, linger="1s"):
    return Scenario(JSON, HTTP, linger=linger, lines=400_000, requests=(events, envelopes, connections), run="answers")


def files(count, group=10, **more):
    return {"path": "DIR/{}.log", "files": count, "group": group, **more}



def forwarded(connections):
    return Scenario(MESSAGE, FORWARD, lines=0.5, writing={"line_bytes": 200}, connections=connections, run="forward")


SCENARIOS = {
    "plain": Scenario(),
    "disk": Scenario(MESSAGE + '\nbuffer = { type = "disk" }'),
    "json": Scenario(JSON),
    "gzip-1": Scenario(GZIP_1),
    "gzip-6": Scenario(GZIP_6),
    "zstd": Scenario(ZSTD),
    "subscriptions-json": posted(JSON),
    "subscriptions-message": posted(MESSAGE),
    "subscriptions-envelope": posted(ENVELOPE),
    "http-8x1m": answered(1000, 4, 8),
    "http-8x1m-20ms": answered(1000, 4, 8, "20ms"),
    "http-64x25k": answered(100, 1, 64),
    "http-64x25k-20ms": answered(100, 1, 64, "20ms"),
    "http-1x25k": answered(100, 1, 1),
    "http-1x25k-20ms": answered(100, 1, 1, "20ms"),
    "files-1000": Scenario(writing=files(1000)),
    "files-1000-live": Scenario(writing=files(1000, per_second=200_000), run="follow"),
    "lines-200": Scenario(lines=0.5, writing={"line_bytes": 200}),
    "forward-1": forwarded(1),
    "forward-50": forwarded(50),
    "subscriptions-100": posted(MESSAGE, stream="logs-{log_stream}", log_streams=100),
    "sources-100": Scenario(sources=HUNDRED, writing=files(100)),
    "destinations-100": Scenario(sources=HUNDRED, stream="logs-{source}", writing=files(100)),
    "lines-50": Scenario(lines=5.0, writing={"line_bytes": 50}),
    "lines-50-json": Scenario(JSON, lines=2.0, writing={"line_bytes": 50}),
    "lines-10k": Scenario(lines=0.05, writing={"line_bytes": 10_240}),
    "latency": Scenario(lines=30_000, writing={"per_second": 1000}, run="follow"),
    "stalled": Scenario(run="stall"),
    "stalled-json": Scenario(JSON, run="stall"),
    "idle-1000": Scenario(lines=10_000, writing=files(1000), run="idle"),
    "start-10000": Scenario(linger="10ms", lines=10_000, writing=files(10_000, group=1), run="restart"),
    "start-backlog": Scenario(MESSAGE + '\nbuffer = { type = "disk", max = "100GiB" }', run="backlog", light=True),
    "json-workers-1": Scenario(JSON, workers=1, light=True),
    "json-workers-2": Scenario(JSON, workers=2, light=True),
    "gzip-1-workers-1": Scenario(GZIP_1, workers=1, light=True),
    "gzip-1-workers-2": Scenario(GZIP_1, workers=2, light=True),
    "gzip-6-workers-1": Scenario(GZIP_6, workers=1, light=True),
    "gzip-6-workers-2": Scenario(GZIP_6, workers=2, light=True),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("scenario", nargs="*", default=["plain"], metavar="SCENARIO", help=" ".join(SCENARIOS))
    arguments.add_argument("--lines", type=int, default=4_000_000)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--memory", default="64MiB", help="limits.memory")
    arguments.add_argument("--sink", default="", help="TOML to add to the sink")
    arguments.add_argument("--faults", help="faults of the stand-in as JSON")
    arguments.add_argument("--cores", help="the cores standpipe may use, such as 0")
    arguments.add_argument("--binary", default=measure.BINARY)
    arguments.add_argument("--markdown", action="store_true", help="print rows of a table, each the cheapest run of its scenario")
    options = arguments.parse_args()
    # For a stand-in and a daemon with thousands of files.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if options.markdown:
        print("| scenario | CPU s/GB | user | kernel | floor | user / floor | MB/s | peak RSS MiB | calls | billed / payload | |")
        print("|---" * 11 + "|")
    for name in options.scenario:
        results = []
        for _ in range(options.runs):
            results.append(measure.Run(name, SCENARIOS[name], options).result())
            print(words(results[-1]), file=sys.stderr if options.markdown else sys.stdout, flush=True)
        if options.markdown:
            print(row(min(results, key=lambda one: one.cpu)), flush=True)


def words(one):
    return (
        f"{one.name:22} {one.wall:6.2f} s {one.rate:6.1f} MB/s  CPU {one.cpu:5.2f} s/GB = {one.user:.2f} user + {one.kernel:.2f} kernel, "
        f"floor {one.floor:.2f}, user / floor {one.user / one.floor:.2f}  RSS {one.peak:5.1f} MiB  calls {one.calls} "
        f"billed / payload {one.bill:.4f}  {one.notes}"
    )


def row(one):
    return (
        f"| {one.name} | {one.cpu:.2f} | {one.user:.2f} | {one.kernel:.2f} | {one.floor:.2f} | {one.user / one.floor:.2f} "
        f"| {one.rate:.0f} | {one.peak:.0f} | {one.calls} | {one.bill:.4f} | {one.notes} |"
    )


if __name__ == "__main__":
    sys.exit(main())
