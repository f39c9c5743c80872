"""What needs no network, measured beside every network: name -> function of the scene."""

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
"""For networks of several frames. ``Mertens`` is :func:`edgeexpo.imaging.fusion.exposure_fusion`,
which a test holds equal to OpenCV's ``createMergeMertens``."""

ONE: Mapping[str, Baseline] = MappingProxyType({"the input": lambda scene: scene.frames[0]})
"""For networks of one frame."""

RADIANCE: Mapping[str, Baseline] = MappingProxyType(
    {"the input, linearised": lambda scene: linearised(scene.frames[0])}
)
"""For networks that give radiance."""

Y0 = ("y0, fitted response", "y0, sRGB response")
"""What an interpolation network is to beat; it starts from the first."""


def baselines(scene: Scene) -> dict[str, Picture]:
    """Every baseline that applies to a scene, each HxWx3 float32."""
    table = SEVERAL if len(scene.frames) > 1 else ONE
    if scene.truth_kind == "radiance":
        table = RADIANCE
    found = {name: method(scene) for name, method in table.items()}
    return {name: picture for name, picture in found.items() if picture is not None}
