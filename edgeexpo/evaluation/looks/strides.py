"""The distances at which a network's strides meet a picture of a size."""

from __future__ import annotations

from edgeexpo.runtime.network_size import network_size
from edgeexpo.spec import ModelSpec, SizeRange

LONGEST_PERIOD = 16.5
"""Longest period in pixels that is looked for. Longer ones are tones of a picture, no weave."""


def periods_of(
    spec: ModelSpec, sizes: SizeRange, height: int, width: int
) -> tuple[tuple[float, float], ...]:
    """Return the vertical and horizontal period of each stride, in pixels of the picture.

    The strides of a network are the powers of two up to the number of which its sizes are
    multiples. A network that sees a small copy has its strides there, so that they meet the
    picture at a larger distance.

    Args:
        spec: Spec of the network.
        sizes: Sizes that the engine accepts.
        height, width: Size of the picture, in pixels.
    """
    seen = spec.fixed_size or network_size(spec, sizes, height, width)
    scales = height / seen[0], width / seen[1]
    found = []
    stride = 2
    while stride <= spec.multiple:
        period = stride * scales[0], stride * scales[1]
        if min(period) >= 2 and max(period) <= LONGEST_PERIOD:
            found.append(period)
        stride *= 2
    return tuple(found)
