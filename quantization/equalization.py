"""Cross-layer equalisation: the same float network, with channels of like range.

Activations share one scale per tensor, so a channel of small range gets few of its 256 steps.
Between convolutions with nothing but (leaky) ReLUs and concatenations between them, a channel can
be divided by any positive number before and multiplied after without changing the network. M. Nagel
et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019; here
with the range that calibration pictures show instead of the first layer's weights, since weights
have one scale per channel anyway, and with several readers, as skips need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.export.program import Program, recapture

_ATEN = torch.ops.aten
_CHANNELS: dict[Any, tuple[int, int]] = {
    _ATEN.conv2d.default: (0, 1),
    _ATEN.conv_transpose2d.input: (1, 0),
}
"""Operator -> axes of its weights that count output and input channels."""

_GROUPS: dict[Any, int] = {_ATEN.conv2d.default: 6, _ATEN.conv_transpose2d.input: 6}
"""Operator -> position of the argument that counts its groups."""

_RELUS = (_ATEN.relu.default, _ATEN.relu_.default)
_HOMOGENEOUS = frozenset((*_RELUS, _ATEN.leaky_relu.default, _ATEN.leaky_relu_.default))
_CAT = _ATEN.cat.default
_SMALLEST = 1e-6
_QUIETEST = 1 / 32
"""Channels quieter than this share of the loudest count as this loud: a channel that calibration
hardly excites must not be blown up to where another picture would saturate it."""


@dataclass(frozen=True)
class Group:
    """A convolution, all that read its channels, and where to observe their range.

    Attributes:
        first: The convolution, transposed or not.
        observed: The ReLU after it, or ``first`` itself.
        readers: Convolutions, each with the input channel at which those of ``first`` begin.
    """

    first: Node
    observed: Node
    readers: tuple[tuple[Node, int], ...]


class _NotHomogeneousError(Exception):
    """Something reads the channels that a factor would change."""


def equalize(program: Program, calibration: Sequence[tuple[torch.Tensor, ...]]) -> Program:
    """Rescale the channels between convolutions; the result computes the same pictures.

    Args:
        program: The float program; it is not changed.
        calibration: NCHW inputs of the program.
    """
    module = program.exported.module()
    groups = find_groups(module)
    if not groups:
        return program
    _own_parameters(module)
    observer = _Maxima(module, [g.observed for g in groups])
    with torch.no_grad():
        for inputs in calibration:
            observer.run(*inputs)
        for group in groups:
            _rescale(module, group, observer.found[group.observed])
    return recapture(program, module, program.precision)


def find_groups(module: GraphModule) -> list[Group]:
    """Every ungrouped convolution whose channels only such convolutions read.

    Between them there may be (leaky) ReLUs and concatenations of channels.
    """
    users: dict[str, int] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            users[str(node.target)] = users.get(str(node.target), 0) + len(node.users)
    groups = []
    for first in module.graph.nodes:
        if not _owns_weights(first, users):
            continue
        try:
            readers = tuple(_readers(first, 0, users))
        except _NotHomogeneousError:
            continue
        after = next(iter(first.users), None)
        fused = after is not None and len(first.users) == 1 and after.target in _RELUS
        groups.append(Group(first, after if after is not None and fused else first, readers))
    return groups


def _readers(node: Node, offset: int, users: dict[str, int]) -> Iterator[tuple[Node, int]]:
    for user in node.users:
        if user.target in _HOMOGENEOUS:
            yield from _readers(user, offset, users)
        elif user.target == _CAT:
            yield from _readers(user, offset + _place(user, node), users)
        elif _owns_weights(user, users) and user.args[0] is node:
            yield user, offset
        else:
            raise _NotHomogeneousError


def _place(cat: Node, source: Node) -> int:
    """The channel of ``cat`` at which those of ``source`` begin."""
    parts: Any = cat.args[0]
    if (cat.args[1] if len(cat.args) > 1 else 0) not in (1, -3) or parts.count(source) != 1:
        raise _NotHomogeneousError
    before = parts[: parts.index(source)]
    return sum(int(part.meta["val"].shape[1]) for part in before)


class _Maxima(Interpreter):
    """Runs the program and keeps the largest magnitude of every channel of some nodes."""

    def __init__(self, module: GraphModule, nodes: Sequence[Node]) -> None:
        super().__init__(module)
        self.found: dict[Node, torch.Tensor] = {}
        self._nodes = frozenset(nodes)

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n in self._nodes:
            now = result.abs().amax((0, 2, 3))
            self.found[n] = torch.maximum(self.found.get(n, now), now)
        return result


def _owns_weights(node: Node, users: dict[str, int]) -> bool:
    if node.target not in _CHANNELS:
        return False
    place = _GROUPS[node.target]
    if len(node.args) > place and node.args[place] != 1:
        return False
    parameters = [a for a in node.args[1:3] if isinstance(a, Node)]
    return all(p.op == "get_attr" and users[str(p.target)] == 1 for p in parameters)


def _rescale(module: GraphModule, group: Group, largest: torch.Tensor) -> None:
    count = len(largest)
    slices = [_incoming(module, reader, start, count) for reader, start in group.readers]
    if not slices:
        return
    after = torch.stack([part.abs().amax((1, 2, 3)) for part in slices]).amax(0)
    factor = (_audible(largest) / _audible(after)).sqrt()
    before = _parameter(module, group.first.args[1])
    before.transpose(0, _CHANNELS[group.first.target][0]).div_(factor.reshape(-1, 1, 1, 1))
    if len(group.first.args) > 2 and group.first.args[2] is not None:
        _parameter(module, group.first.args[2]).div_(factor)
    for part in slices:
        part.mul_(factor.reshape(-1, 1, 1, 1))


def _incoming(module: GraphModule, reader: Node, start: int, count: int) -> torch.Tensor:
    """The weights that read channels ``start`` to ``start + count``, those channels first."""
    weight = _parameter(module, reader.args[1])
    return weight.transpose(0, _CHANNELS[reader.target][1]).narrow(0, start, count)


def _audible(ranges: torch.Tensor) -> torch.Tensor:
    return ranges.clamp_min(max(_SMALLEST, _QUIETEST * float(ranges.max())))


def _parameter(module: GraphModule, node: Any) -> torch.Tensor:
    """The values of a parameter, to be changed in place."""
    owner, _, name = str(node.target).rpartition(".")
    value: torch.Tensor = getattr(module.get_submodule(owner), name)
    return value.data


def _own_parameters(module: GraphModule) -> None:
    """Replace the parameters, which are the program's, by copies."""
    for owner in module.modules():
        for name, value in list(owner._parameters.items()):
            if value is not None:
                copy = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
                setattr(owner, name, copy)
