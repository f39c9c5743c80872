"""The stages before and after the network: data in the bundle, executed here in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeexpo.errors import BundleError
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.interpolation import intermediate
from edgeexpo.spec import ModelSpec

Frames = Sequence[np.ndarray]


def front(spec: ModelSpec, frames: Frames, ev: float | None) -> dict[str, np.ndarray]:
    """Turn frames into the network's inputs.

    Args:
        spec: The model; its ``front`` names the stage, ``None`` hands the frames over as they are.
        frames: HxWx3 float32, sRGB in [0,1], in the order of ``spec.frames``.
        ev: log2 of the exposure ratio of the last and the first frame; ``None`` when unknown.

    Returns:
        HxWxC float32 by input name.

    Raises:
        BundleError: The stage is not one that this version knows.
    """
    if spec.front is None:
        return {t.name: f for t, f in zip(spec.inputs, frames, strict=True)}
    stage = _known(FRONT, spec.front.kind)
    return {spec.inputs[0].name: stage(frames, ev, spec.front.parameters)}


def back(spec: ModelSpec, output: np.ndarray, frames: Frames, fuse: bool = True) -> np.ndarray:
    """Turn the network's output into the picture.

    Args:
        spec: The model; its ``back`` names the stage.
        output: HxWxC float32, what the network gave.
        frames: HxWx3 float32, sRGB in [0,1], in the order of ``spec.frames``.
        fuse: False hands the network's output over as it is.

    Raises:
        BundleError: The stage is not one that this version knows.
    """
    if spec.back is None or not fuse:
        return output
    picture: np.ndarray = _known(BACK, spec.back.kind)(output, frames, spec.back.parameters)
    return picture


def _intermediate(frames: Frames, ev: float | None, parameters: Mapping[str, Any]) -> np.ndarray:
    under, over = frames
    return intermediate(under, over, ev=ev, **parameters)


def _exposure_fusion(
    output: np.ndarray, frames: Frames, parameters: Mapping[str, Any]
) -> np.ndarray:
    under, over = frames
    return exposure_fusion([under, output, over], **parameters)


FRONT: Mapping[str, Callable[[Frames, float | None, Mapping[str, Any]], np.ndarray]] = {
    "intermediate": _intermediate,
}
BACK: Mapping[str, Callable[[np.ndarray, Frames, Mapping[str, Any]], np.ndarray]] = {
    "exposure-fusion": _exposure_fusion,
}


def _known(stages: Mapping[str, Any], kind: str) -> Any:
    if kind not in stages:
        raise BundleError(
            f"the bundle needs the stage {kind!r}; this edgeexpo knows {', '.join(stages)}: "
            "install the version that exported it"
        )
    return stages[kind]
