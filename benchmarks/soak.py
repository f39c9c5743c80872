"""Run a session over many frames: print memory, open files and latency.

    python benchmarks/soak.py [--frames 1000000]               # the fake engine, 16x16 pixels
    python benchmarks/soak.py BUNDLE [--frames 10000] [--side 64]

RSS and open files are read after a warm-up of a hundredth of the frames, and again at the end. p50
and p99 are those of the whole run. Linux only, because both come from /proc.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import resident_mib

from edgeexpo import runtime
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.runtime import FakeEngine, Session
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, TensorSpec


def fake_session(folder: Path) -> Session:
    """Return a session whose engine returns its input."""
    file = folder / "net.int8.onnx"
    file.write_bytes(b"stand-in")
    sizes = SizeRange(largest=(64, 64), smallest=(16, 16))
    artifact = Artifact(file.name, "onnx", "int8", digest(file), 8, sizes)
    model = ModelSpec("net", "t", ("x",), (TensorSpec("x"),), (TensorSpec("y"),), halo=1)
    recipe = ExportRecipe("net", ("onnx",), ("int8",), (64, 64), "none", (), {})
    write_manifest(folder, Manifest(model, recipe, (artifact,), {}, {}))
    return runtime.load(folder, engine=FakeEngine(lambda inputs: {"y": inputs["x"]}))


def main() -> None:
    """Print the changes between start and end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fake = given.bundle is None
        session = fake_session(Path(folder)) if fake else runtime.load(given.bundle, threads=2)
        with session:
            soak(session, given.frames, given.side)


def soak(session: Session, frames: int, side: int) -> None:
    """Run the frames and print the figures."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in session.spec.frames]
    out, seen = np.empty((side, side, 3), np.uint8), runtime.Summary()
    start = None
    for index in range(frames):
        if index == frames // 100:
            start = (resident_mib(), len(os.listdir("/proc/self/fd")))
        before = time.perf_counter()
        session.run_into(out, *pictures)
        seen("edgeexpo.frame.duration", time.perf_counter() - before, {"stage": "total"})
    assert start is not None  # there are at least a hundred frames
    p50, p99 = (1000 * (seen.percentile(share) or 0) for share in (0.5, 0.99))
    print(f"{session.engine_name}: {frames} frames of {side}x{side}")
    grown = resident_mib() - start[0]
    print(f"  RSS {start[0]:.1f} MiB after warm-up, {grown:+.2f} MiB at the end")
    print(f"  open files {start[1]}, {len(os.listdir('/proc/self/fd')) - start[1]:+d} at the end")
    print(f"  p50 {p50:.3f} ms, p99 {p99:.3f} ms, {p99 / p50:.2f} times")


if __name__ == "__main__":
    main()
