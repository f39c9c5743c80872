"""Print the allocations of one frame after warm-up, by source line.

    python benchmarks/allocations.py BUNDLE [--layout rgb] [--size 512,512] [--least 1024]

The bundle's ONNX artefact runs on frames of noise. `run_into` writes into the caller's frame. Three
frames warm the session up. tracemalloc, to which NumPy reports its arrays, gives three figures:

- the peak inside one frame
- the memory that remains afterwards
- on one thread, each line during which Python held more than `--least` bytes beyond the memory at
  the line's start

Arrays that are freed again therefore count, too. A line adds up the small objects of its expression
(views, iterators). Lines of little over 1 KiB are therefore not arrays of that size.
"""

from __future__ import annotations

import argparse
import linecache
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from edgeexpo import runtime
from edgeexpo.runtime.frames import empty_frame

Line = tuple[str, int]
"""A source line: file and number."""


def allocating_lines(call: Callable[[], object], least: int) -> dict[Line, tuple[int, int]]:
    """Return the lines that took more than ``least`` bytes at a time, with count and maximum."""
    found: dict[Line, tuple[int, int]] = {}
    line: Line | None = None
    before = 0

    def close(following: Line | None) -> None:
        nonlocal line, before
        taken = tracemalloc.get_traced_memory()[1] - before
        if line is not None and taken > least:
            times, most = found.get(line, (0, 0))
            found[line] = (times + 1, max(most, taken))
        line = following
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        place: FrameType | None = frame.f_back if event == "return" else frame
        if event != "exception":
            close(place and (place.f_code.co_filename, place.f_lineno))
        return trace

    tracemalloc.start()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
        tracemalloc.stop()
    return found


def peak_and_rest(call: Callable[[], object]) -> tuple[int, int]:
    """Return the largest number of bytes that Python takes during a call, and the rest after."""
    tracemalloc.start()
    try:
        call()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak, kept


def main() -> None:
    """Print the peak, the rest and the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--layout", default="rgb")
    parser.add_argument("--size", default="512,512", help="height,width")
    parser.add_argument("--least", type=int, default=1024, help="bytes")
    parser.add_argument("--threads", type=int, default=2, help="for the peak")
    given = parser.parse_args()
    height, width = map(int, given.size.split(","))
    layout, rng = runtime.FrameFormat(given.layout), np.random.default_rng(0)

    def warm(session: runtime.Session) -> Callable[[], object]:
        frames = [empty_frame(height, width, layout) for _ in session.spec.frames]
        for frame in frames:
            frame[...] = rng.integers(16, 236, frame.shape, frame.dtype)
        out = empty_frame(height, width, layout)

        def call() -> None:
            session.run_into(out, *frames, ev=4.0)

        for _ in range(3):
            call()
        return call

    def opened(threads: int) -> runtime.Session:
        return runtime.load(given.bundle, target="onnx", threads=threads, frames=layout)

    with opened(given.threads) as session:
        peak, kept = peak_and_rest(warm(session))
        print(f"{session.artifact.file}, {given.layout} of {height}x{width}")
        print(f"  peak {peak / 1024:.1f} KiB, {kept / 1024:.1f} KiB of it stay")
    with opened(1) as session:
        found = allocating_lines(warm(session), given.least)
    for (file, number), (times, most) in sorted(found.items(), key=lambda item: -item[1][1]):
        source = linecache.getline(file, number).strip()
        print(f"  {most / 1024:8.1f} KiB, {times:4}x, {'/'.join(Path(file).parts[-2:])}:{number}")
        print(f"      {source}")


if __name__ == "__main__":
    main()
