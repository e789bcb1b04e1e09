"""Both ends of a flow across two accounts, on a moto server that stands for AWS.

    flow.py produce URL MESSAGES FOLDER   log the messages, a JSON list, in account 111111111111, where a subscription takes
                                          them to a delivery stream; leave the envelopes in FOLDER, gzipped as they came;
                                          print credentials of the account as JSON
    flow.py archive URL                   make the role, the stream and the bucket in account 222222222222
    flow.py collect URL                   print what the stream left in the bucket
    flow.py keys URL ACCOUNT              print credentials of an account as JSON
    flow.py group URL ACCOUNT REGION NAME make a log group
    flow.py break URL ACCOUNT REGION ROLE let nobody assume a role, and take its policy away
    flow.py spoil URL                     in what `access apply` made of tests/access/moto.toml, break a trust policy, a log group's
                                          retention and a filter
    flow.py fill URL                      put a record to the stream of tests/access/moto.toml, so that its bucket is not empty
    flow.py plain URL                     let the archive's bucket be read without TLS, which moto does not speak
    flow.py existing URL                  make the role `collector` in account 222222222222, and in 111111111111 the bucket
                                          `trail-objects`, which tells a queue of what is removed
    flow.py told URL                      print whom the bucket `trail-objects` tells what, as JSON
    flow.py roles URL                     print who assumed which role, and with which external id, as JSON
"""

import json
import sys
import time
import urllib.request
import zlib
from pathlib import Path

import boto3

REGION = "us-east-1"
APP = "111111111111"
ARCHIVE = "222222222222"
WRITER = f"arn:aws:iam::{ARCHIVE}:role/standpipe-writer"
GROUP = "/aws/lambda/orders"


def session(url, account):
    """Credentials of an account. moto tells accounts apart by keys that it has given out, and by nothing else."""
    sts = boto3.client("sts", REGION, endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any")
    role = f"arn:aws:iam::{account}:role/flow"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="flow")["Credentials"]
    made = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION)
    found = made.client("sts", endpoint_url=url).get_caller_identity()["Account"]
    if found != account:
        raise SystemExit(f"these are credentials of account {found}, not of {account}")
    return made, keys


def stream(aws, url, name, bucket, role):
    """A delivery stream, and the bucket it fills."""
    aws.client("s3", endpoint_url=url).create_bucket(Bucket=bucket)
    made = aws.client("firehose", endpoint_url=url).create_delivery_stream(
        DeliveryStreamName=name,
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration={"RoleARN": role, "BucketARN": f"arn:aws:s3:::{bucket}"},
    )
    return made["DeliveryStreamARN"]


def objects(aws, url, bucket):
    """The contents of a bucket's objects."""
    s3 = aws.client("s3", endpoint_url=url)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            yield s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()


def members(data):
    """The gzip members that an object of envelopes is made of."""
    while data:
        inflate = zlib.decompressobj(wbits=31)
        inflate.decompress(data)
        yield data[: len(data) - len(inflate.unused_data)]
        data = inflate.unused_data


def produce(url, messages, folder):
    aws, keys = session(url, APP)
    role = f"arn:aws:iam::{APP}:role/logs"
    arn = stream(aws, url, "subscriptions", "app-envelopes", role)
    logs = aws.client("logs", endpoint_url=url)
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="one")
    logs.put_subscription_filter(
        logGroupName=GROUP, filterName="all", filterPattern="", destinationArn=arn, roleArn=role
    )
    now = int(time.time() * 1000)
    messages = json.loads(Path(messages).read_text(encoding="utf-8"))
    events = [{"timestamp": now, "message": message} for message in messages]
    for start in range(0, len(events), 100):
        part = events[start : start + 100]
        logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=part)
    envelopes = [member for data in objects(aws, url, "app-envelopes") for member in members(data)]
    for number, envelope in enumerate(envelopes):
        Path(folder, f"{number:03}.gz").write_bytes(envelope)
    json.dump({name: keys[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}, sys.stdout)


def archive(url):
    aws, _ = session(url, ARCHIVE)
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": APP},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "example"}},
        },
    }
    aws.client("iam", endpoint_url=url).create_role(
        RoleName="standpipe-writer", AssumeRolePolicyDocument=json.dumps(trust)
    )
    stream(aws, url, "org-logs", "org-logs", WRITER)


def collect(url):
    aws, _ = session(url, ARCHIVE)
    for data in objects(aws, url, "org-logs"):
        sys.stdout.buffer.write(data)


def roles(url):
    with urllib.request.urlopen(f"{url}/moto-api/data.json") as answer:
        assumed = json.load(answer)["sts"]["AssumedRole"]
    json.dump([[role["role_arn"], role["session_name"], role["external_id"]] for role in assumed], sys.stdout)


def keys(url, account):
    _, found = session(url, account)
    json.dump({name: found[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}, sys.stdout)


def group(url, account, region, name):
    aws, _ = session(url, account)
    aws.client("logs", region, endpoint_url=url).create_log_group(logGroupName=name)


def broken(url, account, region, role):
    aws, _ = session(url, account)
    iam = aws.client("iam", region, endpoint_url=url)
    nobody = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(nobody))
    iam.delete_role_policy(RoleName=role, PolicyName=role)


def spoil(url):
    aws, _ = session(url, ARCHIVE)
    nobody = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}}
    iam = aws.client("iam", endpoint_url=url)
    iam.update_assume_role_policy(RoleName="standpipe-logs", PolicyDocument=json.dumps(nobody))
    logs = aws.client("logs", endpoint_url=url)
    logs.put_retention_policy(logGroupName="/aws/kinesisfirehose/logs", retentionInDays=7)
    aws, _ = session(url, APP)
    aws.client("logs", endpoint_url=url).delete_subscription_filter(logGroupName="orders", filterName="standpipe")


def fill(url):
    aws, _ = session(url, ARCHIVE)
    aws.client("firehose", endpoint_url=url).put_record(DeliveryStreamName="logs", Record={"Data": b"one"})


def plain(url):
    aws, _ = session(url, ARCHIVE)
    aws.client("s3", endpoint_url=url).delete_bucket_policy(Bucket="org-logs")


def existing(url):
    aws, _ = session(url, ARCHIVE)
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    aws.client("iam", endpoint_url=url).create_role(RoleName="collector", AssumeRolePolicyDocument=policy)
    aws, _ = session(url, APP)
    s3 = aws.client("s3", endpoint_url=url)
    s3.create_bucket(Bucket="trail-objects")
    aws.client("sqs", endpoint_url=url).create_queue(QueueName="others")
    other = {"Id": "other", "QueueArn": f"arn:aws:sqs:{REGION}:{APP}:others", "Events": ["s3:ObjectRemoved:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="trail-objects", NotificationConfiguration={"QueueConfigurations": [other]}
    )


def told(url):
    aws, _ = session(url, APP)
    found = aws.client("s3", endpoint_url=url).get_bucket_notification_configuration(Bucket="trail-objects")
    queues = found.get("QueueConfigurations", [])
    json.dump(sorted([one["Id"], one["QueueArn"], one["Events"]] for one in queues), sys.stdout)


def main(command, *arguments):
    steps = {"produce": produce, "archive": archive, "collect": collect, "roles": roles}
    steps |= {"keys": keys, "group": group, "break": broken, "spoil": spoil, "fill": fill, "plain": plain, "existing": existing, "told": told}
    steps[command](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
