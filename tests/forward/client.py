"""Sends the lines of a file to a port, as programs with fluent-logger do: half of them with times of nanoseconds."""

import sys

from fluent import sender

port, path = int(sys.argv[1]), sys.argv[2]
with open(path, encoding="utf-8") as file:
    lines = file.read().splitlines()
half = len(lines) // 2
for precise, part in ((False, lines[:half]), (True, lines[half:])):
    logger = sender.FluentSender("app", host="127.0.0.1", port=port, nanosecond_precision=precise)
    for line in part:
        if not logger.emit("follow", {"message": line, "level": "info"}):
            sys.exit(str(logger.last_error))
    logger.close()
