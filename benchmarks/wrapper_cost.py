"""Measure the time and memory per frame that the runtime adds to the bare engine.

    python benchmarks/wrapper_cost.py BUNDLE [--side 512] [--runs 40]

The bundle's ONNX artefact runs on the same inputs in two ways that take turns: in ONNX Runtime's
own session on the network's inputs, and by `run_into` on uint8 frames with its steps (front stage,
network in tiles, back stage). Times are p50 in ms. tracemalloc counts Python's peak inside one
`run_into` after warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from measuring import turns

from edgeexpo import runtime
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.runtime.engines.onnx import session_options
from edgeexpo.runtime.observation import DURATION
from edgeexpo.runtime.stages import front

_PAUSE = 0.02
"""Seconds before each call, because the threads of the engine that ran last spin for a while."""


def median_ms(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Return the median milliseconds of each call; the calls take turns."""
    times = turns(calls, runs, _PAUSE)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    import onnxruntime

    bundle = Bundle.open(given.bundle)
    spec, artifact = bundle.manifest.model, bundle.by_preference("onnx", None)[0]
    options = session_options()
    options.intra_op_num_threads = given.threads
    bare = onnxruntime.InferenceSession(str(bundle.file(artifact.file)), options)
    rng = np.random.default_rng(0)
    shape = (given.side, given.side, 3)
    frames = [rng.integers(0, 256, shape, np.uint8) for _ in spec.frames]
    floats = [frame.astype(np.float32) / 255 for frame in frames]
    inputs = {
        name: np.ascontiguousarray(value.transpose(2, 0, 1)[None])
        for name, value in front(spec, floats, 4.0).items()
    }
    out = np.empty(shape, np.uint8)
    stages: dict[str, list[float]] = {}

    def observe(name: str, value: float, attributes: Mapping[str, str]) -> None:
        if name == DURATION:
            stages.setdefault(attributes["stage"], []).append(value * 1000)

    with runtime.load(
        given.bundle, target="onnx", threads=given.threads, observe=observe
    ) as session:
        calls = {
            "engine": lambda: bare.run(None, inputs),
            "run_into": lambda: session.run_into(out, *frames, ev=4.0),
        }
        median_ms(calls, 3)
        stages.clear()
        found = median_ms(calls, given.runs)
        tracemalloc.start()
        session.run_into(out, *frames, ev=4.0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    print(f"{artifact.file} at {given.side}x{given.side}, {given.threads} threads, p50 in ms")
    print(f"  bare engine {found['engine']:8.2f} ms")
    print(f"  run_into    {found['run_into']:8.2f} ms")
    for stage in ("front", "network", "back"):
        print(f"    {stage:9}{statistics.median(stages[stage]):8.2f} ms")
    print(f"  Python's peak inside run_into {peak / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
