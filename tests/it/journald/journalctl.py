#!/usr/bin/env python3
"""Prints entries as `journalctl` does, from the file `entries` of the folder that `--directory` names, and breaks as its file `fault` says.

`exit WORDS` fails with these words. `die` ends in the middle of an entry, and `garbage` prints what is no entry, each once. `cut` prints
the first half of the first entry and ends well, as often as it is asked.
"""

import os
import select
import sys
import time

arguments = sys.argv[1:]


def option(name):
    return next((one[len(name) + 1 :] for one in arguments if one.startswith(name + "=")), None)


folder = option("--directory")
output = sys.stdout.buffer


def read(name, at=0):
    try:
        with open(os.path.join(folder, name), "rb") as file:
            file.seek(at)
            return file.read()
    except FileNotFoundError:
        return b""


def entries(data):
    """Each whole entry at the front."""
    at = begin = 0
    while (end := data.find(b"\n", at)) >= 0:
        line, at = data[at:end], end + 1
        if not line:
            yield data[begin:at]
            begin = at
        elif b"=" not in line:
            if len(data) < at + 8:
                return
            at += 8 + int.from_bytes(data[at : at + 8], "little") + 1


def cursor(entry):
    return entry.split(b"\n", 1)[0].removeprefix(b"__CURSOR=").decode()


def write(data):
    try:
        output.write(data)
        output.flush()
    except BrokenPipeError:
        os._exit(1)


def break_as_told():
    fault = read("fault").decode()
    if fault.startswith("exit "):
        sys.stderr.write(fault[5:] + "\n")
        sys.exit(1)
    if fault in ("die", "garbage"):
        os.remove(os.path.join(folder, "fault"))
        write(b"__CURSOR=s=1;i=" if fault == "die" else b"-- Journal begins --\n")
        os._exit(1)


def main():
    with open(os.path.join(folder, "calls"), "a", encoding="utf-8") as calls:
        calls.write(" ".join(arguments) + "\n")
    fault = read("fault").decode()
    if fault.startswith("exit "):
        break_as_told()
    data = read("entries")
    all_entries = list(entries(data))
    printed = sum(map(len, all_entries))
    if option("--lines") == "1":
        all_entries = all_entries[-1:]
    elif (wanted := option("--cursor")) is not None:
        at = [number for number, entry in enumerate(all_entries) if cursor(entry) == wanted]
        all_entries = all_entries[at[0] :] if at else all_entries
    if fault == "cut" and "--follow" not in arguments and option("--lines") is None and all_entries:
        return write(all_entries[0][: len(all_entries[0]) // 2])
    for entry in all_entries:
        write(entry)
    reader = select.poll()
    reader.register(output.fileno(), 0)
    while "--follow" in arguments:
        break_as_told()
        for entry in entries(read("entries", printed)):
            write(entry)
            printed += len(entry)
        # Whoever read is gone.
        if reader.poll(0):
            return
        time.sleep(0.01)


main()
