"""Baselines without a network, which are measured beside every network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgeexpo.evaluation.metrics import linearised
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.interpolation import intermediate

Baseline = Callable[[Scene], "Picture | None"]
"""A function from a scene to a picture, HxWx3 float32, or to ``None`` when it does not apply."""


def _mean(scene: Scene) -> Picture:
    return np.asarray(np.mean(scene.frames, axis=0), np.float32)


def _middle(scene: Scene) -> Picture | None:
    if scene.truth_kind == "middle frame" or len(scene.given) < 3:
        return None
    return scene.given[len(scene.given) // 2]


def _y0(response: str) -> Baseline:
    def predict(scene: Scene) -> Picture | None:
        if len(scene.frames) != 2:
            return None
        under, over = scene.frames
        return intermediate(under, over, ev=scene.ev, response=response, levels=255)

    return predict


def _fuse_all(scene: Scene) -> Picture | None:
    return exposure_fusion(scene.given) if len(scene.given) > len(scene.frames) else None


SEVERAL: Mapping[str, Baseline] = MappingProxyType(
    {
        "mean of the inputs": _mean,
        "darkest": lambda scene: scene.given[0],
        "middle": _middle,
        "brightest": lambda scene: scene.given[-1],
        "y0, sRGB response": _y0("srgb"),
        "y0, fitted response": _y0("fitted"),
        "Mertens, the inputs": lambda scene: exposure_fusion(scene.frames),
        "Mertens, all frames": _fuse_all,
    }
)
"""Baselines by name for networks that take several frames.

``Mertens`` is :func:`edgeexpo.imaging.fusion.exposure_fusion`. A test compares it with OpenCV's
``createMergeMertens``."""

ONE: Mapping[str, Baseline] = MappingProxyType({"the input": lambda scene: scene.frames[0]})
"""Baselines by name for networks that take one frame."""

RADIANCE: Mapping[str, Baseline] = MappingProxyType(
    {"the input, linearised": lambda scene: linearised(scene.frames[0])}
)
"""Baselines by name for networks that give radiance."""

Y0 = ("y0, fitted response", "y0, sRGB response")
"""Names of the baselines that an interpolation network has to beat.

The first is the network's own input."""


def baselines(scene: Scene) -> dict[str, Picture]:
    """Compute every baseline that applies to a scene.

    Returns:
        Pictures by name, HxWx3 float32, sRGB-encoded, [0, 1]. For scenes whose truth is radiance,
        linear radiance.
    """
    table = SEVERAL if len(scene.frames) > 1 else ONE
    if scene.truth_kind == "radiance":
        table = RADIANCE
    found = {name: method(scene) for name, method in table.items()}
    return {name: picture for name, picture in found.items() if picture is not None}
