"""Measure time and peak memory of large pictures within a memory budget.

    python benchmarks/large_pictures.py BUNDLE [--memory-mb 256] [--megapixels 12 48]

Each line comes from its own process. The first process runs tiles of the size that the budget
chooses. Its peak RSS is the engine's own, and its best time is the cost of a tile.

The other processes run a pair (or a picture) of 4:3 through `run_into`. Their time is compared with
the tile's by pixels, halo included. Their peak RSS is compared with the sum of the engine's RSS,
the frames, the output and the budget.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edgeexpo import runtime
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.runtime.budget import Budget
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.runtime.tiling import padded_size, plan_tiles

MIB = 1 << 20
"""Bytes of a MiB."""


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_tile(path: Path, memory_mb: float, threads: int) -> dict[str, float]:
    """Return seconds and peak MiB of the engine on one tile."""
    bundle = Bundle.open(path)
    spec, artifact = bundle.manifest.model, bundle.by_preference("onnx", None)[0]
    height, width = Budget(memory_mb).tiles(spec, artifact.sizes).largest
    engine = open_engine("onnx", bundle.file(artifact.file), spec, EngineOptions(threads))
    rng = np.random.default_rng(0)
    inputs = {
        t.name: rng.random((1, t.channels, *(t.size or (height, width))), np.float32)
        for t in spec.inputs
    }
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        engine.run(inputs)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds[1:]), "peak": peak_mib(), "pixels": height * width}


def one_picture(path: Path, memory_mb: float, threads: int, megapixels: float) -> dict[str, float]:
    """Return seconds and peak MiB of a whole picture, and the pixels of its tiles."""
    unit = round(math.sqrt(megapixels * 1e6 / 12) / 8) * 8
    shape = (3 * unit, 4 * unit, 3)
    rng = np.random.default_rng(0)
    low = rng.integers(0, 200, (shape[0] // 8, shape[1] // 8, 3), np.uint8)
    under = low.repeat(8, 0).repeat(8, 1)
    with runtime.load(path, target="onnx", threads=threads, memory_mb=memory_mb) as session:
        spec, sizes = session.spec, Budget(memory_mb).tiles(session.spec, session.artifact.sizes)
        frames = [
            under if index == 0 else under + np.uint8(50) for index in range(len(spec.frames))
        ]
        out = np.zeros(shape, np.uint8)
        start = time.perf_counter()
        session.run_into(out, *frames)
        seconds = time.perf_counter() - start
    full = padded_size(*out.shape[:2], spec.footprint, sizes)
    tiles = plan_tiles(*full, spec.footprint, sizes)
    read = sum((t.rows.stop - t.rows.start) * (t.columns.stop - t.columns.start) for t in tiles)
    held = (sum(f.nbytes for f in frames) + out.nbytes) / MIB
    pixels = out.shape[0] * out.shape[1]
    return {
        "seconds": seconds,
        "peak": peak_mib(),
        "held": held,
        "read": read,
        "halo": 1 - pixels / read,
        "tiles": len(tiles),
    }


def main() -> None:
    """Print the table, or, in a child process, one line of it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--memory-mb", type=float, default=256)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 48])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    options = (given.bundle, given.memory_mb, given.threads)
    if given.child is not None:
        print(json.dumps(one_picture(*options, given.child) if given.child else one_tile(*options)))
        return
    tile = child(given, 0)
    side = round(math.sqrt(tile["pixels"]))
    print(f"{given.bundle.name}, ONNX, {given.threads} threads, budget {given.memory_mb:g} MiB")
    print(f"  one tile of {side}x{side}: {tile['seconds']:.2f} s, peak RSS {tile['peak']:.0f} MiB")
    for megapixels in given.megapixels:
        found = child(given, megapixels)
        cost = tile["seconds"] * found["read"] / tile["pixels"]
        bound = tile["peak"] + found["held"] + given.memory_mb
        print(
            f"  {megapixels:g} MP in {found['tiles']:.0f} tiles, halo {found['halo']:.1%}: "
            f"{found['seconds']:.1f} s, {found['seconds'] / cost:.3f} x its tiles; "
            f"peak RSS {found['peak']:.0f} MiB of {bound:.0f}"
        )


def child(given: argparse.Namespace, megapixels: float) -> dict[str, float]:
    """Run this file again for one line and return its figures."""
    command = [sys.executable, __file__, str(given.bundle), "--child", str(megapixels)]
    command += ["--memory-mb", str(given.memory_mb), "--threads", str(given.threads)]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return found


if __name__ == "__main__":
    main()
