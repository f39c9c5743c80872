"""A transposed convolution of stride 2 as four convolutions, by phases of rows and columns.

It writes its even and its odd rows and columns by separate taps of its kernel (W. Shi et al., "Is
the deconvolution layer the same as a convolutional layer?", arXiv:1609.07009). The same numbers are
multiplied and added, no more of them, and the results interleave.
"""

from __future__ import annotations

from collections.abc import Sequence

STRIDE = 2
PADDING = 1

Taps = list[tuple[int, int]]
"""(tap of the kernel, offset of the pixel it reads) along one axis, by rising offset."""


def doubles(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> bool:
    """Whether a transposed convolution doubles its size: what can be written as phases here.

    It has stride 2, padding 1, one group and a kernel of 3 (output padding 1) or 4 a side.

    Args:
        kernel, stride, padding, output_padding, dilation: Of rows and columns; ``padding`` may
            name both ends of each.
        groups: Their number.
    """
    return (
        len(kernel) == 2
        and set(kernel) <= {3, 4}
        and set(stride) == {STRIDE}
        and set(padding) == {PADDING}
        and list(output_padding) == [side % 2 for side in kernel]
        and set(dilation) == {1}
        and groups == 1
    )


def taps(phase: int, kernel: int) -> Taps:
    """What writes the even (phase 0) or the odd places along an axis."""
    read = ((phase + PADDING - STRIDE * offset, offset) for offset in (-1, 0, 1))
    return [(tap, offset) for tap, offset in read if 0 <= tap < kernel]
