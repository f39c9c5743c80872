"""Start-up time of the command line and of imports: ``python benchmarks/startup.py [--starts N]``.

Commands take turns, so that a slow minute of the machine hits all alike. The least of many starts
is what the code costs; the median also tells how busy the machine was. The bars are judged on the
least processor time, which equals wall-clock time on an idle machine and stays true on a busy one.
Byte code is compiled before the first turn, as it is where edgeexpo is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MAIN = "import sys; from edgeexpo.cli import main; sys.argv[0] = 'edgeexpo'; sys.exit(main({}))"

COMMANDS = {
    "python -c pass": "pass",
    "import numpy": "import numpy",
    "import edgeexpo": "import edgeexpo",
    "import edgeexpo.runtime": "import numpy, edgeexpo.runtime",
    "edgeexpo --help": MAIN.format(["--help"]),
    "edgeexpo export --help": MAIN.format(["export", "--help"]),
}
"""What is started -> its Python code."""

BARS = (
    ("edgeexpo --help", "", 0.15),
    ("import edgeexpo", "python -c pass", 0.10),
    ("import edgeexpo.runtime", "import numpy", 0.10),
)
"""What is judged, what is subtracted from it, and the most seconds that may be left."""

CHILD = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.DEVNULL)
process.wait()
times = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.perf_counter() - started, times.ru_utime + times.ru_stime]))
"""
"""Starts the interpreter once; a process of its own, so that its children are only that one."""

ROOT = Path(__file__).resolve().parents[1]


def start(code: str, environment: dict[str, str]) -> tuple[float, float]:
    """Wall-clock and processor time in s of one interpreter that runs ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, code],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    wall, processor = json.loads(done.stdout)
    return wall, processor


def main() -> int:
    """Print the table and the bars; exit code 1 when one is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20, help="starts of each command")
    given = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        for turn in range(given.starts + 1):
            for name, code in COMMANDS.items():
                measured = start(code, environment)
                if turn:  # the first compiles
                    times[name].append(measured)
    least = {name: min(cpu for _, cpu in rows) for name, rows in times.items()}
    pure = least["python -c pass"]
    print(f"{'':24} {'least':>8} {'median':>8} {'processor':>10} {'x python':>9}")
    for name, rows in times.items():
        walls = [wall for wall, _ in rows]
        print(
            f"{name:24} {min(walls):6.3f} s {statistics.median(walls):6.3f} s "
            f"{least[name]:8.3f} s {least[name] / pure:9.1f}"
        )
    kept = True
    for name, subtracted, bar in BARS:
        seconds = least[name] - (least[subtracted] if subtracted else 0)
        words = f" beyond {subtracted}" if subtracted else ""
        verdict = "kept" if seconds <= bar else "MISSED"
        print(f"{name}{words}: {seconds:.3f} s, at most {bar:.2f} s: {verdict}")
        kept &= seconds <= bar
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
