"""S3, SQS and CloudWatch Logs, as much of them as a bench needs: what is there is answered as fast as Python can, over plain HTTP."""

import bisect
import http.server
import json
import pathlib
import threading
import time

# A page of events has a megabyte of messages, with 26 bytes for each, or so many events.
PAGE_BYTES, PAGE_EVENTS = 1 << 20, 10_000


class Aws:
    """The services, in a thread of this process for each connection."""

    def __init__(self):
        self.objects, self.messages, self.groups = {}, [], {}
        self.calls, self.lock = {}, threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.aws = True, self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def announce(self, key, path):
        """An object with the bytes of a file, and the message that tells of it."""
        size = pathlib.Path(path).stat().st_size
        self.objects[key] = (path, size)
        of_object = {"key": key, "size": size, "eTag": f"e{size}"}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "bench"}, "object": of_object}}
        self.messages.append(json.dumps({"Records": [record]}))

    def log(self, group, lines, first):
        """Events of a log group, a thousand a second before now."""
        begin = int(time.time() * 1000) - 60_000 - len(lines)
        times = range(begin, begin + len(lines))
        events = []
        for at, line in enumerate(lines):
            event = {"logStreamName": "one", "timestamp": begin + at, "message": line, "ingestionTime": begin + at, "eventId": f"{first + at:056}"}
            events.append((json.dumps(event, separators=(",", ":")).encode(), len(line) + 26))
        self.groups[group] = (times, events)

    def counted(self, operation):
        with self.lock:
            self.calls[operation] = self.calls.get(operation, 0) + 1

    def call(self, operation, asked):
        """The answer to a call, as bytes."""
        self.counted(operation)
        return getattr(self, operation, lambda _: {})(asked)

    def ReceiveMessage(self, asked):
        with self.lock:
            most = asked["MaxNumberOfMessages"]
            taken, self.messages = self.messages[:most], self.messages[most:]
        if not taken:
            time.sleep(0.05)
        attributes = {"ApproximateReceiveCount": "1"}
        return {"Messages": [{"ReceiptHandle": body, "Body": body, "Attributes": attributes} for body in taken]} if taken else {}

    def DeleteMessageBatch(self, asked):
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}

    def ChangeMessageVisibilityBatch(self, asked):
        return self.DeleteMessageBatch(asked)

    def GetQueueAttributes(self, _):
        return {"Attributes": {"RedrivePolicy": '{"maxReceiveCount":5}'}}

    def DescribeLogGroups(self, _):
        arn = "arn:aws:logs:us-east-1:111111111111:log-group:"
        return {"logGroups": [{"logGroupName": name, "creationTime": 1, "logGroupArn": arn + name, "arn": f"{arn}{name}:*"} for name in self.groups]}

    def FilterLogEvents(self, asked):
        times, events = self.groups[asked["logGroupName"]]
        at = int(asked.get("nextToken") or bisect.bisect_left(times, asked["startTime"]))
        end, size, page = bisect.bisect_right(times, asked["endTime"]), 0, []
        while at < end and len(page) < PAGE_EVENTS and (size := size + events[at][1]) <= PAGE_BYTES:
            page.append(events[at][0])
            at += 1
        token = b',"nextToken":"%d"' % at if at < end else b""
        return b'{"events":[%s]%s}' % (b",".join(page), token)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and its body are two writes: the second is not to wait for word of the first.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Says nothing."""

    def do_GET(self):
        aws = self.server.aws
        aws.counted("GetObject")
        path, size = aws.objects[self.path.split("?")[0].split("/", 2)[2]]
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", f'"e{size}"')
        self.end_headers()
        self.wfile.flush()
        with open(path, "rb") as file:
            self.connection.sendfile(file)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.aws.call(self.headers["X-Amz-Target"].split(".")[-1], asked)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
