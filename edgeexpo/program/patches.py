"""Rewriting of patches as columns, ``unfold`` and ``fold``, by slices and pixel shuffles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from edgeexpo.program.replacement import call, replace_each
from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

Two = Sequence[int]
"""A number for the rows and one for the columns."""


def plain_patches(module: GraphModule) -> bool:
    """Replace ``unfold`` and ``fold`` by operators that every target has, in place.

    Core ML has no ``fold`` of patches that overlap, and torch's own decomposition writes it with
    scattered indices. Patches with gaps (stride and dilation) that are folded stay.

    Returns:
        True when ``module`` was changed.
    """
    found = [n for n in module.graph.nodes if n.target in _PLAIN and _fits(n)]
    graph = module.graph
    # The next capture of the module traces through these functions.
    return replace_each(module, found, lambda n: call(graph, _PLAIN[n.target], *n.args))


def _fits(node: Node) -> bool:
    value = tensor_of(node.args[0])
    if value is None or value.dim() != (4 if node.target == _ATEN.im2col.default else 3):
        return False
    if node.target == _ATEN.im2col.default:
        return True
    arguments: Any = node.args
    _, _, _, dilation, _, stride = arguments
    return len(set(stride)) == 1 and (set(stride) == {1} or set(dilation) == {1})


def unfolded(x: Tensor, kernel: Two, dilation: Two, padding: Two, stride: Two) -> Tensor:
    """Return the patches of pictures as columns, as :func:`torch.nn.functional.unfold` does.

    Args:
        x: Pictures, NxCxHxW.
        kernel: Height and width of a patch.
        dilation: Distance of the pixels of a patch.
        padding: Zeros around the picture.
        stride: Distance of the patches.

    Returns:
        One column for each patch, NxCKxL, with K pixels in a patch.
    """
    x = pad(x, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else x
    side = kernel[0]
    whole = all(statically_known_true(length % side == 0) for length in x.shape[2:])
    if list(kernel) == list(stride) == [side, side] and set(dilation) == {1} and whole:
        return pixel_unshuffle(x, side).flatten(2)
    taken = []
    for row in range(kernel[0]):
        rows = _taken(x, 2, row, kernel[0], dilation[0], stride[0])
        taken += [
            _taken(rows, 3, column, kernel[1], dilation[1], stride[1])
            for column in range(kernel[1])
        ]
    return torch.stack(taken, 2).flatten(1, 2).flatten(2)


def _taken(x: Tensor, axis: int, place: int, kernel: int, dilation: int, stride: int) -> Tensor:
    """Return what all patches have at one place along one axis."""
    start = place * dilation
    end = x.shape[axis] - (kernel - 1 - place) * dilation
    taken: Tensor = _ATEN.slice.Tensor(x, axis, start, end, stride)
    return taken


def folded(x: Tensor, size: Two, kernel: Two, dilation: Two, padding: Two, stride: Two) -> Tensor:
    """Add patches to pictures, as :func:`torch.nn.functional.fold` does.

    Args:
        x: One column for each patch, NxCKxL.
        size: Height and width of the pictures.
        kernel: Height and width of a patch.
        dilation: Distance of the pixels of a patch, 1 if ``stride`` is not 1.
        padding: Zeros around the picture, which are cut off.
        stride: Distance of the patches, equal for rows and columns.

    Returns:
        The pictures, NxCxHxW.
    """
    step = stride[0]
    sides = [length + 2 * p for length, p in zip(size, padding, strict=True)]
    blocks = [
        (side - d * (k - 1) - 1) // step + 1
        for side, k, d in zip(sides, kernel, dilation, strict=True)
    ]
    pixels = kernel[0] * kernel[1]
    # torch would fix sizes to know how a transposed tensor is viewed.
    x = x.contiguous() if step > 1 else x
    parts = x.reshape(x.shape[0], x.shape[1] // pixels, pixels, *blocks)
    turns = [-(-k // step) for k in kernel]
    placed = []
    for row in range(turns[0]):
        for column in range(turns[1]):
            part = _shuffled(parts, (row * step, column * step), kernel, step)
            reach = dilation if step == 1 else stride
            before = row * reach[0], column * reach[1]
            after = (turns[0] - 1 - row) * reach[0], (turns[1] - 1 - column) * reach[1]
            placed.append(pad(part, (before[1], after[1], before[0], after[0])))
    summed = placed[0] if len(placed) == 1 else torch.stack(placed).sum(0)
    for axis, side, border in zip((2, 3), sides, padding, strict=True):
        if border or not statically_known_true(summed.shape[axis] == side):
            # Patches may end up to a step before the picture.
            more = [0, 0, 0, step - 1] if axis == 2 else [0, step - 1]
            summed = pad(summed, more) if step > 1 else summed
            summed = _cut(summed, axis, border, side - 2 * border)
    return summed


def _cut(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """Return a part of an axis that is long enough, which torch cannot prove at varying sizes."""
    if isinstance(length, int) or statically_known_true(start + length <= x.shape[axis]):
        return x.narrow(axis, start, length)
    return x.index_select(axis, torch.arange(length, device=x.device) + start)


def _shuffled(parts: Tensor, start: Two, kernel: Two, step: int) -> Tensor:
    """Return a square of ``step`` x ``step`` pixels of every patch, in the patches' places.

    Args:
        parts: Patches, N x C x K x rows x columns.
        start: First row and column of the square in a patch.
        kernel: Height and width of a patch. Pixels outside are zero.
        step: Side of the square in pixels.
    """
    if step == 1:
        return parts.select(2, start[0] * kernel[1] + start[1])
    if list(kernel) == [step, step]:
        return pixel_shuffle(parts.flatten(1, 2), step)
    pixels = [
        parts.select(2, row * kernel[1] + column)
        if row < kernel[0] and column < kernel[1]
        else torch.zeros_like(parts.select(2, 0))
        for row in range(start[0], start[0] + step)
        for column in range(start[1], start[1] + step)
    ]
    return pixel_shuffle(torch.stack(pixels, 2).flatten(1, 2), step)


_PLAIN: dict[Any, Callable[..., Tensor]] = {
    _ATEN.im2col.default: unfolded,
    _ATEN.col2im.default: folded,
}
"""Operator -> function with the same arguments."""
