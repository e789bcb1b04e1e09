"""Subscription payloads as CloudWatch Logs makes them, posted as Amazon Data Firehose posts them."""

import base64
import gzip
import http.client
import json
import sys
import threading
import time

# Events an envelope, envelopes a request, connections.
EVENTS, ENVELOPES, CONNECTIONS = 1000, 4, 8


def requests(path, streams, events=EVENTS, envelopes=ENVELOPES):
    """The bodies, from so many log streams in turn, with the bytes of their gzip and of their JSON."""
    lines = path.read_text().splitlines()
    plain = [envelope(lines[at : at + events], at, at // events % streams) for at in range(0, len(lines), events)]
    gzipped = [gzip.compress(one, 6) for one in plain]
    bodies = [body(gzipped[at : at + envelopes], at) for at in range(0, len(gzipped), envelopes)]
    return bodies, sum(map(len, gzipped)), sum(map(len, plain))


def body(envelopes, first):
    records = [{"data": base64.b64encode(one).decode()} for one in envelopes]
    return json.dumps({"requestId": f"bench-{first}", "timestamp": 1, "records": records}).encode()


def envelope(lines, first, stream):
    events = [{"id": f"{first + at:056}", "timestamp": 1763773200000 + at, "message": line} for at, line in enumerate(lines)]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111111111111",
        "logGroup": "/aws/bench",
        "logStream": f"stream-{stream}",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    }
    return json.dumps(payload, separators=(",", ":")).encode()


def post(address, bodies, connections=CONNECTIONS, seconds=float("inf")):
    """Returns when every body was answered, or after so many seconds: how long each one that was posted took, in seconds."""
    times, until = [], time.monotonic() + seconds
    threads = [
        threading.Thread(target=send, args=(address, bodies[at::connections], at, until, times)) for at in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(times)


def send(address, bodies, connection, until, times):
    client = http.client.HTTPConnection(address)
    for number, one in enumerate(bodies):
        before = time.monotonic()
        if before >= until:
            return
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Firehose-Protocol-Version": "1.0",
            "X-Amz-Firehose-Request-Id": f"{connection}-{number}",
            "X-Amz-Firehose-Access-Key": "bench",
        }
        client.request("POST", "/", one, headers)
        answer = client.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"answered {answer.status}: {text}")
        times.append(time.monotonic() - before)
