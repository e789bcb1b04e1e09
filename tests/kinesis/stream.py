"""A Kinesis stream and the table of its leases, on servers that stand for AWS.

    stream.py create URL STREAM SHARDS     make a stream; print its ARN
    stream.py put URL STREAM FOLDER        put each file of FOLDER as a record, in the order of their names
    stream.py split URL STREAM             split the first open shard in two
    stream.py merge URL STREAM             merge the last two open shards
    stream.py leases URL TABLE             print the lease table: by shard, its owner and its checkpoint, as JSON
"""

import json
import sys
from pathlib import Path

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACTIVE = {"Delay": 1}


def client(service, url):
    config = Config(retries={"max_attempts": 10, "mode": "standard"}, read_timeout=120)
    return boto3.client(
        service, REGION, endpoint_url=url, config=config, aws_access_key_id="any", aws_secret_access_key="any"
    )


def wait(kinesis, stream):
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig=ACTIVE)


def create(url, stream, shards):
    kinesis = client("kinesis", url)
    kinesis.create_stream(StreamName=stream, ShardCount=int(shards))
    wait(kinesis, stream)
    print(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"])


def put(url, stream, folder):
    kinesis = client("kinesis", url)
    records = [{"Data": path.read_bytes(), "PartitionKey": path.name} for path in sorted(Path(folder).iterdir())]
    for first in range(0, len(records), 100):
        answer = kinesis.put_records(StreamName=stream, Records=records[first : first + 100])
        assert answer["FailedRecordCount"] == 0, answer


def open_shards(kinesis, stream):
    shards = kinesis.list_shards(StreamName=stream)["Shards"]
    is_open = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    return sorted(is_open, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def split(url, stream):
    kinesis = client("kinesis", url)
    first = open_shards(kinesis, stream)[0]
    ends = first["HashKeyRange"]
    middle = (int(ends["StartingHashKey"]) + int(ends["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName=stream, ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
    wait(kinesis, stream)


def merge(url, stream):
    kinesis = client("kinesis", url)
    one, other = open_shards(kinesis, stream)[-2:]
    kinesis.merge_shards(StreamName=stream, ShardToMerge=one["ShardId"], AdjacentShardToMerge=other["ShardId"])
    wait(kinesis, stream)


def leases(url, table):
    items = client("dynamodb", url).scan(TableName=table)["Items"]
    text = lambda item, name: item.get(name, {}).get("S")
    rows = {text(item, "leaseKey"): [text(item, "leaseOwner"), text(item, "checkpoint")] for item in items}
    print(json.dumps(rows))


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    {"create": create, "put": put, "split": split, "merge": merge, "leases": leases}[step](*arguments)
