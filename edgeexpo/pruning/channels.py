"""Search for the channels of a network that belong together and must be removed together.

This is the dependency graph of G. Fang et al., "DepGraph: Towards any structural pruning", CVPR
2023, read from the ``torch.export`` program. Torch-Pruning 1.6.1 reads it from autograd. Autograd
does not record concatenated pictures, the factor of a pixel shuffle, or a broadcast. Torch-Pruning
also treats every operator that it does not know as elementwise.

Here every channel of every tensor and parameter carries a label. The rule of each operator says
which labels are the same. A label is never removed if it reaches the input, the output, or an
operator without a rule.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind
from torch.fx import Node

from edgeexpo.errors import ModuleError
from edgeexpo.program.capture import CAPTURE_ERRORS, check_forward
from edgeexpo.program.source import find_source
from edgeexpo.program.values import tensor_of
from edgeexpo.pruning.channel_rules import (
    RULES,
    Labels,
    Rule,
    UnfitError,
    count_of,
    item,
    unknown_operator,
)

Axis = tuple[str, int]
"""An axis of a parameter or buffer: (name, axis number)."""


@dataclass(frozen=True)
class Block:
    """A set of units that touch the same axes. Any of its units may be kept or removed.

    A unit is a set of channels that must be removed together.

    Attributes:
        name: Layer that makes the units first, in the order of the program.
        axes: Axis -> positions that are removed with each unit, an array of units x positions.
        share: Number of channels that a unit takes from an activation, where it takes fewest.
        labels: For each unit, the label that stands for it (see :meth:`Follower.roots`).
    """

    name: str
    axes: Mapping[Axis, Labels]
    share: int
    labels: tuple[int, ...]

    @property
    def units(self) -> int:
        """Number of units in the block."""
        return len(next(iter(self.axes.values())))


@dataclass(frozen=True)
class Channels:
    """The channels of a network that may be removed, those that may not, and its layers' costs.

    Attributes:
        blocks: Blocks of units that may be removed.
        whole: Layer -> reason why some or all of its output channels are never removed.
        places: Weight -> number of multiplications of each of its entries, over all calls.
        outputs: Weight -> axis of the layer's output channels.
        shapes: Parameter or buffer -> its shape.
    """

    blocks: tuple[Block, ...]
    whole: Mapping[str, str]
    places: Mapping[str, int]
    outputs: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]


def find_channels(module: torch.nn.Module, examples: tuple[torch.Tensor, ...]) -> Channels:
    """Follow every channel of ``module`` through its program.

    Args:
        module: The network.
        examples: Its inputs, NCHW each. Their size is the one at which costs are counted.

    Raises:
        ModuleError: ``forward`` fails or cannot be traced. The message names the user's line.
    """
    check_forward(module, examples)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, examples)
    except CAPTURE_ERRORS as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:160]
        raise ModuleError(
            f"the module cannot be followed ({reason}){find_source(error)}; expected the same "
            "operations for every picture"
        ) from error
    kept = {InputKind.PARAMETER, InputKind.BUFFER}
    tied = _first_names(module)
    names = {
        spec.arg.name: tied.get(str(spec.target), str(spec.target))
        for spec in program.graph_signature.input_specs
        if spec.kind in kept and spec.target is not None
    }
    follower = Follower(names)
    for node in program.graph.nodes:
        follower.follow(node)
    return follower.result(_layers(module))


def _first_names(module: torch.nn.Module) -> dict[str, str]:
    """Return every parameter's name -> its first name. Tied parameters have several names."""
    first: dict[int, str] = {}
    named = list(module.named_parameters(remove_duplicate=False))
    return {name: first.setdefault(id(value), name) for name, value in named}


def _layers(module: torch.nn.Module) -> list[str]:
    return [n for n, m in module.named_modules() if next(m.children(), None) is None]


