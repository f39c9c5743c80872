"""Sizes of pictures drawn at random, on which programs and artefacts are proven."""

from __future__ import annotations

import numpy as np


def draw_size(
    generator: np.random.Generator,
    smallest: tuple[int, int],
    largest: tuple[int, int],
    longest: int,
    multiple: int,
) -> tuple[int, int]:
    """Draw a (height, width) in pixels.

    Args:
        generator: Source of the numbers.
        smallest: Smallest (height, width), multiples of ``multiple``.
        largest: Largest (height, width).
        longest: Longest side, where ``smallest`` allows it.
        multiple: Number of which both sides are multiples.
    """
    height, width = (
        int(generator.integers(low, max(low, min(high, longest)) + 1)) // multiple * multiple
        for low, high in zip(smallest, largest, strict=True)
    )
    return height, width
