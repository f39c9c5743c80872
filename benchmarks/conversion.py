"""Print the share of a frame's time that reading and writing it as YUV takes.

    python benchmarks/conversion.py BUNDLE [--layout nv12] [--size 1080,1920] [--runs 20]

A session runs the bundle's ONNX artefact on frames of ``--layout`` and writes that layout. The same
frames are also only read into RGB, and only written from RGB, as the session does. The three calls
take turns.

The figure is the least processor time of the runs, to which other work on the machine adds little.
With several threads the time of the engine's waiting threads counts, too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import turns

from edgeexpo import runtime
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.raster import whole_picture
from edgeexpo.imaging.scratch import Scratch
from edgeexpo.runtime.frames import empty_frame, from_rgb, to_rgb


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--layout", default="nv12")
    parser.add_argument("--size", default="1080,1920", help="height,width")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    height, width = map(int, given.size.split(","))
    layout, rng = FrameFormat(given.layout), np.random.default_rng(0)
    with runtime.load(given.bundle, target="onnx", threads=given.threads, frames=layout) as session:
        frames = [empty_frame(height, width, layout) for _ in session.spec.frames]
        for frame in frames:
            frame[...] = rng.integers(16, 236, frame.shape, frame.dtype)
        pictures = [whole_picture(to_rgb(frame, layout)) for frame in frames]
        out, memory = empty_frame(height, width, layout), Scratch()

        def in_memory(work: Callable[[], object]) -> None:
            with memory.lent():
                work()
            memory.clear()

        def read() -> None:
            for frame in frames:
                whole_picture(to_rgb(frame, layout), given.threads)

        def write() -> None:
            from_rgb(pictures[0], layout, out, workers=given.threads)

        times = turns(
            {
                "frame to frame": lambda: session.run_into(out, *frames, ev=4.0),
                "read": lambda: in_memory(read),
                "write": lambda: in_memory(write),
            },
            given.runs,
            clock=time.process_time,
        )
        found = {name: min(values) for name, values in times.items()}
        print(f"{session.artifact.file}, {given.layout} of {height}x{width}, processor ms")
    for name, value in found.items():
        print(f"  {name:15}{value:8.1f}")
    share = (found["read"] + found["write"]) / found["frame to frame"]
    print(f"  conversion {100 * share:.1f} %")


if __name__ == "__main__":
    main()
