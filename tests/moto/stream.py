"""A Kinesis stream and the table of its leases, on a moto server that stands for AWS.

    stream.py put URL STREAM FILE    put each five lines of FILE as a record of STREAM, which is made with four shards if it is missing
    stream.py owners URL TABLE       print how many leases each worker has, as JSON
"""

import json
import sys
from collections import Counter
from pathlib import Path

import boto3

REGION = "us-east-1"


def client(service, url):
    return boto3.client(
        service, REGION, endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any"
    )


def put(url, stream, file):
    kinesis = client("kinesis", url)
    if stream not in kinesis.list_streams()["StreamNames"]:
        kinesis.create_stream(StreamName=stream, ShardCount=4)
        kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    lines = Path(file).read_text().splitlines(keepends=True)
    records = [
        {"Data": "".join(lines[first : first + 5]).encode(), "PartitionKey": str(first)}
        for first in range(0, len(lines), 5)
    ]
    for first in range(0, len(records), 400):
        kinesis.put_records(StreamName=stream, Records=records[first : first + 400])


def owners(url, table):
    items = client("dynamodb", url).scan(TableName=table)["Items"]
    counts = Counter(item["leaseOwner"]["S"] for item in items if "leaseOwner" in item)
    print(json.dumps(counts))


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    {"put": put, "owners": owners}[step](*arguments)
