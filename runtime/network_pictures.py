"""Conversion of samples to a network's inputs, and of its output to the displayed picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from edgeexpo.imaging.color import linear_to_srgb
from edgeexpo.imaging.guided import decode
from edgeexpo.imaging.samples import Sample
from edgeexpo.runtime.output_range import unit_range
from edgeexpo.runtime.stages import front
from edgeexpo.spec import ModelSpec


def network_inputs(spec: ModelSpec, pictures: Iterable[Sample]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the network's inputs for each sample, which its front stage makes from the frames.

    Args:
        spec: The network.
        pictures: Samples with as many frames as the network takes, HxWx3 float32, sRGB-encoded, in
            [0, 1].

    Yields:
        HxWxC float32 by input name, in the range and encoding of the input's spec.

    Raises:
        BundleError: The front stage is unknown, or its parameters are invalid.
    """
    return (front(spec, sample.frames, sample.ev) for sample in pictures)


def planar(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn pictures, HxWxC by name, into the arrays for engines, 1xCxHxW float32 by name."""
    return {
        name: np.ascontiguousarray(value.transpose(2, 0, 1)[None], np.float32)
        for name, value in inputs.items()
    }


def displayed(spec: ModelSpec, output: np.ndarray) -> np.ndarray:
    """Turn a network's output into the picture that is displayed and judged.

    Lab and linear outputs become sRGB-encoded RGB. Linear output is relative radiance, which is
    clipped to [0, 1]. Its 1 is the display's white. Other outputs are brought to [0, 1] by their
    range (:func:`edgeexpo.runtime.output_range.unit_range`).

    Args:
        spec: The network.
        output: HxWxC float32, in the range and encoding of the network's output.

    Returns:
        HxWxC float32, sRGB-encoded.
    """
    if spec.outputs[0].color == "Lab":
        return decode(output, "lab")
    if spec.outputs[0].transfer == "linear":
        return linear_to_srgb(np.clip(output, 0, 1))
    return unit_range(spec, output)
