"""Rules that say what each ATen operator does with channels, for :mod:`.channels`.

Every operator has one rule. A rule returns the labels of the channels that the operator makes.
An operator without a rule keeps all channels of its operands. So does an operator that is used in
a way that its rule does not cover.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch.fx import Node

from edgeexpo.program.source import node_source
from edgeexpo.program.values import CHANNEL, channels_of, reads_only_shape, tensor_of, tensors_of

if TYPE_CHECKING:
    from edgeexpo.pruning.channels import Follower

Labels = NDArray[np.int64]
"""Labels of channels, one integer a channel. Channels that belong together share a label."""

Rule = Callable[["Follower", Node], Any]
"""A rule: (follower, node) -> labels of the node's channels, or a list of labels if it has several
results. A rule raises :class:`UnfitError` where it does not apply."""


class UnfitError(Exception):
    """Raised by a rule that does not cover this use of its operator."""


def unknown_operator(follower: Follower, node: Node) -> Any:
    """Fix all channels of the operands and of the result, so that none is removed.

    Returns:
        New labels of the result's channels. ``None`` if the result is a number, such as a size.
    """
    if reads_only_shape(node):
        return None
    place = node_source(node)
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    reason = f"{name} mixes its channels{f' at {place}' if place else ''}"
    for source in node.all_input_nodes:
        follower.fix(source, reason)
    value = node.meta.get("val")
    if isinstance(value, (list, tuple)):
        made: Any = [follower.fresh(count_of(part)) for part in value]
    elif tensor_of(node) is None:
        return None
    else:
        made = follower.fresh(count_of(value))
    follower.fix_labels(made, reason)
    return made


def count_of(value: Any) -> int:
    """Return the number of channels of a tensor, 1 if it has no channel axis."""
    number = channels_of(value)
    return 1 if number is None else number


def argument(node: Node, position: int, default: Any = None) -> Any:
    """Return an operator's argument that was given by position or by name, else ``default``."""
    if len(node.args) > position:
        return node.args[position]
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    return node.kwargs.get(names[position], default)


def _axis(node: Node, position: int, default: int = 0) -> int:
    rank = _rank(node.args[0])
    return int(argument(node, position, default)) % rank


def _rank(node: Any) -> int:
    found = tensors_of(node) if isinstance(node, Node) else []
    if not found:
        raise UnfitError
    return found[0].dim()


def _check_batched(node: Node) -> None:
    """Check that a 2-D operator reads NCHW. In CHW, axis 1 counts rows.

    Raises:
        UnfitError: The operand has another rank.
    """
    if _rank(node.args[0]) != CHANNEL + 3:
        raise UnfitError


def _same(follower: Follower, node: Node) -> Labels:
    """Follow a 2-D operator that computes every channel by itself, such as pooling."""
    _check_batched(node)
    return follower.channels(node.args[0])


def _padding(follower: Follower, node: Node) -> Labels:
    """Follow a padding of places, not of channels."""
    widths: Any = argument(node, 1)
    if len(widths) > 2 * (_rank(node.args[0]) - CHANNEL - 1):
        raise UnfitError
    return follower.channels(node.args[0])


def _pointwise(follower: Follower, node: Node) -> Labels:
    """Follow an elementwise operator, with broadcasting.

    An operand with one channel, or without a channel axis, ties no channels of the others together.
    """
    rank, number = _rank(node), count_of(node.meta["val"])
    if rank <= CHANNEL:
        raise UnfitError
    made: Labels | None = None
    for operand in node.all_input_nodes:
        labels = follower.aligned(operand, CHANNEL, rank)
        if labels is not None and len(labels) == number:
            made = labels if made is None else follower.join(made, labels)
    return follower.constant(number) if made is None else made


