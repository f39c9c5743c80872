"""Cross-layer equalisation: the same float network, with channels of like range.

Activations share one scale per tensor, so a channel of small range gets few of its 256 steps.
Where nothing but positively homogeneous operators (``f(a x) = a f(x)`` for ``a > 0``: ReLUs, sums
of what is scaled alike, concatenation, pooling, a gate) lies between the layers that make a channel
and those that read it, it can be divided by any positive number in the first and multiplied in the
second without changing the network. M. Nagel et al., "Data-free quantization through weight
equalization and bias correction", ICCV 2019; here with the range that calibration pictures show
instead of the first layer's weights, since weights have one scale per channel anyway, and over all
that :mod:`edgeexpo.pruning.channels` finds to belong together: skips, sums, shared weights.

How much of the difference moves to the weights that read a channel is the migration strength of
G. Xiao et al., "SmoothQuant", ICML 2023: at 0 these weights get the same range, at 1 the channels
do. More than half mostly pays here: few pixels reach the ends of a feature's range, and rounding
a feature costs more than rounding a weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.program.capture import Program, recapture
from edgeexpo.pruning.channel_rules import RULES, Labels, Rule, UnfitError, argument, count_of
from edgeexpo.pruning.channels import Block, Channels, Follower

_ATEN = torch.ops.aten
_CONVOLUTIONS = (_ATEN.conv2d.default, _ATEN.conv_transpose2d.input)
_RELUS = (_ATEN.relu.default, _ATEN.relu_.default)
_SMALLEST = 1e-6
STRENGTH, BALANCED = 0.75, 0.5
"""Migration strengths: the default, and what gives channels and their readers like ranges."""

_QUIETEST = 1 / 32
"""Channels quieter than this share of the loudest count as this loud: a channel that calibration
hardly excites must not be blown up to where another picture would saturate it."""


def equalize(
    program: Program, calibration: Sequence[tuple[torch.Tensor, ...]], strength: float = STRENGTH
) -> Program:
    """Rescale the channels between layers; the result computes the same pictures.

    Args:
        program: The float program; it is not changed.
        calibration: NCHW inputs of the program.
        strength: Migration strength, 0 to 1.
    """
    module = program.exported.module()
    follower = _followed(module)
    found = follower.result(())
    if not found.blocks:
        return program
    _own_parameters(module)
    largest = _Largest(module, follower)
    with torch.no_grad():
        for inputs in calibration:
            largest.run(*inputs)
        for block in found.blocks:
            _rescale(module, found, block, largest.of(block), strength)
    return recapture(program, module, program.precision)


def find_groups(module: GraphModule) -> tuple[Block, ...]:
    """The channels of a float program that can be rescaled, those of like role together."""
    return _followed(module).result(()).blocks


def _followed(module: GraphModule) -> Follower:
    names = {n.name: str(n.target) for n in module.graph.nodes if n.op == "get_attr"}
    follower = Follower(names, _HOMOGENEOUS)
    for node in module.graph.nodes:
        follower.follow(node)
    return follower


class _Largest(Interpreter):
    """Runs the program and keeps the largest magnitude of every channel that can be rescaled."""

    def __init__(self, module: GraphModule, follower: Follower) -> None:
        super().__init__(module)
        self._found: dict[int, float] = {}
        self._roots = {n: follower.roots(n) for n in module.graph.nodes if not _hidden(n)}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if roots := self._roots.get(n):
            axes = [axis for axis in range(result.dim()) if axis != 1]
            for root, value in zip(roots, result.abs().amax(axes).tolist(), strict=True):
                self._found[root] = max(value, self._found.get(root, 0.0))
        return result

    def of(self, block: Block) -> torch.Tensor:
        """Largest magnitude of every unit."""
        return torch.tensor([self._found[label] for label in block.labels])


def _hidden(node: Node) -> bool:
    """True for a convolution that is fused with the ReLU after it: only that one is rounded."""
    users = list(node.users)
    return node.target in _CONVOLUTIONS and len(users) == 1 and users[0].target in _RELUS


def _rescale(
    module: GraphModule, found: Channels, block: Block, largest: torch.Tensor, strength: float
) -> None:
    reading = {axis: places for axis, places in block.axes.items() if not _makes(found, *axis)}
    if not reading:
        return
    after = torch.stack(
        [_parts(module, *axis, places).abs().amax((0, 2)) for axis, places in reading.items()]
    ).amax(0)
    factor = _audible(largest).pow(strength) / _audible(after).pow(1 - strength)
    for (name, axis), places in block.axes.items():
        by = factor if (name, axis) in reading else 1 / factor
        _multiply(module, name, axis, places, by)


def _makes(found: Channels, name: str, axis: int) -> bool:
    """True when a parameter's axis counts what its layer makes; biases have no other."""
    return found.outputs.get(name, axis) == axis


