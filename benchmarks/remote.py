"""Measure what another machine costs, and kill connections and processes at random.

    python benchmarks/remote.py BUNDLE [--kills 200] [--seed 0] [--runs 3]

An SSH server on this machine, with its own keys and port, stands for the other machine.

The first line compares whole runs of ``edgeexpo parity`` here with runs over this server. They take
turns, and the least of ``--runs`` counts. The bar is 1.3 times the local run plus 3 s.

The second line counts what became of runs during which a process was killed: the client of ssh, the
program behind it, or the engine's process. The exit code is 1 if a bar is missed, or if a run was
wrong, took too long or left a process behind.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.testing.loopback_sshd import loopback_sshd, unavailable
from edgeexpo.testing.remote_kills import random_kills

LIMIT = 60.0
"""Seconds that one run may take there. Two tries and the connections come on top."""

LONGEST = 2 * LIMIT + 60
"""Seconds after which a run counts as a hang."""


def main() -> int:
    """Print both lines and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if (reason := unavailable()) is not None:
        print(f"cannot measure: {reason}")
        return 2
    with tempfile.TemporaryDirectory() as folder, loopback_sshd(Path(folder)) as server:
        os.environ["PATH"] = server.search_path
        here, there = parity_times(args.bundle, server.address, args.runs)
        bar = 1.3 * here + 3
        print(
            f"parity here {here:.1f} s, over ssh {there:.1f} s, "
            f"{there / here:.2f} x (bar {bar:.1f} s)"
        )
        count = random_kills(server, Bundle.open(args.bundle), "onnx", args.kills, args.seed, LIMIT)
    print(
        f"{args.kills} kills: {count.right} right, {count.lost} lost with a typed error, "
        f"{count.wrong} wrong, {count.retried} connections made again, longest "
        f"{count.longest:.1f} s, {count.left} processes left"
    )
    for error in count.errors:
        print(error)
    return int(there > bar or count.wrong > 0 or count.left > 0 or count.longest > LONGEST)


def parity_times(bundle: Path, address: str, runs: int) -> tuple[float, float]:
    """Return the least seconds of a parity check on this machine, and over ``address``."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(runs):
        for away in found:
            command = [sys.executable, "-m", "edgeexpo", "parity", str(bundle)]
            command += ["--on", address] if away else []
            started = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            found[away].append(time.monotonic() - started)
    return min(found[False]), min(found[True])


if __name__ == "__main__":
    sys.exit(main())
