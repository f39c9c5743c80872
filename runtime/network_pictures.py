"""From samples to a network's inputs, and from its output to the picture that is displayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from edgeexpo.imaging.color import linear_to_srgb
from edgeexpo.imaging.guided import decode
from edgeexpo.imaging.samples import Sample
from edgeexpo.runtime.stages import front
from edgeexpo.spec import ModelSpec


def network_inputs(spec: ModelSpec, pictures: Iterable[Sample]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the network's inputs of each sample: what its front stage makes of the frames.

    Args:
        spec: The network.
        pictures: Samples with as many frames as the network takes.

    Returns:
        HxWxC float32 by input name.
    """
    return (front(spec, sample.frames, sample.ev) for sample in pictures)


def planar(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn pictures, HxWxC by name, into what engines take: 1xCxHxW float32 by name."""
    return {
        name: np.ascontiguousarray(value.transpose(2, 0, 1)[None], np.float32)
        for name, value in inputs.items()
    }


def displayed(spec: ModelSpec, output: np.ndarray) -> np.ndarray:
    """Turn a network's output, HxWxC float32, into the picture that is displayed and judged.

    Lab and linear outputs become sRGB-encoded RGB, and others stay as they are. Relative radiance
    is shown with its 1 at the display's white.
    """
    if spec.outputs[0].color == "Lab":
        return decode(output, "lab")
    if spec.outputs[0].transfer == "linear":
        return linear_to_srgb(np.clip(output, 0, 1))
    return output
