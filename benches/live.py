#!/usr/bin/env python3
"""What it costs the daemon at full load that somebody looks: a `tap` of its source, and a `top` on a terminal, both attached.

    cargo build --profile dist --bin standpipe && cargo build --release --example standin
    benches/live.py [--lines N] [--runs N] [--encoding message|json]

Runs without and with both take turns, so that what else the machine does befalls both alike. CPU is that of the daemon from wait4(2): `tap`
and `top` are processes of their own. Every line has to arrive once in each run, and both have to have shown something.
"""

import argparse
import fcntl
import os
import pathlib
import pty
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from types import SimpleNamespace

import measure

FILES = '[sources.app]\ntype = "file"\ninclude = ["DIR/*.log"]\n'


class LiveRun(measure.Run):
    """The lines are there at once; whoever looks does so before."""

    def live(self):
        self.write(path=str(self.folder / "app.waiting"))
        daemon = self.start()
        self.said("running")
        # Both are attached, or not, for as long.
        lookers = [self.tap(), self.top(self.said("admin endpoint listening")["address"])] if self.is_watched else []
        time.sleep(2)
        before = time.monotonic()
        (self.folder / "app.waiting").rename(self.folder / "app.log")
        self.delivered()
        wall = time.monotonic() - before
        daemon.terminate()
        usage = self.end(daemon)
        self.shown = [looker() for looker in lookers]
        return wall, usage

    def tap(self):
        """Returns what ends it and says how many events it showed."""
        command = [self.options.binary, "tap", "source:app", "--dir", self.folder / "state"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        count = [0]

        def read():
            for _ in process.stdout:
                count[0] += 1

        reader = threading.Thread(target=read)
        reader.start()

        def end():
            # It ends with the daemon.
            process.wait(timeout=60)
            reader.join()
            return count[0]

        return end

    def top(self, address):
        """Returns what ends it and says how many bytes it drew."""
        pid, master = pty.fork()
        if pid == 0:
            os.execve(self.options.binary, [str(self.options.binary), "top", "--url", f"http://{address}"], {"TERM": "xterm"})
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        drawn = [0]

        def read():
            try:
                while block := os.read(master, 1 << 16):
                    drawn[0] += len(block)
            except OSError:
                # Its end of the terminal is closed.
                pass

        reader = threading.Thread(target=read)
        reader.start()

        def end():
            os.write(master, b"q")
            os.waitpid(pid, 0)
            reader.join()
            os.close(master)
            return drawn[0]

        return end

    def judge(self, wall, usage, report):
        size = (self.folder / "app.log").stat().st_size
        wrong = {"lost": report["missing"], "doubled": report["total"]["duplicates"], "violations": report["limit_violations"]}
        if any(wrong.values()):
            sys.exit(f"{self.name}: {wrong}")
        if self.is_watched and not all(self.shown):
            sys.exit(f"{self.name}: `tap` and `top` showed {self.shown}")
        cpu = (usage.ru_utime + usage.ru_stime) / size * 1e9
        shown = " and ".join(f"{count:,}" for count in self.shown) if self.is_watched else "nothing"
        print(f"{self.name:8} {wall:6.2f} s  CPU {cpu:.3f} s/GB  shown: {shown}", flush=True)
        return cpu


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lines", type=int, default=4_000_000)
    arguments.add_argument("--runs", type=int, default=5, help="of each kind")
    arguments.add_argument("--encoding", default="message", choices=["message", "json"])
    arguments.add_argument("--binary", default=measure.BINARY)
    arguments.add_argument("--release", type=pathlib.Path, default=measure.RELEASE, help="the folder with examples/standin")
    options = arguments.parse_args()
    measure.RELEASE = options.release
    options.memory, options.sink, options.faults, options.cores = "64MiB", "", None, None
    sink = f'encoding = "{options.encoding}"'
    scenario = SimpleNamespace(
        sink=sink, sources=FILES, stream="logs", linger="1s", workers=0, lines=1.0, writing={}, run="live", light=False
    )
    costs = {False: [], True: []}
    for number in range(options.runs):
        # Who begins changes, too.
        for is_watched in (number % 2 == 1, number % 2 == 0):
            run = LiveRun("watched" if is_watched else "alone", scenario, options)
            run.is_watched = is_watched
            costs[is_watched].append(run.result())
    alone, watched = (statistics.median(costs[is_watched]) for is_watched in (False, True))
    load = os.getloadavg()[0]
    print(f"median CPU: {alone:.3f} s/GB alone, {watched:.3f} s/GB watched: {watched / alone - 1:+.1%}; the load is {load:.1f}")


if __name__ == "__main__":
    main()
