"""Cross-layer equalisation: the same float network, with channels of similar range.

An activation has one scale for all its channels. A channel of small range therefore uses only few
of the 256 codes.

A channel can be divided by any positive number in the layer that makes it. The layers that read it
then multiply by the same number. This leaves the network's results unchanged if all operators in
between are positively homogeneous: ``f(a x) = a f(x)`` for ``a > 0``. Such operators are ReLUs,
sums of equally scaled channels, concatenation, pooling, and gates.

Source: M. Nagel et al., "Data-free quantization through weight equalization and bias correction",
ICCV 2019. There the range of a channel comes from the weights of the first layer. Here it comes
from calibration pictures, because weights have one scale for each output channel anyway. Channels
that belong together through skips, sums or shared weights are scaled together
(:mod:`edgeexpo.pruning.channels`).

The migration strength is that of G. Xiao et al., "SmoothQuant", ICML 2023. It says how much of the
difference between channels moves to the weights that read them. At 0 these weights get equal
ranges. At 1 the channels get equal ranges. Values above 0.5 are mostly better here. The reasons are
that few pixels reach the ends of a feature's range, and that rounding a feature costs more than
rounding a weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.program.capture import Program, recapture
from edgeexpo.program.values import tensor_of
from edgeexpo.pruning.channel_rules import RULES, Labels, Rule, UnfitError, argument, count_of
from edgeexpo.pruning.channels import Block, Channels, Follower

_ATEN = torch.ops.aten
_CONVOLUTIONS = (_ATEN.conv2d.default, _ATEN.conv_transpose2d.input)
_RELUS = (_ATEN.relu.default, _ATEN.relu_.default)
_SMALLEST = 1e-6
"""Smallest range of a channel or weight, so that no factor is infinite."""

STRENGTH, BALANCED = 0.75, 0.5
"""Migration strengths: the default, and the one that balances channels and their readers."""

_QUIETEST = 1 / 32
"""Smallest range of a channel, as a share of the largest range in its block.

Smaller ranges count as this share. Otherwise a channel that calibration hardly excites would be
enlarged so much that another picture saturates it.
"""


def equalize(
    program: Program, calibration: Sequence[tuple[torch.Tensor, ...]], strength: float = STRENGTH
) -> Program:
    """Return a program with rescaled channels that computes the same pictures.

    Args:
        program: The float program. It is not changed.
        calibration: Inputs of the program, NCHW each.
        strength: Migration strength, from 0 to 1.
    """
    module = program.exported.module()
    follower = _followed(module)
    found = follower.result(())
    if not found.blocks:
        return program
    _own_parameters(module)
    largest = _Largest(module, follower, found.blocks)
    with torch.no_grad():
        for inputs in calibration:
            largest.run(*inputs)
        for block in found.blocks:
            _rescale(module, found, block, largest.of(block), strength)
    return recapture(program, module, program.precision)


def find_groups(module: GraphModule) -> tuple[Block, ...]:
    """Return the blocks of channels of a float program that can be rescaled."""
    return _followed(module).result(()).blocks


def _followed(module: GraphModule) -> Follower:
    names = {n.name: str(n.target) for n in module.graph.nodes if n.op == "get_attr"}
    follower = Follower(names, _HOMOGENEOUS)
    for node in module.graph.nodes:
        follower.follow(node)
    return follower


class _Largest(Interpreter):
    """An interpreter that keeps the largest magnitude of every channel that can be rescaled.

    It leaves all other values alone: sizes, indices, masks, vectors, and features that keep their
    scale.
    """

    def __init__(self, module: GraphModule, follower: Follower, blocks: tuple[Block, ...]) -> None:
        super().__init__(module)
        self._found: dict[int, float] = {}
        scaled = {label for block in blocks for label in block.labels}
        roots = {n: follower.roots(n) for n in module.graph.nodes if not _hidden(n)}
        self._roots = {n: found for n, found in roots.items() if not scaled.isdisjoint(found)}

    def run_node(self, n: Node) -> Any:
        """Return the node's result, after noting the largest magnitude of its channels."""
        result = super().run_node(n)
        if roots := self._roots.get(n):
            axes = [axis for axis in range(result.dim()) if axis != 1]
            for root, value in zip(roots, result.abs().amax(axes).tolist(), strict=True):
                self._found[root] = max(value, self._found.get(root, 0.0))
        return result

    def of(self, block: Block) -> torch.Tensor:
        """Return the largest magnitude of every unit of ``block``, over all runs."""
        return torch.tensor([self._found[label] for label in block.labels])


def _hidden(node: Node) -> bool:
    """Return true for a convolution fused with its ReLU. Only the ReLU's result is rounded."""
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
    """Return true if a parameter's axis counts its layer's outputs. A bias's axis always does."""
    return found.outputs.get(name, axis) == axis


def _parts(module: GraphModule, name: str, axis: int, places: Labels) -> torch.Tensor:
    """Return a parameter's values as positions x units x all other entries."""
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
    """Return the values of a parameter. Changes to them change the parameter."""
    owner, _, own = name.rpartition(".")
    value: torch.Tensor = getattr(module.get_submodule(owner), own)
    return value.data


def _own_parameters(module: GraphModule) -> None:
    """Replace the module's parameters and buffers, which the program shares, by copies."""
    for owner in module.modules():
        for name, value in list(owner._parameters.items()):
            if value is not None:
                copy = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
                setattr(owner, name, copy)
        for name, buffer in list(owner._buffers.items()):
            if buffer is not None:
                owner._buffers[name] = buffer.clone()


def _dense(follower: Follower, node: Node) -> Any:
    """Follow a convolution without groups.

    In a grouped convolution, one axis of the weight would be made and read at once.
    """
    if int(argument(node, 6, 1)) != 1:
        raise UnfitError
    return RULES[_name(node)](follower, node)


def _sum(follower: Follower, node: Node) -> Any:
    """Follow a sum of two operands with as many channels.

    Both operands must be scaled alike. If one cannot be scaled, neither is.
    """
    result = tensor_of(node)
    if result is None or len(node.args) < 2:
        raise UnfitError
    first, second = (follower.aligned(a, 1, result.dim()) for a in node.args[:2])
    if first is None or second is None:
        raise UnfitError
    return follower.join(first, second)


def _product(follower: Follower, node: Node) -> Any:
    """Follow a product with a number or a gate that is not rescaled itself."""
    first, second = node.args[:2]
    for features, gate in ((first, second), (second, first)):
        if tensor_of(gate) is not None and not follower.fixed(follower.channels(gate)):
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
"""Rules of the positively homogeneous operators. All other operators keep their channels' scale."""
