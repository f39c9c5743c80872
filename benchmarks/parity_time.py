"""Time a full parity check of one bundle: every artefact, 24 photographs, all probes.

    edgeexpo export lrl-mobile --target all --precision fp32,int8 -o dist/lrl-mobile
    python benchmarks/parity_time.py dist/lrl-mobile

The photographs are the embedded ones and mirrored and rotated copies of them, scaled to the
bundle's size. The script prints one line: wall-clock time, CPU time of this process and of the
engines' processes (the reliable figure on a busy machine), and the load before the run.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import time
from itertools import count, islice

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.parity import check_parity
from edgeexpo.parity.isolation import end_idle


def main() -> None:
    """Parse the arguments, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="a folder made by edgeexpo export")
    parser.add_argument("--inputs", type=int, default=24, help="photographs (24)")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    pictures = photographs(bundle, args.inputs)
    load = os.getloadavg()[0]
    start, used = time.perf_counter(), cpu_seconds()
    report = check_parity(bundle, reference="cpu", samples=pictures)
    wall = time.perf_counter() - start
    end_idle()  # the system counts the CPU time of ended children only
    probes = len(report.cases) - len(pictures)
    height, width = bundle.manifest.recipe.size
    print(
        f"{bundle.manifest.model.name}: {wall:.1f} s ({cpu_seconds() - used:.1f} s CPU) for "
        f"{len(report.artifacts)} artefacts, "
        f"{len(pictures)} photographs of {height}x{width} and {probes} generated pictures, "
        f"{os.cpu_count()} cores, load {load:.1f} before; {'passed' if report else 'failed'}"
    )


def cpu_seconds() -> float:
    """Return the CPU time in s of this process and its ended children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def photographs(bundle: Bundle, number: int) -> list[Sample]:
    """Return ``number`` samples at the bundle's size: embedded ones, then turned copies."""
    manifest = bundle.manifest
    embedded = samples(len(manifest.model.frames), None, manifest.recipe.size)
    square = manifest.recipe.size[0] == manifest.recipe.size[1]
    turned = (
        dataclasses.replace(
            sample,
            name=f"{sample.name}-{turn}",
            frames=tuple(_turned(frame, turn, square) for frame in sample.frames),
        )
        for turn in count()
        for sample in embedded
    )
    return list(islice(turned, number))


def _turned(frame: np.ndarray, turn: int, square: bool) -> np.ndarray:
    mirrored = frame[:, ::-1] if turn % 2 else frame
    return np.ascontiguousarray(np.rot90(mirrored, turn // 2 * (1 if square else 2)))


if __name__ == "__main__":
    main()
