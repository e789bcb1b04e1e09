#!/usr/bin/env python3
"""The most memory that standpipe takes for hostile and odd inputs, against `limits.memory` + 32 MiB.

Each case is run with a sink that works, and with one that hangs for a while first, so that all memory is in use. The peak is the
kernel's own (VmHWM). Exits 1 when a case is over its bound, or not all of it arrived.
"""

import argparse
import base64
import gzip
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20
# What a process may take beside `limits.memory`, idle included.
BESIDE = 32

CONFIG = """
[server]
listen = "127.0.0.1:0"
[state]
dir = "{dir}/state"
[limits]
memory = "{memory}MiB"
{source}
[sinks.archive]
type = "firehose"
region = "us-east-1"
stream = "logs"
endpoint_url = "{url}"
ca_file = "{dir}/ca.pem"
{sink}
"""

FILE = '[sources.app]\ntype = "file"\ninclude = ["{dir}/logs/**"]\n'
HTTP = '[sources.app]\ntype = "firehose_http"\nlisten = "127.0.0.1:0"\naccess_keys = ["bench"]\n'
JSON, MESSAGE, EVENT = 'encoding = "json"', 'encoding = "message"', 'encoding = "json"\npacking = "event"'
GZIP = 'encoding = "json"\ncompression = "gzip"'
DISK = 'encoding = "json"\nbuffer = { type = "disk", max = "1GiB" }'


def logs(folder, name, data):
    path = folder / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def lines(line, size):
    """A file of lines, with how many they are."""
    count = size // len(line)
    return lambda folder: (logs(folder, "a.log", line * count), count)[1]


def at_path(name, line, size):
    count = size // len(line)
    return lambda folder: (logs(folder, name, line * count), count)[1]


