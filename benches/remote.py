#!/usr/bin/env python3
"""Objects of S3, log groups and Kinesis streams, read by the real binary and put to the Firehose stand-in: what that costs.

    cargo build --profile dist --bin standpipe && cargo build --release --example standin && cargo bench --bench floor --no-run
    benches/remote.py [SCENARIO]... [--lines N] [--runs N] [--markdown]

S3, SQS and CloudWatch Logs are stood in for by benches/aws.py, over plain HTTP, so that reading has no TLS in it; Kinesis and DynamoDB
by the Firehose stand-in, over TLS; what is put goes over TLS. CPU is that of the standpipe process from wait4(2), RSS its peak. The floor
is what inflating and the records cost at the least, by benches/floor.rs on lines of 250 bytes; of a stream, also what decoding base64
costs. GB are 10^9 bytes of lines, or of records of CloudTrail.

    s3-large    one object of all lines: 1 GB by default
    s3-small    objects of 80 lines, 20 KB: 10,000 of them by default
    s3-trail    CloudTrail's files, gzipped, of 1,000 records each; or those of --trail, until there are as many records
    pull-5      a tenth of the lines as events of four log groups, at 5 calls a second
    pull-25     the same at 25
    kinesis-1            a fifth of the lines, in envelopes of 1,000, in one shard: it gives 2 MiB of gzip a second
    kinesis-100          half of the lines, in 100 shards
    kinesis-small-1      a tenth of the lines, in envelopes of 10, in one shard
    kinesis-small-100    a fifth of the lines, in envelopes of 10, in 100 shards
    kinesis-delay        1,000 lines a second for 30 s, in envelopes of 10, in 4 shards: from each one's put to the call that delivers it
    kinesis-takeover     two workers of 8 shards, failover 10 s: how long until one has what the other had, stopped or killed; three times each

    benches/remote.py kinesis    all of these six
"""

import argparse
import dataclasses
import gzip
import json
import os
import pathlib
import signal
import sys
import time

import aws
import end_to_end
import measure
from end_to_end import MESSAGE, Scenario

S3 = """[sources.app]
type = "s3"
region = "us-east-1"
endpoint_url = "AWS"
queue_url = "AWS/111111111111/bench"
queue = { region = "us-east-1" }
"""
PULL = '[sources.app]\ntype = "cloudwatch_logs"\nregion = "us-east-1"\nendpoint_url = "AWS"\nlog_groups = ["/bench/*"]\nstart = "1d"\n'
STREAM = """[sources.app]
type = "kinesis"
stream_arn = "arn:aws:kinesis:us-east-1:111111111111:stream/cwl"
endpoint_url = "STANDIN"
ca_file = "DIR/ca.pem"
"""
LEASES = 'leases = { table = "bench", failover = "10s", endpoint_url = "STANDIN", ca_file = "DIR/ca.pem" }\n'
LINES, TRAIL = 'format = "lines"\n', 'format = "cloudtrail"\n'
GROUPS, RECORDS = 4, 1_000


def objects(more, **scenario):
    return Scenario(MESSAGE, S3 + more, **scenario)


def pulled(calls):
    return Scenario(MESSAGE, f"{PULL}calls = {calls}\n", lines=0.1, run="pull")


def streamed(lines, shards, events, **more):
    return Scenario(MESSAGE, STREAM, lines=lines, requests=(shards, events), **{"run": "stream", **more})


SCENARIOS = {
    "s3-large": objects(LINES, run="read"),
    "s3-small": objects(LINES, lines=0.2, writing=end_to_end.files(10_000, group=80), run="read"),
    "s3-trail": objects(TRAIL, lines=0.1, run="trail"),
    "pull-5": pulled(5),
    "pull-25": pulled(25),
    "kinesis-1": streamed(0.2, 1, 1_000),
    "kinesis-100": streamed(0.5, 100, 1_000),
    "kinesis-small-1": streamed(0.1, 1, 10),
    "kinesis-small-100": streamed(0.2, 100, 10),
    "kinesis-delay": streamed(30_000, 4, 10, run="delay"),
    "kinesis-takeover": dataclasses.replace(streamed(8_000, 8, 10, run="takeover"), sources=STREAM + LEASES),
}


