"""Cross-layer equalisation: the same float network, with channels of like range.

Activations share one scale per tensor, so a channel of small range gets few of its 256 steps.
Between two convolutions with nothing but a ReLU between them, a channel can be divided by any
positive number before and multiplied after without changing the network. M. Nagel et al.,
"Data-free quantization through weight equalization and bias correction", ICCV 2019; here with the
range that calibration pictures show instead of the first layer's weights, since weights have one
scale per channel anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.export.program import Program, recapture

_CONVOLUTION = torch.ops.aten.conv2d.default
_RELUS = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)
_SMALLEST = 1e-6
_QUIETEST = 1 / 32
"""Channels quieter than this share of the loudest count as this loud: a channel that calibration
hardly excites must not be blown up to where another picture would saturate it."""


@dataclass(frozen=True)
class Pair:
    """Two convolutions whose channels between can be rescaled, and where to observe them."""

    first: Node
    between: Node
    second: Node


def equalize(program: Program, calibration: Sequence[tuple[torch.Tensor, ...]]) -> Program:
    """Rescale the channels between convolutions; the result computes the same pictures.

    Args:
        program: The float program; it is not changed.
        calibration: NCHW inputs of the program.
    """
    module = program.exported.module()
    pairs = find_pairs(module)
    if not pairs:
        return program
    observer = _Maxima(module, [p.between for p in pairs])
    with torch.no_grad():
        for inputs in calibration:
            observer.run(*inputs)
        for pair in pairs:
            _rescale(module, pair, observer.found[pair.between])
    return recapture(program, module, program.precision)


def find_pairs(module: GraphModule) -> list[Pair]:
    """Ungrouped convolution -> ReLU -> ungrouped convolution, each the only user of the last."""
    users: dict[str, int] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            users[str(node.target)] = users.get(str(node.target), 0) + len(node.users)
    pairs = []
    for first in module.graph.nodes:
        between = _only_user(first)
        second = None if between is None else _only_user(between)
        if between is None or second is None or between.target not in _RELUS:
            continue
        if all(_owns_weights(n, users) for n in (first, second)) and second.args[0] is between:
            pairs.append(Pair(first, between, second))
    return pairs


class _Maxima(Interpreter):
    """Runs the program and keeps the largest value of every channel of some nodes."""

    def __init__(self, module: GraphModule, nodes: Sequence[Node]) -> None:
        super().__init__(module)
        self.found: dict[Node, torch.Tensor] = {}
        self._nodes = frozenset(nodes)

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n in self._nodes:
            now = result.amax((0, 2, 3))
            self.found[n] = torch.maximum(self.found.get(n, now), now)
        return result


def _only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _owns_weights(node: Node, users: dict[str, int]) -> bool:
    if node.target != _CONVOLUTION or (len(node.args) > 6 and node.args[6] != 1):
        return False
    parameters = [a for a in node.args[1:3] if isinstance(a, Node)]
    return all(p.op == "get_attr" and users[str(p.target)] == 1 for p in parameters)


def _rescale(module: GraphModule, pair: Pair, largest: torch.Tensor) -> None:
    before = _parameter(module, pair.first.args[1])
    after = _parameter(module, pair.second.args[1])
    factor = (_audible(largest) / _audible(after.abs().amax((0, 2, 3)))).sqrt()
    before.div_(factor.reshape(-1, 1, 1, 1))
    if len(pair.first.args) > 2 and pair.first.args[2] is not None:
        _parameter(module, pair.first.args[2]).div_(factor)
    after.mul_(factor.reshape(1, -1, 1, 1))


def _audible(ranges: torch.Tensor) -> torch.Tensor:
    return ranges.clamp_min(max(_SMALLEST, _QUIETEST * float(ranges.max())))


def _parameter(module: GraphModule, node: Any) -> torch.Tensor:
    owner, _, name = str(node.target).rpartition(".")
    value: torch.Tensor = getattr(module.get_submodule(owner), name)
    fresh = value.detach().clone()
    setattr(module.get_submodule(owner), name, torch.nn.Parameter(fresh, requires_grad=False))
    return fresh
