"""Measure the flicker of a bundle's INT8 ONNX artefact over several pans.

    python benchmarks/pans.py BUNDLE [--pans 8]

The parity gate sees only the first pan. The pans are the probes' pan over scenes of other seeds, in
8-bit codes, at the bundle's size. Flicker is the change from picture to picture of the error's mean
in blocks of 16 pixels (:mod:`edgeexpo.parity.metrics.relations`), in 8-bit steps. The reference is
the bundle's fp32 ONNX artefact.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np

from edgeexpo import runtime
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.imaging.samples import to_float
from edgeexpo.parity.metrics.relations import flicker
from edgeexpo.parity.probes import PAN_STEP, panned


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pans", type=int, default=8)
    given = parser.parse_args()
    side = min(Bundle.open(given.bundle).manifest.recipe.size)
    pans = [
        [np.rint(picture * 255).astype(np.uint8) for picture in panned(side, seed).values()]
        for seed in range(given.pans)
    ]
    shown = {}
    for precision in ("fp32", "int8"):
        with runtime.load(given.bundle, target="onnx", precision=precision) as session:
            shown[precision] = [[to_float(session(picture)) for picture in pan] for pan in pans]
    found = [flicker(r, c, PAN_STEP) for r, c in zip(*shown.values(), strict=True)]
    print(
        f"{given.bundle}: the gate's pan {found[0]:.2f}, mean of {len(found)} "
        f"{statistics.mean(found):.2f}, worst {max(found):.2f} steps"
    )


if __name__ == "__main__":
    main()
