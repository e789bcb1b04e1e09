#!/usr/bin/env python3
"""Makes the sample logs of config/quickstart.toml: `python3 config/sample/make.py`.

All of it is made up. The same files come out each time.
"""

import gzip
import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent
START = 1_790_000_000_000  # milliseconds; 2026-09-21T14:13:20Z
WORDS = random.Random(7)

ROUTES = ["/", "/login", "/cart", "/cart/items", "/api/orders", "/api/orders/{n}", "/healthz", "/static/app.js"]
AGENTS = ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "okhttp/4.12.0", "ELB-HealthChecker/2.0"]
JOBS = ["invoice", "thumbnail", "export", "reminder"]


def clock(millis):
    seconds, rest = divmod(millis, 1000)
    days, seconds = divmod(seconds, 86_400)
    day = 21 + days - START // 86_400_000
    hour, seconds = divmod(seconds, 3600)
    minute, second = divmod(seconds, 60)
    return f"2026-09-{day:02}", f"{hour:02}:{minute:02}:{second:02}.{rest:03}"


def access_line(millis):
    date, time = clock(millis)
    path = WORDS.choice(ROUTES).replace("{n}", str(WORDS.randrange(10_000, 99_999)))
    status = WORDS.choices([200, 201, 304, 404, 500], [80, 6, 8, 5, 1])[0]
    address = f"192.0.2.{WORDS.randrange(1, 255)}"
    return (
        f'{date}T{time}Z {address} "GET {path} HTTP/1.1" {status} {WORDS.randrange(120, 48_000)} '
        f'{WORDS.randrange(1, 900)}ms "{WORDS.choice(AGENTS)}"'
    )


def worker_line(millis):
    date, time = clock(millis)
    job, number = WORDS.choice(JOBS), WORDS.randrange(1_000, 9_999)
    text = WORDS.choices(
        [
            f"INFO  worker: {job} {number} done in {WORDS.randrange(5, 4_000)} ms",
            f"INFO  worker: {job} {number} taken from queue default, attempt 1",
            f"WARN  worker: {job} {number} slow, {WORDS.randrange(5_000, 20_000)} ms so far",
            f'ERROR worker: {job} {number} failed: connection to "db-2" refused; again in 30 s',
        ],
        [50, 35, 10, 5],
    )[0]
    return f"{date} {time} {text}"


def write_lines(name, count, line):
    millis = START
    with open(HERE / name, "w", encoding="utf-8", newline="\n") as out:
        for _ in range(count):
            millis += WORDS.randrange(20, 1_500)
            out.write(line(millis) + "\n")


def envelope(owner, group, stream, messages):
    events = []
    millis = START
    for message in messages:
        millis += WORDS.randrange(1, 900)
        number = "".join(WORDS.choice("0123456789") for _ in range(53))
        events.append({"id": "391" + number, "timestamp": millis, "message": message})
    return {
        "messageType": "DATA_MESSAGE",
        "owner": owner,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": ["to-standpipe"],
        "logEvents": events,
    }


def lambda_messages(count):
    for _ in range(count):
        request = f"{WORDS.getrandbits(32):08x}-0000-4000-8000-{WORDS.getrandbits(48):012x}"
        yield f"START RequestId: {request} Version: $LATEST\n"
        yield json.dumps({"level": "INFO", "order": WORDS.randrange(10_000, 99_999), "état": "payé"})
        yield f"END RequestId: {request}\n"


def write_envelopes(name):
    members = [
        envelope("111122223333", "/aws/lambda/orders", "2026/09/21/[$LATEST]5d0c", lambda_messages(20)),
        envelope("444455556666", "/aws/lambda/mail", "2026/09/21/[$LATEST]a1b2", lambda_messages(10)),
    ]
    with open(HERE / name, "wb") as out:
        for member in members:
            text = json.dumps(member, ensure_ascii=False, separators=(",", ":")).encode()
            out.write(gzip.compress(text, 6, mtime=0))


write_lines("access.log", 200, access_line)
write_lines("worker.log", 150, worker_line)
write_envelopes("subscription.gz")
