"""Subscription payloads as CloudWatch Logs makes them, posted as Amazon Data Firehose posts them."""

import base64
import gzip
import http.client
import json
import sys
import threading

# Events an envelope, envelopes a request, connections.
EVENTS, ENVELOPES, CONNECTIONS = 1000, 4, 8


def requests(path, streams):
    """The bodies, from so many log streams in turn, with the bytes of their gzip and of their JSON."""
    lines = path.read_text().splitlines()
    plain = [envelope(lines[at : at + EVENTS], at, at // EVENTS % streams) for at in range(0, len(lines), EVENTS)]
    gzipped = [gzip.compress(one, 6) for one in plain]
    bodies = [body(gzipped[at : at + ENVELOPES], at) for at in range(0, len(gzipped), ENVELOPES)]
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


def post(address, bodies):
    """Returns when every body was answered."""
    threads = [threading.Thread(target=send, args=(address, bodies[at::CONNECTIONS], at)) for at in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send(address, bodies, connection):
    client = http.client.HTTPConnection(address)
    for number, one in enumerate(bodies):
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
