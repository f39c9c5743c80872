"""Looks of pictures without faults: the bounds of looks have to lie above them.

    python benchmarks/clean_looks.py BRACKETS

The fusion of Mertens is judged on brackets, and tone curves on the embedded photographs.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from edgeexpo.cli.output import table
from edgeexpo.evaluation.datasets import folder_scenes
from edgeexpo.evaluation.looks_judge import judge
from edgeexpo.evaluation.looks_scenes import embedded_scenes
from edgeexpo.evaluation.predict import Contestant
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.models.zoo import get
from edgeexpo.spec import ModelSpec

LONGEST = 512
"""Longest side of the pictures, in pixels."""

Method = Callable[[Sequence[Picture]], Picture]


class Clean:
    """A method without a network, in the place of a network."""

    target = precision = "none"
    sizes = None

    def __init__(self, model: str, spec: ModelSpec, method: Method) -> None:
        self.model = model
        self.session = types.SimpleNamespace(spec=spec)
        self._method = method

    def __call__(self, scene: Scene) -> tuple[Picture, Picture]:
        picture = self._method(scene.frames)
        return picture, picture


def main() -> None:
    """Print the worst value of each look, for each method."""
    parser = argparse.ArgumentParser(description="Judge clean pictures by looks.")
    parser.add_argument("brackets", type=Path)
    source = parser.parse_args().brackets
    fusion, correction = get("kdfusion").spec, get("exponet").spec
    fusing = [Clean("Mertens", fusion, lambda frames: exposure_fusion(frames, floor=1e-5))]
    curves = [
        Clean("unchanged", correction, lambda frames: frames[0]),
        Clean("gamma 0.7", correction, lambda frames: frames[0] ** 0.7),
        Clean("gamma 1.4", correction, lambda frames: frames[0] ** 1.4),
    ]
    found = [
        *judge(_as_networks(fusing), folder_scenes(source, fusion, Skipped()), LONGEST),
        *judge(_as_networks(curves), embedded_scenes(1), LONGEST),
    ]
    for report in found:
        rows: list[dict[str, Any]] = [
            {"look": row.look, "worst": row.value, "picture": row.picture} for row in report.rows
        ]
        print(f"{report.model}\n{table(rows, ('look', 'worst', 'picture'))}\n")


def _as_networks(methods: Sequence[Clean]) -> list[Contestant]:
    return [cast(Contestant, method) for method in methods]


if __name__ == "__main__":
    main()
