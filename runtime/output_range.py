"""Values of a network's output, brought to the range of pictures."""

from __future__ import annotations

import numpy as np

from edgeexpo.spec import ModelSpec


def unit_range(spec: ModelSpec, output: np.ndarray) -> np.ndarray:
    """Scale an output from its ``value_range`` to [0, 1], for example codes of 0 to 255.

    Lab, radiance and outputs that are in [0, 1] already come back unchanged.

    Args:
        spec: The network; the first of its outputs says the range.
        output: The network's output, of any shape.

    Returns:
        An array of the same shape, float32 if it was scaled.
    """
    tensor = spec.outputs[0]
    low, high = tensor.value_range
    if (low, high) == (0.0, 1.0) or tensor.color == "Lab" or tensor.transfer == "linear":
        return output
    scaled = np.asarray(output, np.float32) - np.float32(low)
    return np.asarray(scaled / np.float32(high - low))