def _convolution(follower: Follower, node: Node, transposed: bool = False) -> Labels:
    """Follow a convolution, which may be transposed, grouped or depthwise.

    In a grouped convolution, channels at the same place in every group belong together. In a
    depthwise convolution, an input channel belongs together with all output channels made from it.
    """
    if _rank(node.args[0]) != _rank(node.args[1]):
        raise UnfitError  # without a batch axis, axis 1 counts rows
    groups = int(argument(node, 6, 1))
    x, weight = follower.channels(node.args[0]), node.args[1]
    first, second = follower.weight(weight, 0), follower.weight(weight, 1)
    if groups == 1:
        sources, made = (first, second) if transposed else (second, first)
        follower.join(sources, x)
    elif groups == len(x):  # in a depthwise weight only the first axis counts groups
        times = len(second) if transposed else len(first) // groups
        made = np.repeat(x, times)
        follower.join(first, x if transposed else made)
        follower.fix_labels(second, "a depthwise convolution has one input a group")
    else:
        inside, outside = (first, second) if transposed else (second, first)
        _alike(follower, x, groups)
        _alike(follower, first, groups)
        if transposed:
            follower.join(inside, x)
            made = np.tile(outside, groups)
        else:
            follower.join(inside, x[: len(inside)])
            made = outside
    _bias(follower, argument(node, 2), made)
    outputs = 1 if transposed and groups < len(x) else 0
    follower.cost(weight, _places(node, transposed), outputs, x, made)
    return made


def _alike(follower: Follower, labels: Labels, groups: int) -> None:
    parts = labels.reshape(groups, -1)
    for part in parts[1:]:
        follower.join(parts[0], part)


def _bias(follower: Follower, bias: Any, made: Labels) -> None:
    if bias is not None:
        follower.join(follower.weight(bias, 0), made)


def _places(node: Node, transposed: bool) -> int:
    shape = (node.args[0] if transposed else node).meta["val"].shape  # type: ignore[union-attr]
    return int(np.prod([shape[0], *shape[2:]]))


def _transposed(follower: Follower, node: Node) -> Labels:
    return _convolution(follower, node, transposed=True)


def _linear(follower: Follower, node: Node) -> Labels:
    if _rank(node) != CHANNEL + 1:
        raise UnfitError
    x, weight = follower.channels(node.args[0]), node.args[1]
    made = follower.weight(weight, 0)
    follower.join(follower.weight(weight, 1), x)
    _bias(follower, argument(node, 2), made)
    follower.cost(weight, int(node.meta["val"].shape[0]), 0, x, made)
    return made


def _normalisation(follower: Follower, node: Node) -> Labels:
    """Follow batch or instance normalisation: scale, shift, mean and variance go with a channel."""
    x = follower.channels(node.args[0])
    for parameter in node.args[1:5]:
        if isinstance(parameter, Node):
            follower.join(follower.weight(parameter, 0), x)
    return x


def _prelu(follower: Follower, node: Node) -> Labels:
    x = follower.channels(node.args[0])
    slopes = follower.weight(node.args[1], 0)
    return x if len(slopes) == 1 else follower.join(x, slopes)


def _concatenation(follower: Follower, node: Node) -> Labels:
    parts: Any = node.args[0]
    labels = [follower.channels(part) for part in parts]
    if int(argument(node, 1, 0)) % _rank(parts[0]) == CHANNEL:
        return np.concatenate(labels)
    for other in labels[1:]:
        follower.join(labels[0], other)
    return labels[0]


def _reduction(follower: Follower, node: Node) -> Labels:
    axes: Any = argument(node, 1)
    rank = _rank(node.args[0])
    reduced = {int(a) % rank for a in ([axes] if isinstance(axes, int) else axes or range(rank))}
    if reduced & {0, CHANNEL}:
        raise UnfitError
    return follower.channels(node.args[0])


def _over_places(position: int) -> Rule:
    """Return a rule for an operator along one axis, which must be spatial.

    ``position`` is that of the axis among the operator's arguments.
    """

    def rule(follower: Follower, node: Node) -> Labels:
        if _axis(node, position) <= CHANNEL:
            raise UnfitError
        return follower.channels(node.args[0])

    return rule


def _expansion(follower: Follower, node: Node) -> Labels:
    x, number = follower.channels(node.args[0]), count_of(node.meta["val"])
    if _rank(node) != _rank(node.args[0]):
        raise UnfitError
    return x if len(x) == number else follower.constant(number)


