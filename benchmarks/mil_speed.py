"""Compare the time of the MIL interpreter with torch eager, at 256x256 on one thread.

    python benchmarks/mil_speed.py dist/lrl [BUNDLE ...] [--profile]

Each Core ML package has a line: milliseconds of a run, milliseconds of the float program in torch
in the same round (medians over the rounds), and their ratio. ``edgeexpo export NAME --target coreml
--precision fp32,fp16,int8`` makes the bundles. A package that does not accept the size runs at its
largest size. ``--profile`` adds the operator types that take most of the time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.parity.reference import load_program

SIDE = 256
"""Height and width of the pictures, in pixels."""

ROUNDS = 7
"""Number of timed rounds."""


def pictures(bundle: Bundle, artifact: Artifact) -> dict[str, np.ndarray]:
    """Return random pictures for one run, NCHW float32 in [0,1] by input name."""
    sizes = artifact.sizes
    size = (SIDE, SIDE) if (SIDE, SIDE) in sizes.enumerated else sizes.largest
    random = np.random.default_rng(0)
    return {
        t.name: random.random((1, t.channels, *(t.size or size)), dtype=np.float32)
        for t in bundle.manifest.model.inputs
    }


def milliseconds(bundle: Bundle, artifact: Artifact) -> tuple[float, float]:
    """Return the medians over the rounds of the interpreter and of torch."""
    inputs = pictures(bundle, artifact)
    engine = MilEngine(bundle.manifest.model)
    engine.load(bundle.file(artifact.file))
    module = load_program(bundle, "reference.pt2").module()
    tensors = [torch.from_numpy(inputs[t.name]) for t in bundle.manifest.model.inputs]
    times: tuple[list[float], list[float]] = ([], [])
    with torch.no_grad():
        runs: tuple[Callable[[], object], ...] = (
            lambda: engine.run(inputs),
            lambda: module(*tensors),
        )
        for _ in range(ROUNDS + 1):
            for found, run in zip(times, runs, strict=True):
                started = time.process_time()
                run()
                found.append(1e3 * (time.process_time() - started))
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def profile(bundle: Bundle, artifact: Artifact) -> dict[str, float]:
    """Return the milliseconds of one run by operator type."""
    engine = MilEngine(bundle.manifest.model)
    engine.load(bundle.file(artifact.file))
    inputs = pictures(bundle, artifact)
    engine.run(inputs)
    spent: defaultdict[str, float] = defaultdict(float)
    step = MilEngine._step

    def timed(self: MilEngine, op: Any, *rest: Any) -> None:
        started = time.process_time()
        step(self, op, *rest)
        spent[op.op_type] += 1e3 * (time.process_time() - started)

    with mock.patch.object(MilEngine, "_step", timed):
        engine.run(inputs)
    return spent


def main() -> None:
    """Print one line per package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'package':38} {'MIL ms':>8} {'torch ms':>9} {'ratio':>6}")
    for path in args.bundles:
        bundle = Bundle.open(path)
        for artifact in bundle.manifest.artifacts:
            if artifact.target != "coreml":
                continue
            ours, eager = milliseconds(bundle, artifact)
            print(f"{artifact.file:38} {ours:8.0f} {eager:9.0f} {ours / eager:6.2f}", flush=True)
            if args.profile:
                spent = profile(bundle, artifact).items()
                most = sorted(spent, key=lambda item: item[1], reverse=True)[:6]
                print("    " + ", ".join(f"{name} {ms:.0f}" for name, ms in most))


if __name__ == "__main__":
    main()
