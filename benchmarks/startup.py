"""Start-up time of the command line: ``python benchmarks/startup.py``, the median of ten starts."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "edgeexpo --help": ["-c", "from edgeexpo.cli import main; main(['--help'])"],
    "edgeexpo export --help": ["-c", "from edgeexpo.cli import main; main(['export', '--help'])"],
    "import edgeexpo.runtime": ["-c", "import edgeexpo.runtime"],
}
"""Commands that are timed, by name."""

STARTS = 10
"""Number of starts of each command."""


def seconds(arguments: list[str]) -> float:
    """Return the median wall-clock time in s from start to exit."""
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    for name, arguments in COMMANDS.items():
        print(f"{name:24} {seconds(arguments):.3f} s")
