"""Events of a log group, on a moto server that stands for AWS.

    pull.py put URL GROUP FILE    put each line of FILE as an event of GROUP, which is made if it is missing
"""

import sys
import time
from pathlib import Path

import boto3

REGION = "us-east-1"


def put(url, group, file):
    logs = boto3.client("logs", REGION, endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any")
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="one")
    lines = Path(file).read_text().splitlines()
    now = int(time.time() * 1000)
    for first in range(0, len(lines), 500):
        events = [{"timestamp": now, "message": line} for line in lines[first : first + 500]]
        logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    {"put": put}[step](*arguments)
