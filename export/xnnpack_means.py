"""Means over a whole picture for XNNPACK, without the drift of long sums (executorch 1.5.1).

XNNPACK adds the pixels of a picture one after another in float32. For a flat picture of 512x512
pixels the mean is 0.3 % off, because every sum is rounded in the same direction. Two rewrites
avoid this:

- A mean of means over small blocks has short sums, and XNNPACK computes it faster. The blocks have
  to divide both sides.
- Otherwise the mean of what is left after taking the first mean off is added to it. The second sum
  is of small numbers, and its drift is a small part of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from executorch.exir.dialects._ops import ops
from torch.fx import GraphModule, Node
from torch.fx.passes.infra.pass_base import PassResult

BLOCKS = (8, 7, 6, 5, 4)
"""Sides, in pixels, of the blocks over which a mean may be taken first, best first."""

FEW = BLOCKS[0] ** 2
"""Number of values that are added without loss."""

_MEAN, _POOL = ops.edge.aten.mean.dim, ops.edge.aten.avg_pool2d.default
_SUB, _ADD = ops.edge.aten.sub.Tensor, ops.edge.aten.add.Tensor


def exact_means(module: GraphModule) -> PassResult:
    """Rewrite every float mean over height and width, in place.

    Args:
        module: A graph of the edge dialect.

    Returns:
        ``module``, and whether it was changed.
    """
    found = [node for node in module.graph.nodes if _is_global_mean(node)]
    for node in found:
        sides = node.args[0].meta["val"].shape[2:]
        blocks = list(_blocks(*sides))
        if blocks:
            _average_blocks(node, blocks)
        elif not _has_few(*sides):
            _compensate(node)
    if found:
        module.graph.lint()
        module.recompile()
    return PassResult(module, bool(found))


def _is_global_mean(node: Node) -> bool:
    if node.target != _MEAN or not isinstance(node.args[0], Node):
        return False
    value, axes = node.args[0].meta["val"], cast("list[int] | None", node.args[1])
    if value.ndim != 4 or not value.is_floating_point() or axes is None:
        return False
    integer = "dequantize" in str(node.args[0].target) and all(
        "quantize_per" in str(user.target) for user in node.users
    )
    return sorted(axis % 4 for axis in axes) == [2, 3] and not integer


def _average_blocks(mean: Node, blocks: list[int]) -> None:
    """Put averages over ``blocks`` before a mean."""
    source: Any = mean.args[0]
    pooled = source
    with mean.graph.inserting_before(mean):
        for block in blocks:
            pooled = _add(mean, _POOL, pooled, [block] * 2, [block] * 2)
    mean.replace_input_with(source, pooled)


def _compensate(mean: Node) -> None:
    """Add to a mean the mean of what it leaves."""
    source, axes, *keeps = mean.args
    with mean.graph.inserting_before(mean):
        first = _add(mean, _MEAN, source, axes, True)
        rest = _add(mean, _MEAN, _add(mean, _SUB, source, first), axes, *keeps)
        outer = first if keeps == [True] else _add(mean, _MEAN, first, axes, *keeps)
        total = _add(mean, _ADD, outer, rest)
    mean.replace_all_uses_with(total)
    mean.graph.erase_node(mean)


def _add(mean: Node, target: Any, *args: Any) -> Node:
    """Add an operator with the facts of ``mean`` and return its node."""
    node = mean.graph.call_function(target, args)
    values = [arg.meta["val"] if isinstance(arg, Node) else arg for arg in args]
    node.meta = {**mean.meta, "val": target(*values)}
    return node


def _blocks(height: Any, width: Any) -> Iterator[int]:
    """Yield the sides of blocks that divide a picture, then a picture of these blocks, and so on.

    The sides of the picture are numbers or symbols.
    """
    while not _has_few(height, width):
        block = next((b for b in BLOCKS if _divides(b, height) and _divides(b, width)), None)
        if block is None:
            return
        yield block
        height, width = height // block, width // block


def _has_few(height: Any, width: Any) -> bool:
    known = isinstance(height, int) and isinstance(width, int)
    return known and height * width <= FEW


def _divides(block: int, side: Any) -> bool:
    """Return true if ``block`` divides a side at every size that the program accepts."""
    return (side if isinstance(side, int) else side.node.expr) % block == 0