def many_files(count, line, size):
    def write(folder):
        for number in range(count):
            logs(folder, f"{number}.log", b"%d\n" % number + line * (size // len(line)))
        return count * (size // len(line) + 1)

    return write


def envelope(messages, owner="111111111111", group="g", stream="s"):
    head = {"messageType": "DATA_MESSAGE", "owner": owner, "logGroup": group, "logStream": stream, "subscriptionFilters": ["f"]}
    return (json.dumps(head)[:-1] + ',"logEvents":[' + ",".join(messages) + "]}").encode()


def requests(bodies):
    """Requests that are posted at once, each a list of records, with how many events they hold."""
    return lambda folder: bodies


def tiny(count):
    return ['{"message":0}'] * count


def repeated(requests, records, payload, events):
    return lambda folder: [([payload] * records, events * records) for _ in range(requests)]


def owners(count):
    def bodies(folder):
        of = lambda owner: gzip.compress(envelope(['{"message":"a"}'], owner=f"{owner:012}", stream="s" * 500))
        return [([of(owner) for owner in range(at, at + 500)], 500) for at in range(0, count, 500)]

    return bodies


def packed(text):
    return gzip.compress(text, 6)


def bulky(mib, kib):
    """An envelope of so many MiB, which is still so many KiB when it is compressed."""
    chance = random.Random(1)
    odd = [json.dumps({"message": "".join(chance.choices("0123456789abcdef", k=2048))}) for _ in range(kib)]
    return packed(envelope(odd + [EVENT_900] * ((mib - kib // 512) * MIB // len(EVENT_900))))


DEEP = "/".join(["d" * 200] * 13) + "/a.log"
EVENT_900 = json.dumps({"id": "1" * 56, "timestamp": 1763773200000, "message": "m" * 830})

# name: source, sink, what is written (a number of events) or posted (requests)
CASES = {
    "empty lines": (FILE, JSON, lines(b"\n", 16 * MIB)),
    "empty lines, message": (FILE, MESSAGE, lines(b"\n", 16 * MIB)),
    "empty lines, crlf, message": (FILE, MESSAGE, lines(b"\r\n", 16 * MIB)),
    "empty lines, gzip": (FILE, GZIP, lines(b"\n", 8 * MIB)),
    "empty lines, disk": (FILE, DISK, lines(b"\n", 8 * MIB)),
    "one letter, an event a record": (FILE, EVENT, lines(b"a\n", 2 * MIB)),
    "one letter, message, an event a record": (FILE, 'encoding = "message"\npacking = "event"', lines(b"a\n", 2 * MIB)),
    "4 bytes": (FILE, JSON, lines(b"abc\n", 32 * MIB)),
    "10 bytes": (FILE, JSON, lines(b"123456789\n", 96 * MIB)),
    "16 bytes": (FILE, JSON, lines(b"123456789012345\n", 64 * MIB)),
    "250 bytes": (FILE, JSON, lines(b"a" * 249 + b"\n", 256 * MIB)),
    "control characters": (FILE, JSON, lines(b"\x01" * 200 + b"\n", 32 * MIB)),
    "lines of 1 MB of control characters": (FILE, JSON, lines(b"\x01" * 1_000_000 + b"\n", 32_000_032)),
    "lines of 900 kB that are no UTF-8": (FILE, JSON, lines(b"\xff" * 900_000 + b"\n", 27_000_030)),
    "empty lines, long path": (FILE, JSON, at_path(DEEP, b"\n", 128 << 10)),
    "empty lines, two sinks": (FILE, JSON + '\n[sinks.two]\ntype = "directory"\npath = "{dir}/out"\nencoding = "json"', lines(b"\n", 4 * MIB)),
    "joined lines of one letter": (FILE + "multiline = { start = '^a' }\n", JSON, lines(b"a\n", 8 * MIB)),
    "wrong docker lines": (FILE + 'format = "docker"\n', JSON, lines(b"\n", 512 << 10)),
    "docker lines": (FILE + 'format = "docker"\n', JSON, lines(b'{"log":"\\n"}\n', 16 * MIB)),
    "cri lines": (FILE + 'format = "cri"\n', JSON, lines(b"2026-11-22T01:02:03Z stdout F \n", 16 * MIB)),
    "many files": (FILE, JSON, many_files(2000, b"\n", 20_000)),
    "routes on the message": (FILE, JSON + "\n[[routes]]\nwhen = { message = '^$' }\nto = ['archive']", lines(b"\n", 8 * MIB)),
    "tiny CloudTrail records": (FILE + 'format = "cloudtrail"\n', JSON, lambda folder: (logs(folder, "a.json", b'{"Records":[' + b"1," * 2_000_000 + b"1]}"), 2_000_001)[1]),
    "tiny events": (HTTP, JSON, repeated(2, 1, packed(envelope(tiny(600_000), group="g" * 512, stream="s" * 512)), 600_000)),
    "tiny events, short names": (HTTP, JSON, repeated(1, 1, packed(envelope(tiny(1_200_000))), 1_200_000)),
    "tiny events, message": (HTTP, MESSAGE, repeated(2, 1, packed(envelope(tiny(1_000_000))), 1_000_000)),
    "bombs of ordinary events": (HTTP, JSON, repeated(8, 1, packed(envelope([EVENT_900] * 16_000)), 16_000)),
    "bombs, gzip twice": (HTTP, JSON, repeated(8, 1, packed(packed(envelope([EVENT_900] * 16_000))), 16_000)),
    "bombs, many members": (HTTP, JSON, repeated(8, 1, packed(envelope([EVENT_900] * 1_000)) * 16, 16_000)),
    "bombs, envelopes passed on": (HTTP, 'encoding = "envelope"', repeated(8, 2, packed(envelope([EVENT_900] * 16_000)), 1)),
    "bombs that are large before": (HTTP, JSON, lambda _: [([bulky(40, 450)], 1)] * 24),
    "many records": (HTTP, JSON, repeated(8, 9_000, packed(envelope(['{"message":"a"}'])), 1)),
    "many owners": (HTTP, JSON, owners(20_000)),
    "lone surrogates": (HTTP, JSON, repeated(8, 1, packed(envelope(['{"message":"\\ud800"}'] * 100_000)), 100_000)),
}


class Case:
    def __init__(self, name, memory, stalled, options):
        self.name, self.memory, self.stalled, self.options = name, memory, stalled, options
        self.source, self.sink, self.make = CASES[name]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="standpipe-bounds-"))
        self.peak = 0.0

    def run(self):
        """The peak in MiB, and what went wrong."""
        command = [self.options.standin, "--tls", "--light", "--ca-out", self.folder / "ca.pem"]
        standin = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.url = standin.stdout.readline().strip()
            self.keys = dict(pair.split("=", 1) for pair in standin.stdout.readline().split())
            return self.peak_of(self.make(self.folder))
        finally:
            standin.stdin.close()
            standin.wait()
            shutil.rmtree(self.folder)

    def peak_of(self, input):
        (self.folder / "logs").mkdir(exist_ok=True)
        text = CONFIG
        for name, value in {"source": self.source, "sink": self.sink, "memory": self.memory, "url": self.url, "dir": self.folder}.items():
            text = text.replace("{" + name + "}", str(value))
        (self.folder / "bounds.toml").write_text(text)
        if self.stalled:
            self.ask("faults", {"faults": {"hang": True}})
        log = (self.folder / "log").open("w")
        is_file = isinstance(input, int)
        command = [self.options.binary, "run", "-c", self.folder / "bounds.toml"] + (["--once"] if is_file else [])
        self.daemon = subprocess.Popen(command, stderr=log, env={**os.environ, **self.keys})
        watch = threading.Thread(target=self.watch)
        watch.start()
        posts = [] if is_file else [threading.Thread(target=self.post, args=(at, records)) for at, (records, _) in enumerate(input)]
        for post in posts:
            post.start()
        if self.stalled:
            time.sleep(self.stalled)
            self.ask("faults", {"faults": {}})
        for post in posts:
            post.join()
        if not is_file:
            self.daemon.terminate()
        try:
            code = self.daemon.wait(timeout=600)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            code = "no end in 600 s"
        watch.join()
        return self.peak, "" if code == 0 else f"exit {code}: {self.log()[-300:]}"

    def watch(self):
        path = f"/proc/{self.daemon.pid}/status"
        while self.daemon.poll() is None:
            try:
                high = [line for line in open(path) if line.startswith("VmHWM")]
            except OSError:
                break
            if high:
                self.peak = max(self.peak, int(high[0].split()[1]) / 1024)
            time.sleep(0.01)

    def post(self, number, records):
        data = [{"data": base64.b64encode(record).decode()} for record in records]
        body = json.dumps({"requestId": f"bounds-{number}", "timestamp": 1, "records": data}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Firehose-Protocol-Version": "1.0",
            "X-Amz-Firehose-Request-Id": f"bounds-{number}",
            "X-Amz-Firehose-Access-Key": "bench",
        }
        for _ in range(200):
            try:
                client = http.client.HTTPConnection(self.address(), timeout=180)
                client.request("POST", "/", body, headers)
                if client.getresponse().status == 200:
                    return
            except OSError:
                pass
            if self.daemon.poll() is not None:
                return
            time.sleep(0.5)

    def address(self):
        while True:
            for line in self.log().splitlines():
                if "firehose endpoint listening" in line:
                    return json.loads(line)["address"]
            time.sleep(0.02)

    def log(self):
        return (self.folder / "log").read_text()

    def ask(self, what, body=None):
        data = None if body is None else json.dumps(body).encode()
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        request = urllib.request.Request(f"{self.url}/_standin/{what}", data=data, method="POST" if data else "GET")
        return json.loads(urllib.request.urlopen(request, context=context).read() or "null")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    arguments.add_argument("--memory", type=int, action="append", help="limits.memory in MiB; may be repeated")
    arguments.add_argument("--stall", type=float, default=3.0, help="seconds for which the sink hangs")
    arguments.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "dist" / "standpipe")
    arguments.add_argument("--standin", type=pathlib.Path, default=ROOT / "target" / "release" / "examples" / "standin")
    options = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    worst, failed = None, False
    print("| case | limit | sink works | sink hangs first | bound |\n|---|---:|---:|---:|---:|")
    for name in options.cases or CASES:
        for memory in options.memory or [8, 16, 64]:
            bound = memory + BESIDE
            peaks, notes = [], []
            for stalled in (0.0, options.stall):
                peak, note = Case(name, memory, stalled, options).run()
                peaks.append(peak)
                notes += [note] if note else []
                worst = max(worst or (peak - bound, name, memory), (peak - bound, name, memory))
            wrong = max(peaks) > bound or notes
            failed |= bool(wrong)
            print(f"| {name} | {memory} | {peaks[0]:.0f} | {peaks[1]:.0f} | {bound} |{' **over**' if max(peaks) > bound else ''} {'; '.join(notes)}", flush=True)
    over, name, memory = worst
    print(f"worst: {name} at {memory} MiB, {over:+.0f} MiB from its bound")
    sys.exit(failed)


if __name__ == "__main__":
    main()