def _parts(module: GraphModule, name: str, axis: int, places: Labels) -> torch.Tensor:
    """Positions x units x the rest of a parameter."""
    values = _parameter(module, name).transpose(0, axis).flatten(1)
    return values[torch.from_numpy(places.T.copy())]


def _multiply(
    module: GraphModule, name: str, axis: int, places: Labels, factor: torch.Tensor
) -> None:
    values = _parameter(module, name).transpose(0, axis)
    shape = (-1, *[1] * (values.dim() - 1))
    for position in places.T:
        index = torch.from_numpy(position.copy())
        values[index] = values[index] * factor.reshape(shape)


def _audible(ranges: torch.Tensor) -> torch.Tensor:
    return ranges.clamp_min(max(_SMALLEST, _QUIETEST * float(ranges.max())))


def _parameter(module: GraphModule, name: str) -> torch.Tensor:
    """The values of a parameter, to be changed in place."""
    owner, _, own = name.rpartition(".")
    value: torch.Tensor = getattr(module.get_submodule(owner), own)
    return value.data


def _own_parameters(module: GraphModule) -> None:
    """Replace the parameters and buffers, which are the program's, by copies."""
    for owner in module.modules():
        for name, value in list(owner._parameters.items()):
            if value is not None:
                copy = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
                setattr(owner, name, copy)
        for name, buffer in list(owner._buffers.items()):
            if buffer is not None:
                owner._buffers[name] = buffer.clone()


def _dense(follower: Follower, node: Node) -> Any:
    """Convolutions without groups: of grouped ones, one axis would be made and read at once."""
    if int(argument(node, 6, 1)) != 1:
        raise UnfitError
    return RULES[_name(node)](follower, node)


def _sum(follower: Follower, node: Node) -> Any:
    """Sums of what has as many channels: a part that is not scaled keeps the whole as it is."""
    rank = node.meta["val"].dim()
    operands = [follower.aligned(a, 1, rank) if isinstance(a, Node) else None for a in node.args]
    first, second = operands[:2]
    if first is None or second is None:
        raise UnfitError
    return follower.join(first, second)


def _product(follower: Follower, node: Node) -> Any:
    """A factor that stays as it is, a gate or a number, scales what is scaled alike."""
    first, second = node.args[:2]
    for features, gate in ((first, second), (second, first)):
        if isinstance(gate, Node) and not follower.fixed(follower.channels(gate)):
            continue
        labels = follower.channels(features)
        if len(labels) == count_of(node.meta["val"]):
            return labels
    raise UnfitError


def _zero_padding(follower: Follower, node: Node) -> Any:
    if argument(node, 2, 0) != 0:
        raise UnfitError
    return RULES["constant_pad_nd"](follower, node)


def _name(node: Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


# fmt: off
_SCALED_ALIKE = (
    "relu", "relu_", "leaky_relu", "leaky_relu_", "clone", "contiguous", "detach", "alias",
    "dropout", "avg_pool2d", "max_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "upsample_bilinear2d", "upsample_nearest2d", "upsample_nearest_exact2d", "reflection_pad2d",
    "replication_pad2d", "mean", "amax", "cat", "pixel_shuffle", "linear", "chunk", "expand",
)
# fmt: on

_HOMOGENEOUS: Mapping[str, Rule] = MappingProxyType(
    {
        **{name: RULES[name] for name in _SCALED_ALIKE},
        **dict.fromkeys(("conv2d", "conv_transpose2d"), _dense),
        **dict.fromkeys(("add", "add_", "sub", "sub_"), _sum),
        **dict.fromkeys(("mul", "mul_"), _product),
        "constant_pad_nd": _zero_padding,
    }
)
"""Operators that give a multiple of their result for a positive multiple of a channel."""
