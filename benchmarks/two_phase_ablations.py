"""Measure the second phase of two-phase fusion on other intermediates.

    python benchmarks/two_phase_ablations.py --data BRACKETS

The data are brackets with a reference; the darkest and the brightest frame are fused. The rows are
phase 1 alone, and phase 2 on three intermediates: phase 1 (the network), the mean of the frames,
and LRL's predicted middle exposure. Phase 2 was trained only on phase 1's pictures. The last two
rows therefore show its result on a foreign intermediate, not what it could learn from one.

Everything is computed at the network's scale and applied at full size, as the runtime does. PSNR in
dB and SSIM compare with the reference, MEF-SSIM with all frames, on RGB rounded to 8 bits. Figures
are means over the brackets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from edgeexpo.evaluation.datasets import folder_scenes
from edgeexpo.evaluation.metrics import Measure
from edgeexpo.evaluation.predict import float_session
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.imaging.rendering import FUSION_RENDERING, rendered
from edgeexpo.imaging.resize import resize
from edgeexpo.models import twophase, zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.progress import track
from edgeexpo.runtime.network_size import network_size
from edgeexpo.spec import SizeRange

PRESET = "twophase-mobile"
"""Name of the network."""

METRICS = ("psnr", "ssim", "mef_ssim")
"""Metrics that are printed."""


def network() -> twophase.TwoPhase:
    """Return the shipped network with both phases."""
    entry = zoo.get(PRESET)
    module = twophase.build(PRESET)
    assert entry.weights is not None
    load_weights(module, read_weights(entry.weights), PRESET)
    fused = deployable(module)
    assert isinstance(fused, twophase.TwoPhase)
    return fused


def pictures(module: twophase.TwoPhase, scene: Scene) -> dict[str, np.ndarray]:
    """Return every variant's picture of a scene, full size, by name."""
    spec = zoo.get(PRESET).spec
    height, width = scene.frames[0].shape[:2]
    limit = SizeRange((4096, 4096), (16, 16), spec.multiple)
    size = network_size(spec, limit, height, width)
    with float_session("lrl", None) as session:
        exposure = resize(session(*scene.frames, ev=scene.ev, fuse=False), size)
    under, over = (tensor(resize(frame, size)) for frame in scene.frames)
    assert module.phase1 is not None
    assert module.phase2 is not None
    with torch.inference_mode():
        first = module.phase1(under, over)
        second = {
            "both phases": first,
            "phase 2 on the mean": (under + over) / 2,
            "phase 2 on LRL's exposure": tensor(exposure),
        }
        small = {"phase 1 alone": first}
        small |= {name: module.phase2(under, middle, over) for name, middle in second.items()}
    return {
        name: rendered(picture[0].permute(1, 2, 0).numpy(), scene.frames, FUSION_RENDERING)
        for name, picture in small.items()
    }


def tensor(picture: np.ndarray) -> torch.Tensor:
    """Convert HxWx3 to 1x3xHxW."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))


def main() -> int:
    """Print one line per variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of brackets")
    args = parser.parse_args()
    module = network()
    rows: dict[str, list[list[float | None]]] = {}
    found = [
        scene
        for scene in folder_scenes(args.data, zoo.get(PRESET).spec, Skipped())
        if scene.truth_kind == "reference"
    ]
    for scene in track(found, "Ablating"):
        measure = Measure(scene)
        for name, picture in pictures(module, scene).items():
            scores = measure(picture, picture)
            rows.setdefault(name, []).append([scores[m] for m in METRICS])
    for name, values in rows.items():
        means = np.mean(np.array(values, float), axis=0)
        print(f"{name:28}", *(f"{m} {v:.3f}" for m, v in zip(METRICS, means, strict=True)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