def _reshaping(follower: Follower, node: Node) -> Labels:
    """Follow a reshape that keeps batch and channels, as between NxCx1x1 and NxC."""
    before, after = tensor_of(node.args[0]), tensor_of(node)
    number = channels_of(before)
    if before is None or after is None or number is None or number != channels_of(after):
        raise UnfitError
    if before.shape[0] != after.shape[0]:
        raise UnfitError
    return follower.channels(node.args[0])


def _shuffle(follower: Follower, node: Node) -> Labels:
    """Follow a pixel shuffle, which makes one channel from r*r neighbouring channels."""
    _check_batched(node)
    x = follower.channels(node.args[0]).reshape(-1, int(argument(node, 1)) ** 2)
    for column in x.T[1:]:
        follower.join(x[:, 0], column)
    return x[:, 0]


def _unshuffle(follower: Follower, node: Node) -> Labels:
    _check_batched(node)
    return np.repeat(follower.channels(node.args[0]), int(argument(node, 1)) ** 2)


def _chunks(follower: Follower, node: Node) -> list[Labels]:
    """Follow ``chunk``: it cuts channels into equal parts, so the same of each part must stay."""
    x, number = follower.channels(node.args[0]), int(argument(node, 1))
    if _axis(node, 2) != CHANNEL:
        return [x] * len(node.meta["val"])
    if len(x) % number:
        raise UnfitError
    _alike(follower, x, number)
    return list(x.reshape(number, -1))


def _splits(follower: Follower, node: Node) -> list[Labels]:
    if _axis(node, 2) == CHANNEL:  # forward contains the sizes of the parts
        raise UnfitError
    return [follower.channels(node.args[0])] * len(node.meta["val"])


def item(follower: Follower, node: Node) -> Labels:
    """Follow the selection of one result of an operator that has several."""
    source: Any = node.args[0]
    labels: Labels = follower.parts(source)[int(node.args[1])]  # type: ignore[arg-type]
    return labels


# fmt: off
_POINTWISE = (
    "relu", "relu_", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "selu_", "celu", "gelu",
    "silu", "silu_", "sigmoid", "sigmoid_", "tanh", "tanh_", "softplus", "mish", "hardtanh",
    "hardtanh_", "relu6", "hardsigmoid", "hardsigmoid_", "hardswish", "hardswish_", "clamp",
    "clamp_", "clamp_min", "clamp_max", "abs", "neg", "exp", "log", "log1p", "sqrt", "rsqrt",
    "square", "reciprocal", "round", "floor", "pow", "add", "add_", "sub", "sub_", "rsub", "mul",
    "mul_", "div", "div_", "maximum", "minimum", "where", "lerp", "clone", "contiguous", "to",
    "_to_copy", "detach", "alias", "dropout", "dropout_", "feature_dropout",
)
_SPATIAL = (
    "avg_pool2d", "max_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "upsample_bilinear2d", "upsample_nearest2d", "upsample_nearest_exact2d", "upsample_bicubic2d",
)
_PADDINGS = ("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d")
_RESHAPES = ("view", "reshape", "flatten", "unsqueeze", "squeeze", "_unsafe_view")
# fmt: on

RULES: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(_SPATIAL, _same),
    **dict.fromkeys(_PADDINGS, _padding),
    **dict.fromkeys(_RESHAPES, _reshaping),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "var"), _reduction),
    **dict.fromkeys(("conv1d", "conv2d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _transposed),
    **dict.fromkeys(("batch_norm", "instance_norm"), _normalisation),
    **dict.fromkeys(("softmax", "log_softmax", "cumsum"), _over_places(1)),
    **dict.fromkeys(("slice", "select", "narrow"), _over_places(1)),
    **dict.fromkeys(("split", "split_with_sizes"), _splits),
    "chunk": _chunks,
    "linear": _linear,
    "prelu": _prelu,
    "cat": _concatenation,
    "expand": _expansion,
    "pixel_shuffle": _shuffle,
    "pixel_unshuffle": _unshuffle,
}
"""Rules by the name of their ATen operator."""
