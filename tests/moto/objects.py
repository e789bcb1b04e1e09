"""Objects of S3 and a queue that they are announced to, on a moto server that stands for AWS.

    objects.py bucket URL              make the bucket `trail-objects` in account 111111111111 and the queue `trail` in
                                       222222222222; print credentials of the latter and the queue's URL as JSON
    objects.py put URL FORM FOLDER     put every file below FOLDER under its path, gzipped, and announce it in this form:
                                       s3, sns, event_bridge, cloudtrail, cloudtrail_sns; or none; DAY-2 in a path
                                       stands for the date of two days ago, such as 2026/11/28
    objects.py send URL FILE           send each line of a file as a message
    objects.py left URL                print how many messages are visible and hidden, as JSON
    objects.py roles URL               print who assumed which role, and with which external id, as JSON
"""

import datetime
import gzip
import json
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import boto3

REGION = "us-east-1"
TRAIL = "111111111111"
READER = "222222222222"
BUCKET = "trail-objects"


def session(url, account):
    """Credentials of an account. moto tells accounts apart by keys that it has given out, and by nothing else."""
    sts = boto3.client("sts", REGION, endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any")
    role = f"arn:aws:iam::{account}:role/objects"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="objects")["Credentials"]
    return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION), keys


def queue(url):
    aws, keys = session(url, READER)
    sqs = aws.client("sqs", endpoint_url=url)
    return sqs, sqs.create_queue(QueueName="trail")["QueueUrl"], keys


def bucket(url):
    aws, _ = session(url, TRAIL)
    aws.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
    _, queue_url, keys = queue(url)
    told = {name: keys[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
    print(json.dumps({"QueueUrl": queue_url, **told}))


def announced(form, key, etag, size):
    """What a message says."""
    of_object = {"key": urllib.parse.quote_plus(key, safe="/"), "size": size, "eTag": etag, "sequencer": "00"}
    s3 = {"Records": [{
        "eventVersion": "2.6", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": of_object},
    }]}
    trail = {"s3Bucket": BUCKET, "s3ObjectKey": [key]}
    bridge = {"version": "0", "source": "aws.s3", "detail-type": "Object Created",
              "detail": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": size, "etag": etag}}}
    by_sns = lambda message: {"Type": "Notification", "Message": json.dumps(message)}
    return {"s3": s3, "sns": by_sns(s3), "event_bridge": bridge, "cloudtrail": trail,
            "cloudtrail_sns": by_sns(trail)}[form]


def date(days):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)).strftime("%Y/%m/%d")


def put(url, form, folder):
    aws, _ = session(url, TRAIL)
    s3 = aws.client("s3", endpoint_url=url)
    sqs, queue_url, _ = queue(url)
    for path in sorted(Path(folder).rglob("*")):
        if not path.is_file():
            continue
        key = re.sub(r"DAY-(\d+)", lambda found: date(int(found[1])), str(path.relative_to(folder)))
        body = gzip.compress(path.read_bytes())
        etag = s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"].strip('"')
        if form != "none":
            sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(announced(form, key, etag, len(body))))


def send(url, path):
    sqs, queue_url, _ = queue(url)
    for line in Path(path).read_text().splitlines():
        sqs.send_message(QueueUrl=queue_url, MessageBody=line)


def left(url):
    sqs, queue_url, _ = queue(url)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    print(json.dumps([int(found[name]) for name in names]))


def roles(url):
    with urllib.request.urlopen(f"{url}/moto-api/data.json") as answer:
        assumed = json.load(answer)["sts"]["AssumedRole"]
    print(json.dumps([[role["role_arn"], role["session_name"], role["external_id"]] for role in assumed]))


if __name__ == "__main__":
    {"bucket": bucket, "put": put, "send": send, "left": left, "roles": roles}[sys.argv[1]](*sys.argv[2:])