class Follower:
    """Labels of the channels (axis 1) of activations and of every axis of parameters.

    Call :meth:`follow` with every node in order, then :meth:`result`. Labels that are the same
    form a union-find forest: one of them, the root, stands for all.

    Args:
        names: Name of a parameter's or buffer's node -> name of the parameter or buffer.
        rules: Operator name -> rule. An operator without a rule fixes its operands' channels.
    """

    def __init__(self, names: Mapping[str, str], rules: Mapping[str, Rule] = RULES) -> None:
        self._names, self._rules = names, rules
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._channels: dict[Node, Any] = {}
        self._axes: dict[Node, list[Labels]] = {}
        self._parameters: dict[str, list[Labels]] = {}
        self._activations: list[Labels] = []
        self._places: dict[str, int] = {}
        self._outputs: dict[str, int] = {}

    def follow(self, node: Node) -> None:
        """Give the result of ``node`` its labels."""
        if node.op in ("placeholder", "get_attr"):
            self._place(node)
        elif node.op == "output":
            for source in node.all_input_nodes:
                self.fix(source, "it reaches the output")
        elif node.op == "call_function" and node.meta.get("val") is not None:
            self._channels[node] = self._follow(node)

    def _follow(self, node: Node) -> Any:
        schema = getattr(node.target, "_schema", None)
        name = "" if schema is None else schema.name.removeprefix("aten::")
        rule = item if node.target is operator.getitem else self._rules.get(name, unknown_operator)
        if tensor_of(node) is None and not isinstance(node.meta["val"], (list, tuple)):
            return unknown_operator(self, node)  # a number, such as a size
        try:
            labels = rule(self, node)
        except UnfitError:
            return unknown_operator(self, node)
        fits = not isinstance(labels, np.ndarray) or len(labels) == count_of(node.meta["val"])
        return labels if fits else unknown_operator(self, node)

    def _place(self, node: Node) -> None:
        value = tensor_of(node)
        if value is None:
            return
        name = self._names.get(node.name)
        if name is None:
            self._channels[node] = self.fresh(count_of(value))
            self.fix(node, "it is combined with an input")
            return
        self._axes[node] = self._parameters.setdefault(name, [self.fresh(n) for n in value.shape])

    def fresh(self, number: int) -> Labels:
        """Return ``number`` new labels."""
        start = len(self._parents)
        self._parents.extend(range(start, start + number))
        return np.arange(start, start + number)

    def root(self, label: int) -> int:
        """Return the label that stands for all labels joined with ``label``."""
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label

    def join(self, first: Labels, second: Labels) -> Labels:
        """Join each label of ``first`` with the label of ``second`` at the same place.

        Returns:
            The labels ``first``.

        Raises:
            UnfitError: The shapes differ.
        """
        if first.shape != second.shape:
            raise UnfitError
        for a, b in zip(first.flat, second.flat, strict=True):
            self._parents[self.root(int(a))] = self.root(int(b))
        return first

    def fix(self, node: Node, reason: str) -> None:
        """Note that no channel of ``node`` (a parameter or an activation) may be removed."""
        labels = self._axes.get(node, self._channels.get(node))
        if labels is not None:
            self.fix_labels(labels, reason)

    def fix_labels(self, labels: Labels | Sequence[Labels], reason: str) -> None:
        """Note that no channel with one of ``labels`` may be removed, and the reason."""
        for part in [labels] if isinstance(labels, np.ndarray) else labels:
            for label in part.flat:
                self._reasons.setdefault(int(label), reason)

    def constant(self, number: int) -> Labels:
        """Return fixed labels for channels whose number is a constant in ``forward``."""
        made = self.fresh(number)
        self.fix_labels(made, "its number of channels is written in forward")
        return made

    def channels(self, node: Any) -> Labels:
        """Return the labels of an activation's channels, or of a parameter used as activation.

        Raises:
            UnfitError: ``node`` is not one activation, or has no axes.
        """
        if node in self._axes:
            axes = self._axes[node]
            if not axes:  # a parameter that is one number
                raise UnfitError
            return axes[1] if len(axes) > 1 else axes[0]
        labels = self._channels.get(node)
        if not isinstance(labels, np.ndarray):
            raise UnfitError
        return labels

    def parts(self, node: Any) -> Sequence[Labels]:
        """Return the labels of the channels of each result of an operator with several results.

        Raises:
            UnfitError: ``node`` has one result.
        """
        labels = self._channels.get(node)
        if not isinstance(labels, list):
            raise UnfitError
        return labels

    def weight(self, node: Any, axis: int) -> Labels:
        """Return the labels of one axis of a parameter.

        Raises:
            UnfitError: ``node`` is not a parameter.
        """
        if node not in self._axes:
            raise UnfitError  # forward computes this weight, so its shape cannot be narrowed
        return self._axes[node][axis]

    def aligned(self, node: Any, axis: int, rank: int) -> Labels | None:
        """Return the labels of the axis of ``node`` that broadcasting aligns with ``axis``.

        Args:
            node: An operand, a parameter or an activation.
            axis: Axis of the operator's result.
            rank: Rank of the operator's result.

        Returns:
            The labels, or ``None`` if ``node`` has no such axis or is a number.

        Raises:
            UnfitError: The axis is not the channel axis of an activation.
        """
        value = tensor_of(node)
        if value is None:
            return None
        own = axis - (rank - value.dim())
        if own < 0:
            return None
        if node in self._axes:
            labels: Labels = self._axes[node][own]
            return labels
        if own != 1:
            raise UnfitError
        return self.channels(node)

    def roots(self, node: Node) -> list[int]:
        """Return the root label of each channel of ``node``, an empty list if not an activation."""
        labels = self._channels.get(node)
        return [self.root(int(x)) for x in labels] if isinstance(labels, np.ndarray) else []

    def fixed(self, labels: Labels) -> bool:
        """Return true if all of ``labels`` have been fixed so far."""
        fixed = {self.root(label) for label in self._reasons}
        return all(self.root(int(label)) in fixed for label in labels.flat)

    def cost(self, weight: Any, places: int, axis: int, *activations: Labels) -> None:
        """Note the cost of one call of a layer.

        Args:
            weight: Node of the layer's weight.
            places: Number of multiplications of each entry of the weight.
            axis: Axis of the weight that counts the output channels.
            activations: Labels of the channels that the layer reads and makes.
        """
        name = self._names[weight.name]
        self._outputs[name] = axis
        self._places[name] = self._places.get(name, 0) + places
        self._activations.extend(activations)

    def result(self, layers: Sequence[str]) -> Channels:
        """Return the channels of the network, after every node has been followed.

        Args:
            layers: Names of layers whose reasons are wanted, in the order of the result.
        """
        reasons: dict[int, str] = {}
        for label, reason in self._reasons.items():
            reasons.setdefault(self.root(label), reason)
        units: dict[int, dict[Axis, list[int]]] = {}
        whole: dict[str, str] = {}
        for name, axes in self._parameters.items():
            for axis, labels in enumerate(axes[:2]):
                for position, label in enumerate(labels):
                    root = self.root(int(label))
                    if root not in reasons:
                        units.setdefault(root, {}).setdefault((name, axis), []).append(position)
                    elif self._outputs.get(name) == axis:
                        whole.setdefault(name.rpartition(".")[0], reasons[root])
        return Channels(
            tuple(self._blocks(units)),
            {layer: whole[layer] for layer in layers if layer in whole},
            self._places,
            self._outputs,
            {name: tuple(len(axis) for axis in axes) for name, axes in self._parameters.items()},
        )

    def _blocks(self, units: Mapping[int, dict[Axis, list[int]]]) -> list[Block]:
        seen: dict[int, int] = {}
        for labels in self._activations:
            roots, counts = np.unique([self.root(int(x)) for x in labels], return_counts=True)
            for root, share in zip(roots.tolist(), counts.tolist(), strict=True):
                seen[root] = min(share, seen.get(root, share))
        grouped: dict[tuple[tuple[Axis, int], ...], list[int]] = {}
        for root, axes in units.items():
            signature = tuple((axis, len(places)) for axis, places in axes.items())
            if root in seen:
                grouped.setdefault(signature, []).append(root)
        return [
            Block(
                name=signature[0][0][0].rpartition(".")[0],
                axes={a: np.array([units[r][a] for r in roots]) for a, _ in signature},
                share=min(seen[r] for r in roots),
                labels=tuple(roots),
            )
            for signature, roots in grouped.items()
        ]
