#!/usr/bin/env python3
"""Objects of S3 and log groups, read by the real binary and put to the Firehose stand-in: what that costs.

    cargo build --profile dist --bin standpipe && cargo build --release --example standin && cargo bench --bench floor --no-run
    benches/remote.py [SCENARIO]... [--lines N] [--runs N] [--markdown]

S3, SQS and CloudWatch Logs are stood in for by benches/aws.py, over plain HTTP, so that reading has no TLS in it; what is put goes over
TLS. CPU is that of the standpipe process from wait4(2), RSS its peak. The floor is what inflating and the records cost at the least, by
benches/floor.rs on lines of 250 bytes. GB are 10^9 bytes of lines, or of records of CloudTrail.

    s3-large    one object of all lines: 1 GB by default
    s3-small    objects of 80 lines, 20 KB: 10,000 of them by default
    s3-trail    CloudTrail's files, gzipped, of 1,000 records each; or those of --trail, until there are as many records
    pull-5      a tenth of the lines as events of four log groups, at 5 calls a second
    pull-25     the same at 25
"""

import argparse
import dataclasses
import gzip
import json
import pathlib
import sys

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
LINES, TRAIL = 'format = "lines"\n', 'format = "cloudtrail"\n'
GROUPS, RECORDS = 4, 1_000


def objects(more, **scenario):
    return Scenario(MESSAGE, S3 + more, **scenario)


def pulled(calls):
    return Scenario(MESSAGE, f"{PULL}calls = {calls}\n", lines=0.1, run="pull")


SCENARIOS = {
    "s3-large": objects(LINES, run="read"),
    "s3-small": objects(LINES, lines=0.2, writing=end_to_end.files(10_000, group=80), run="read"),
    "s3-trail": objects(TRAIL, lines=0.1, run="trail"),
    "pull-5": pulled(5),
    "pull-25": pulled(25),
}


class RemoteRun(measure.Run):
    """A run whose source is at a distance; the rest of a run is as in the other benches."""

    def configure(self):
        self.aws, self.size, self.inflated, self.events = aws.Aws(), 0, 0, 0
        self.scenario = dataclasses.replace(self.scenario, sources=self.scenario.sources.replace("AWS", self.aws.url))
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
        return (record_bytes * parts["records"] + self.inflated * parts["inflate"]) / 1e9


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
    for name in options.scenario:
        results = []
        for _ in range(options.runs):
            results.append(RemoteRun(name, SCENARIOS[name], options).result())
            print(end_to_end.words(results[-1]), file=sys.stderr if options.markdown else sys.stdout, flush=True)
        if options.markdown:
            print(end_to_end.row(min(results, key=lambda one: one.cpu)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
