#!/usr/bin/env python3
"""Counts the instructions of the core's stages, and compares them with those in benches/instructions.toml.

    make bench-check            # fails where one differs by more than 3 %
    make bench-check WRITE=1    # writes them anew; say in the commit why they changed

A clock tells a change of a few per cent only on a quiet machine; instructions are the same each time. valgrind counts them: its CPU is the
same on every machine with AVX2, and has neither AVX-512 nor SHA instructions, so that no figure depends on the machine. What is compared is
the difference of a long run and a short one, so that starting does not count.

Where a figure cannot be compared, since valgrind, glibc or the CPU is another, this says so and succeeds.
"""

import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benches" / "instructions.toml"

# A stage's work is done so often in the short run, and in the long one.
SHORT, LONG = 5, 25

# A difference above this is a change.
MOST = 0.03


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="write the figures instead of comparing with them")
    arguments.add_argument("--tools", type=pathlib.Path, default=ROOT / ".tools" / "bin", help="where valgrind may be, beside PATH")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    arguments.add_argument("--program", type=pathlib.Path, default=target / "release" / "instructions", help="what is counted")
    options = arguments.parse_args()
    valgrind = shutil.which("valgrind", path=f"{options.tools}:{os.environ['PATH']}")
    if why := unfit(valgrind):
        return leave_out(why)
    here = conditions(valgrind)
    known = tomllib.loads(FIGURES.read_text()) if FIGURES.exists() else {"conditions": {}, "instructions": {}}
    differ = {name: value for name, value in known["conditions"].items() if here.get(name) != value}
    if not options.write and (others := [name for name in differ if name != "rustc"]):
        return leave_out("; ".join(f"the figures were taken with {name} {differ[name]}, and here is {here[name]}" for name in others))
    counter = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", options.program]
    figures = {stage: count(counter, stage) for stage in run(options.program).splitlines()}
    if options.write:
        FIGURES.write_text(text(here, figures))
        return print(f"wrote {FIGURES.relative_to(ROOT)}")
    if "rustc" in differ:
        print(f"the figures were taken with rustc {differ['rustc']}, and here is {here['rustc']}: that alone may change them")
    return compare(figures, known["instructions"])


def unfit(valgrind):
    """Why nothing can be compared here; none: it can."""
    if platform.machine() != "x86_64":
        return f"the figures are of x86_64, and here is {platform.machine()}"
    if not valgrind:
        return "valgrind is missing: install Debian's package of that name"
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    if not flags or "avx2" not in flags[1].split():
        return "the figures are of a CPU with AVX2, and this one has none"
    return None


def leave_out(why):
    print(f"bench-check: left out: {why}")


def conditions(valgrind):
    """What a figure depends on beside the code."""
    return {
        "rustc": run("rustc", "--version").split()[1],
        "valgrind": run(valgrind, "--version").strip().removeprefix("valgrind-"),
        "glibc": os.confstr("CS_GNU_LIBC_VERSION").split()[1],
    }


def count(counter, stage):
    """Instructions of a stage's work, once."""
    short, long = (counted([*counter, stage, str(times)]) for times in (SHORT, LONG))
    return (long - short) // (LONG - SHORT)


def counted(command):
    # Nothing of whoever calls this changes what is counted.
    ran = subprocess.run(command, env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"I\s+refs:\s+([\d,]+)", ran.stderr)
    if ran.returncode or not found:
        sys.exit(f"bench-check: {' '.join(map(str, command))}: exit {ran.returncode}\n{ran.stderr}")
    return int(found[1].replace(",", ""))


def compare(figures, known):
    wrong = sorted(figures.keys() ^ known.keys())
    for stage, figure in figures.items():
        if stage not in known:
            continue
        change = figure / known[stage] - 1
        mark = "  changed" if abs(change) > MOST else ""
        wrong += [stage] if mark else []
        print(f"{stage:28} {known[stage]:>12,} {figure:>12,} {change:+8.2%}{mark}")
    if wrong:
        sys.exit(
            f"bench-check: {', '.join(wrong)}: not as in {FIGURES.relative_to(ROOT)}. If that is meant, run `make bench-check WRITE=1`, "
            "commit the file, and say in the commit why"
        )


def text(here, figures):
    lines = [
        "# Instructions of the core's stages, each for a payload of 1,000 events; `make bench-check` compares with them.",
        "# `make bench-check WRITE=1` writes them anew. Whoever commits that says why they changed.",
        "",
        "[conditions]",
        *(f'{name} = "{value}"' for name, value in here.items()),
        "",
        "[instructions]",
        *(f'"{stage}" = {figure}' for stage, figure in figures.items()),
    ]
    return "\n".join(lines) + "\n"


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
