"""Differences between the artefacts of one precision, independent of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from edgeexpo.imaging.pu21 import BEST_PSNR
from edgeexpo.parity.cases import PHOTOGRAPH
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.parity.metrics.tones import CODE_STEPS
from edgeexpo.parity.verdict import ArtifactParity


def agreement(results: Sequence[ArtifactParity]) -> tuple[Mapping[str, Any], ...]:
    """Return differences over photographs between artefacts of one precision.

    The artefacts have different targets, or different machines ran them.

    Args:
        results: The artefacts' results, with their outputs (HxWxC float32 in [0,1], sRGB-encoded).

    Returns:
        One row per pair: ``files``, ``precision``, ``psnr`` (worst, dB), ``steps_max`` and
        ``steps_p99``. ``steps_max`` is the largest difference of a value, in 8-bit steps.
        ``steps_p99`` is the 99th percentile over the values of a photograph, of the worst
        photograph. If a value is not finite, ``psnr`` is 0 and the steps are 255.
    """
    return tuple(
        {
            "files": [first.label, second.label],
            "precision": first.precision,
            **_worst(first, second),
        }
        for first, second in combinations(results, 2)
        if first.precision == second.precision and first.outputs and second.outputs
    )


def _worst(first: ArtifactParity, second: ArtifactParity) -> dict[str, float]:
    names = [row["name"] for row in first.per_input if row["kind"] == PHOTOGRAPH]
    found = [_difference(first.outputs[name], second.outputs[name]) for name in names]
    return {
        "psnr": min((psnr for psnr, _, _ in found), default=BEST_PSNR),
        "steps_max": max((largest for _, largest, _ in found), default=0.0),
        "steps_p99": max((most for _, _, most in found), default=0.0),
    }


def _difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0, CODE_STEPS, CODE_STEPS
    steps = np.abs(first - second) * CODE_STEPS
    return psnr(first, second), float(steps.max()), float(np.percentile(steps, 99))
