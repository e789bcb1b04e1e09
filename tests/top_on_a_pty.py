#!/usr/bin/env python3
"""Runs `standpipe top` on a pseudo-terminal of 60 columns, waits for a text, ends it, and sees that the terminal is as it was.

Usage: top_on_a_pty.py PROGRAM URL q|ctrl-c|TERM|HUP TEXT
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 120
ENTERS, LEAVES, SHOWS = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def main():
    program, url, ending, text = sys.argv[1:]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.login_tty(slave) if hasattr(os, "login_tty") else login(slave)
        os.execve(program, [program, "top", "--url", url], {"TERM": "xterm", "NO_COLOR": "1"})
    screen = read_until(master, b"", lambda seen: text.encode() in seen and ENTERS in seen)
    if termios.tcgetattr(slave)[3] & termios.ECHO:
        sys.exit("the terminal still echoes while `top` runs")
    if ending == "q":
        os.write(master, b"q")
    elif ending == "ctrl-c":
        os.write(master, b"\x03")
    else:
        os.kill(pid, getattr(signal, f"SIG{ending}"))
    screen = read_until(master, screen, lambda seen: LEAVES in seen and SHOWS in seen)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != 0:
        sys.exit(f"it ended with {code}")
    if termios.tcgetattr(slave)[3] != before[3]:
        sys.exit("the terminal's modes are not what they were")
    for colour in range(30, 38):
        if f"\x1b[{colour}m".encode() in screen or f";{colour}m".encode() in screen:
            sys.exit(f"colour {colour} in spite of NO_COLOR")


def login(slave):
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)


def read_until(master, seen, is_enough):
    end = time.monotonic() + PATIENCE
    while not is_enough(seen):
        if time.monotonic() > end:
            sys.exit(f"waited in vain; the screen has {seen!r}")
        if select.select([master], [], [], 0.2)[0]:
            seen += os.read(master, 65536)
    return seen


if __name__ == "__main__":
    main()
