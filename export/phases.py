"""Phases of a transposed convolution of stride 2, which equals four convolutions.

A tap is an entry of the kernel along one axis. Separate taps make the even and the odd rows, and
likewise the columns. Each of the four phases is therefore a convolution, and the four results are
interleaved. The number of multiplications stays the same. Source: W. Shi et al., "Is the
deconvolution layer the same as a convolutional layer?", arXiv:1609.07009.
"""

from __future__ import annotations

from collections.abc import Sequence

STRIDE = 2
"""Stride of a transposed convolution that can be written as phases."""

PADDING = 1
"""Padding of a transposed convolution that can be written as phases, in pixels."""

Taps = list[tuple[int, int]]
"""Taps along one axis: (index in the kernel, offset of the input pixel), by rising offset."""


def doubles(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> bool:
    """Return true if a transposed convolution doubles its input's size and has phases here.

    It must be two-dimensional, with stride 2, padding 1, dilation 1 and one group. Each side of its
    kernel must be 4, or 3 with output padding 1.

    Args:
        kernel: Kernel sizes (height, width).
        stride: Strides of rows and columns.
        padding: Paddings of rows and columns, one number for each axis or for each end.
        output_padding: Output paddings of rows and columns.
        dilation: Dilations of rows and columns.
        groups: Number of groups.
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
    """Return the taps that make the even (``phase`` 0) or the odd (``phase`` 1) places of an axis.

    Args:
        phase: 0 or 1.
        kernel: Size of the kernel along the axis.
    """
    read = ((phase + PADDING - STRIDE * offset, offset) for offset in (-1, 0, 1))
    return [(tap, offset) for tap, offset in read if 0 <= tap < kernel]