class RemoteRun(measure.Run):
    """A run whose source is at a distance; the rest of a run is as in the other benches."""

    def configure(self):
        self.aws, self.size, self.gzipped, self.inflated, self.events = aws.Aws(), 0, 0, 0, 0
        sources = self.scenario.sources.replace("AWS", self.aws.url).replace("STANDIN", self.url)
        self.scenario = dataclasses.replace(self.scenario, sources=sources)
        super().configure()

    def written(self):
        self.write()
        paths = sorted(self.folder.glob("*.log"))
        self.size = sum(path.stat().st_size for path in paths)
        return paths

    def read(self):
        """Files become objects."""
        for path in self.written():
            self.aws.announce(path.name, path)
        return self.once_more()

    def trail(self):
        files = trails(self.options.trail) if self.options.trail else [made(number) for number in range(20)]
        sizes = [sum(len(record) + 1 for record in records(one)) for one in files]
        counts = [len(records(one)) for one in files]
        for number, one in enumerate(files):
            (self.folder / f"{number}.json.gz").write_bytes(gzip.compress(one))
        number = 0
        while self.events < self.lines:
            at = number % len(files)
            self.aws.announce(f"AWSLogs/{number}.json.gz", self.folder / f"{at}.json.gz")
            self.events, self.size, self.inflated = self.events + counts[at], self.size + sizes[at], self.inflated + len(files[at])
            number += 1
        return self.once_more()

    def pull(self):
        [path] = self.written()
        lines = path.read_text().splitlines()
        each = -(-len(lines) // GROUPS)
        for number in range(GROUPS):
            self.aws.log(f"/bench/{number}", lines[number * each : (number + 1) * each], number * each)
        self.events = len(lines)
        return self.once_more()

    def put(self, **more):
        """Puts the lines to the stream."""
        shards, events = self.scenario.requests
        written = self.ask("records", {"lines": self.lines, "shards": shards, "events": events, **more})
        self.write = lambda: None
        self.size, self.inflated, self.gzipped = written["lines"], written["inflated"], written["gzipped"]
        self.events = self.lines

    def stream(self):
        self.put()
        return self.once_more()

    def delay(self):
        daemon = self.start()
        self.said("running")
        before = time.monotonic()
        self.put(per_second=1_000)
        self.delivered()
        wall = time.monotonic() - before
        daemon.terminate()
        delay = self.ask("report")["delay"]
        self.notes.append(f"from put to call p50 {delay['p50']:.0f} ms, p99 {delay['p99']:.0f} ms")
        return wall, self.end(daemon)

    def takeover(self, rounds=3):
        """The second worker is the one that is measured."""
        self.put()
        before, first = time.monotonic(), self.worker("a")
        self.owned([8])
        # A lease that is stolen with lines under way doubles them.
        self.delivered()
        second = self.worker("b")
        times = {signal.SIGTERM: [], signal.SIGKILL: []}
        for sign in list(times) * rounds:
            self.owned([4, 4])
            sent = time.monotonic()
            first.send_signal(sign)
            self.owned([8])
            times[sign].append(f"{time.monotonic() - sent:.1f}")
            os.wait4(first.pid, 0)
            first = self.worker("a")
        self.owned([4, 4])
        self.notes += [f"{what} to takeover {', '.join(times[sign])} s" for sign, what in ((signal.SIGTERM, "stop"), (signal.SIGKILL, "kill"))]
        first.terminate()
        os.wait4(first.pid, 0)
        second.terminate()
        return time.monotonic() - before, self.end(second)

    def worker(self, name):
        """A daemon with a state of its own."""
        path = self.folder / "bench.toml"
        text = path.read_text()
        path.write_text(text.replace(f"{self.folder}/state", f"{self.folder}/state-{name}"))
        daemon = self.start()
        self.said("running")
        path.write_text(text)
        return daemon

    def owned(self, shares):
        while sorted(self.ask("owners").values()) != shares:
            time.sleep(0.02)

    def once_more(self):
        """As `once`, of what is there by now."""
        self.write = lambda: None
        return self.once()

    def judge(self, wall, usage, report):
        del self.write
        self.aws.stop()
        total, calls = report["total"], self.aws.calls
        wrong = {"lost": report["missing"], "doubled": total["duplicates"], "violations": report["limit_violations"]}
        if self.scenario.run == "trail":
            # They are no lines of the stand-in's, which counts them.
            wrong = {"records too few or too many": abs(total["other"] - self.events)}
        self.notes += [f"**{count} {what}**" for what, count in wrong.items() if count]
        if self.events:
            self.notes.append(f"{self.events / wall:,.0f} events/s")
        if objects := calls.get("GetObject"):
            self.notes.append(f"{objects / wall:,.0f} objects/s")
        if filtered := calls.get("FilterLogEvents"):
            self.notes.append(f"{filtered} calls for events, {filtered / wall:.1f} a second")
        self.size = self.size or total["payload_bytes"]
        gigabytes = self.size / 1e9
        return measure.Result(
            name=self.name,
            wall=wall,
            rate=self.size / 1e6 / wall,
            user=usage.ru_utime / gigabytes,
            kernel=usage.ru_stime / gigabytes,
            floor=self.least(total["record_bytes"]) / gigabytes,
            peak=self.peak,
            calls=report["calls"],
            bill=total["billed_bytes"] / max(1, total["payload_bytes"]),
            notes="; ".join(self.notes),
        )

    def least(self, record_bytes):
        parts = measure.floor_parts(self, None)
        is_small = self.gzipped and self.scenario.requests[1] == 10
        inflate = parts.get("inflate, 10 events", 0.0) if is_small else parts["inflate"]
        decoded = self.gzipped * parts["base64 decoding of gzip"] + self.inflated * inflate
        return (record_bytes * parts["records"] + decoded) / 1e9


def trails(folder):
    """Real files of CloudTrail, unpacked."""
    return [gzip.decompress(path.read_bytes()) for path in sorted(pathlib.Path(folder).glob("*.json.gz"))]


def records(file):
    """The records as they are written, if nothing is between them but a comma."""
    return [json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() for record in json.loads(file)["Records"]]


def made(number):
    """A file as CloudTrail writes it."""
    return json.dumps({"Records": [record(number * RECORDS + at) for at in range(RECORDS)]}, separators=(",", ":")).encode()


def record(at):
    arn = f"arn:aws:sts::111111111111:assumed-role/app-{at % 40}/i-{at % 300:017x}"
    issuer = {"type": "Role", "principalId": f"AROAEXAMPLE{at % 40:09}", "arn": f"arn:aws:iam::111111111111:role/app-{at % 40}", "accountId": "111111111111"}
    return {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLE{at % 40:09}:i-{at % 300:017x}",
            "arn": arn,
            "accountId": "111111111111",
            "accessKeyId": f"ASIAEXAMPLE{at * 7919 % 10**9:09}",
            "sessionContext": {"sessionIssuer": issuer, "attributes": {"creationDate": "2026-11-30T00:00:00Z", "mfaAuthenticated": "false"}},
        },
        "eventTime": f"2026-11-30T{at // 3600 % 24:02}:{at // 60 % 60:02}:{at % 60:02}Z",
        "eventSource": ["s3", "ec2", "kms", "sts"][at % 4] + ".amazonaws.com",
        "eventName": ["GetObject", "DescribeInstances", "Decrypt", "AssumeRole"][at % 4],
        "awsRegion": "us-east-1",
        "sourceIPAddress": f"10.{at % 4}.{at % 251}.{at % 241}",
        "userAgent": "[aws-sdk-java/2.25.11 Linux/6.1 OpenJDK_64-Bit_Server_VM/17.0.9]",
        "requestParameters": {"bucketName": f"data-{at % 12}", "Host": "s3.us-east-1.amazonaws.com", "key": f"part-{at * 104729 % 10**8:08}"},
        "responseElements": None,
        "requestID": f"{at * 2654435761 % 2**64:016X}",
        "eventID": f"{at * 11400714819323198485 % 2**64:016x}-{at:08x}",
        "readOnly": True,
        "resources": [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::data-{at % 12}/part-{at * 104729 % 10**8:08}"}],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "recipientAccountId": "111111111111",
        "eventCategory": "Data",
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("scenario", nargs="*", default=list(SCENARIOS), metavar="SCENARIO", help=" ".join(SCENARIOS))
    arguments.add_argument("--lines", type=int, default=4_000_000)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--memory", default="64MiB", help="limits.memory")
    arguments.add_argument("--trail", help="a folder of CloudTrail's files, to be read instead of those that are made")
    arguments.add_argument("--release", type=pathlib.Path, default=measure.RELEASE, help="the folder of the stand-in and the floor")
    arguments.add_argument("--binary", type=pathlib.Path, default=measure.BINARY)
    arguments.add_argument("--markdown", action="store_true", help="print rows of a table, each the cheapest run of its scenario")
    options = arguments.parse_args()
    measure.RELEASE = options.release
    options.sink, options.faults, options.cores = "", None, None
    if options.markdown:
        print("| scenario | CPU s/GB | user | kernel | floor | user / floor | MB/s | peak RSS MiB | calls | billed / payload | |")
        print("|---" * 11 + "|")
    if "kinesis" in options.scenario:
        options.scenario = [name for name in SCENARIOS if name.startswith("kinesis-")]
    for name in options.scenario:
        results = []
        for _ in range(options.runs):
            results.append(RemoteRun(name, SCENARIOS[name], options).result())
            print(end_to_end.words(results[-1]), file=sys.stderr if options.markdown else sys.stdout, flush=True)
        if options.markdown:
            print(end_to_end.row(min(results, key=lambda one: one.cpu)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
