#!/usr/bin/env python3
"""Runs the real binary against the stand-in, each in a process of its own, over TLS, and prints what it cost.

    cargo build --release --bin standpipe && cargo build --release --example standin
    benches/end_to_end.py [SCENARIO]... [--lines N] [--runs N]

CPU is user + system of the standpipe process from wait4(2); RSS is its peak. The run is `--once`: it ends when all is delivered.
"""

import argparse
import base64
import gzip
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"

SINK = """
[sinks.archive]
type = "firehose"
region = "us-east-1"
stream = "logs"
endpoint_url = "{url}"
ca_file = "{dir}/ca.pem"
"""

FILE = """
[sources.app]
type = "file"
include = ["{dir}/app.log"]
"""

HTTP = """
[sources.subscriptions]
type = "firehose_http"
listen = "127.0.0.1:0"
access_keys = ["bench"]
"""

SCENARIOS = {
    "plain": FILE + SINK + 'encoding = "message"\n',
    "disk": FILE + SINK + 'encoding = "message"\nbuffer = {{ type = "disk" }}\n',
    "json": FILE + SINK + 'encoding = "json"\n',
    "gzip-1": FILE + SINK + 'encoding = "message"\ncompression = {{ type = "gzip", level = 1 }}\n',
    "gzip-6": FILE + SINK + 'encoding = "message"\ncompression = "gzip"\n',
    "subscriptions-json": HTTP + SINK + 'linger = "100ms"\nencoding = "json"\n',
    "subscriptions-message": HTTP + SINK + 'linger = "100ms"\nencoding = "message"\n',
    "subscriptions-envelope": HTTP + SINK + 'linger = "100ms"\nencoding = "envelope"\n',
}

# Of the subscriptions: events an envelope, envelopes a request, connections.
EVENTS, ENVELOPES, CONNECTIONS = 1000, 4, 8


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("scenario", nargs="*", default=["plain"])
    arguments.add_argument("--lines", type=int, default=2_000_000)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--faults", help="faults of the stand-in as JSON")
    arguments.add_argument("--memory", default="64MiB")
    options = arguments.parse_args()
    for scenario in options.scenario:
        for _ in range(options.runs):
            print(run(scenario, options), flush=True)


def run(scenario, options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="standpipe-bench-"))
    command = [RELEASE / "examples" / "standin", "--tls", "--ca-out", folder / "ca.pem"]
    command += ["--lines", str(options.lines), "--write-lines", folder / "app.log"]
    if options.faults:
        command += ["--faults", options.faults]
    standin = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = standin.stdout.readline().strip()
        keys = dict(pair.split("=", 1) for pair in standin.stdout.readline().split())
        text = SCENARIOS[scenario].format(url=url, dir=folder)
        config = f'[server]\nlisten = "127.0.0.1:0"\n[state]\ndir = "{folder}/state"\n'
        config += f'[limits]\nmemory = "{options.memory}"\n' + text
        (folder / "bench.toml").write_text(config)
        size = (folder / "app.log").stat().st_size
        environment = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(folder), **{k: v for k, v in os.environ.items() if k.startswith(("MALLOC", "GLIBC"))}, "STANDPIPE_LOG": "warn", **keys}
        wall, usage, peak, status = (post if "subscriptions" in scenario else once)(folder, environment)
        report = ask(url, folder / "ca.pem", "/_standin/report")
        return line(scenario, size, (wall, usage, peak, status), report)
    finally:
        standin.stdin.close()
        standin.wait()
        shutil.rmtree(folder)


def once(folder, environment):
    """What is in the file is read and delivered."""
    before = time.monotonic()
    daemon = subprocess.Popen([RELEASE / "standpipe", "run", "-c", folder / "bench.toml", "--once"], env=environment)
    _, status, usage = os.wait4(daemon.pid, 0)
    return time.monotonic() - before, usage, usage.ru_maxrss / 1024, status


def post(folder, environment):
    """The lines of the file are posted as Firehose posts subscription payloads; each request is answered when delivered."""
    requests = list(bodies(folder / "app.log"))
    environment["STANDPIPE_LOG"] = "info"
    daemon = subprocess.Popen(
        [RELEASE / "standpipe", "run", "-c", folder / "bench.toml"], env=environment, stderr=subprocess.PIPE, text=True
    )
    while "firehose endpoint listening" not in (text := daemon.stderr.readline()):
        pass
    address = json.loads(text)["address"]
    before = time.monotonic()
    threads = [
        threading.Thread(target=deliver, args=(address, requests[start::CONNECTIONS], start)) for start in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.monotonic() - before
    # A child's ru_maxrss begins at its parent's size, which is large by now.
    memory = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    peak = int(memory.split("VmHWM:")[1].split()[0]) / 1024
    daemon.terminate()
    _, status, usage = os.wait4(daemon.pid, 0)
    return wall, usage, peak, status


def bodies(path):
    """Request bodies, each with a few gzipped envelopes of the file's lines."""
    lines = path.read_text().splitlines()
    envelopes = [envelope(lines[at : at + EVENTS], at) for at in range(0, len(lines), EVENTS)]
    for at in range(0, len(envelopes), ENVELOPES):
        records = [{"data": base64.b64encode(one).decode()} for one in envelopes[at : at + ENVELOPES]]
        yield json.dumps({"requestId": f"bench-{at}", "timestamp": 1, "records": records}).encode()


def envelope(lines, first):
    events = [{"id": f"{first + at:056}", "timestamp": 1763773200000 + at, "message": line} for at, line in enumerate(lines)]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111111111111",
        "logGroup": "/aws/bench",
        "logStream": "stream",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    }
    return gzip.compress(json.dumps(payload, separators=(",", ":")).encode(), 6)


def deliver(address, requests, connection):
    client = http.client.HTTPConnection(address)
    for number, body in enumerate(requests):
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Firehose-Protocol-Version": "1.0",
            "X-Amz-Firehose-Request-Id": f"{connection}-{number}",
            "X-Amz-Firehose-Access-Key": "bench",
        }
        client.request("POST", "/", body, headers)
        answer = client.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"answered {answer.status}: {text}")


def ask(url, ca, path):
    context = ssl.create_default_context(cafile=ca)
    with urllib.request.urlopen(url + path, context=context) as answer:
        return json.load(answer)


def line(scenario, size, cost, report):
    wall, usage, peak, status = cost
    total = report["total"]
    cpu = usage.ru_utime + usage.ru_stime
    gigabytes = size / 1e9
    return (
        f"{scenario:22} exit {os.waitstatus_to_exitcode(status)} wall {wall:6.2f} s  {size / 1e6 / wall:6.1f} MB/s  "
        f"CPU {cpu:6.2f} s ({usage.ru_utime:.2f} user)  {cpu / gigabytes:5.2f} s/GB  RSS {peak:5.1f} MiB  "
        f"calls {report['calls']} records {total['records']}  billed/payload {total['billed_bytes'] / max(1, total['payload_bytes']):.4f}  "
        f"seen {total['seen']} missing {report['missing']} doubled {total['duplicates']} out of order {total['out_of_order']} "
        f"violations {len(report['violations'])}"
    )


if __name__ == "__main__":
    sys.exit(main())
