"""Alignment: find for each value of an artefact the same value of the program, in both orders.

Artefacts keep names in part (ONNX, Core ML) or not at all (XNNPACK), so the numbers decide. The
program runs with the artefact's values in place of its own wherever a value was recognised. A
correct layer is then recognised by its expected value.

A faulty layer is recognised by its place: by the nearest recognised values above it and the number
of weighted operators in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch.fx import GraphModule, Node

from edgeexpo.parity.localisation.tolerances import Share, channel_error
from edgeexpo.parity.localisation.trace import COPY, WEIGHTED_KINDS, Traced, ancestors, rms
from edgeexpo.parity.localisation.trace_program import computed, node_kind, run_program
from edgeexpo.runtime.engines.base import Arrays

KIND_WEIGHT = 0.3
"""Penalty for another operator, in shares of spread, where place alone decides."""

ROUNDS = 4
"""Largest number of passes over the program."""


@dataclass(frozen=True)
class LayerPair:
    """A node of the program with the artefact's value of it.

    Attributes:
        node: The node.
        traced: The artefact's value.
        expected: The program's result for the artefact's own values above the node.
        recognised: True when the numbers identify the value; false when only its place does,
            because its numbers are wrong.
        above: Program nodes between this node and the recognised values above it.
    """

    node: Node
    traced: Traced
    expected: np.ndarray = field(repr=False)
    recognised: bool
    above: tuple[Node, ...] = ()


@dataclass
class LayerAlignment:
    """Pairs in program order, and the share of the artefact's values that they cover."""

    pairs: list[LayerPair]
    coverage: float


def align_layers(
    module: GraphModule,
    names: tuple[str, ...],
    inputs: Arrays,
    trace: Sequence[Traced],
    share: Share,
) -> LayerAlignment:
    """Pair the values of ``trace`` with the nodes of ``module``.

    Args:
        module: The program that the artefact was lowered from.
        names: Names of its inputs, in order.
        inputs: The inputs with which ``trace`` was made, NCHW float32 by name.
        trace: The artefact's values.
        share: The error up to which a value is recognised.
    """
    aligner = _Aligner(module, names, inputs, trace, share)
    for _ in range(ROUNDS):
        aligner.run()
        if not aligner.skip_next() and not aligner.place_next():
            break
    values = [t for t in trace if t.kinds != (COPY,)]
    covered = sum(t.name in aligner.known for t in values)
    return LayerAlignment(list(aligner.pairs.values()), covered / max(len(values), 1))


class _Aligner:
    def __init__(
        self,
        module: GraphModule,
        names: tuple[str, ...],
        inputs: Arrays,
        trace: Sequence[Traced],
        share: Share,
    ) -> None:
        self._share = share
        self._module, self._names, self._inputs, self._trace = module, names, inputs, trace
        inside = computed(module)
        self._nodes = [n for n in module.graph.nodes if n in inside]
        self._above = {
            n.name: ([m.name for m in n.all_input_nodes], node_kind(n)) for n in self._nodes
        }
        self._made = {t.name: (t.inputs, t.kinds[0]) for t in trace}
        self._by_shape: dict[tuple[int, ...], list[Traced]] = {}
        for traced in trace:
            if traced.kinds != (COPY,):
                self._by_shape.setdefault(traced.value.shape, []).append(traced)
        self._placed: dict[str, Traced] = {}
        self._skipped: set[str] = set()
        self._free: dict[str, np.ndarray] = {}
        self.pairs: dict[str, LayerPair] = {}
        self.known: dict[str, str] = {}

    def run(self) -> None:
        """Run the program once with the artefact's values in place of its own."""
        self.pairs, self._free = {}, {}
        self.known = {name: name for name in self._names}
        for traced in self._trace:
            self._follow_copy(traced, self.known)
        run_program(self._module, self._inputs, self._names, self._visit)

    def skip_next(self) -> bool:
        """Treat an activation as missing if the values after it are then recognised."""
        first = next(iter(self._lost()), None)
        if first is None or first.name in self._skipped or len(first.all_input_nodes) != 1:
            return False
        source = self.pairs.get(first.all_input_nodes[0].name)
        if source is None or source.expected.shape != self._free[first.name].shape:
            return False
        if node_kind(first) in WEIGHTED_KINDS:
            return False
        self._skipped.add(first.name)
        before = (self.pairs, self.known, self._free)
        self._placed[first.name] = source.traced
        self.run()
        if len(self.pairs) > len(before[0]) + 1:
            return True
        del self._placed[first.name]
        self.pairs, self.known, self._free = before
        return False

    def place_next(self) -> bool:
        """Pair the first value that has a place but wrong numbers; ``False`` when none is left."""
        lost = self._lost()
        known = {name: name for name in (*self.pairs, *self._names)}
        places = {n.name: ancestors(n.name, self._above, known) for n in lost}
        for traced in self._trace:
            if traced.name in self.known or traced.kinds == (COPY,):
                continue
            above = ancestors(traced.name, self._made, self.known)
            same = [
                n
                for n in lost
                if self._free[n.name].shape == traced.value.shape
                and (places[n.name] == above or _same_name(n, traced))
            ] or self._hidden(traced)
            if above[0] and same:
                best = min(same, key=lambda n: self._distance(n, traced))
                self._placed[best.name] = traced
                return True
        return False

    def _hidden(self, traced: Traced) -> list[Node]:
        """Return weighted nodes with the value's name, whose error an activation then hides."""
        return [
            n
            for n in self._nodes
            if n.name in self._free
            and node_kind(n) in WEIGHTED_KINDS
            and _same_name(n, traced)
            and self._free[n.name].shape == traced.value.shape
        ]

    def _follow_copy(self, traced: Traced, known: dict[str, str]) -> None:
        if traced.kinds == (COPY,) and traced.inputs and traced.inputs[0] in known:
            known[traced.name] = known[traced.inputs[0]]

    def _visit(self, node: Node, value: np.ndarray) -> np.ndarray | None:
        traced = self._placed.get(node.name)
        recognised = traced is None
        if traced is None:
            traced = self._recognise(node, value)
        if traced is None:
            self._free[node.name] = value
            return None
        self.known[traced.name] = node.name
        for other in self._trace:
            self._follow_copy(other, self.known)
        above = tuple(self._between(node))
        self.pairs[node.name] = LayerPair(node, traced, value, recognised, above)
        return traced.value

    def _recognise(self, node: Node, value: np.ndarray) -> Traced | None:
        limits = {half: self._share(node, value, half) for half in (False, True)}
        taken = {t.name for t in self._placed.values()}
        close = []
        for order, traced in enumerate(self._by_shape.get(value.shape, ())):
            if ("dequantize" in traced.kinds) != (node_kind(node) == "dequantize"):
                continue
            errors = channel_error(traced.value, value)
            error = float(errors.max())
            if bool(np.all(errors <= limits[traced.half])) and traced.name not in taken:
                kinds = traced.kinds[-1] != node_kind(node)
                used = self.known.get(traced.name) is not None
                close.append((used, not _same_name(node, traced), kinds, error, order, traced))
        return min(close)[-1] if close else None

    def _lost(self) -> list[Node]:
        """Return nodes without a recognised value after them: neither fused nor optimised away."""
        settled: set[Node] = set()
        for node in reversed(self._nodes):
            users = [u for u in node.users if u.name in self._above]
            if node.name in self.pairs or (users and all(u in settled for u in users)):
                settled.add(node)
        return [n for n in self._nodes if n not in settled and n.name in self._free]

    def _between(self, node: Node) -> list[Node]:
        """Return nodes above ``node`` for which no value was found."""
        found: list[Node] = []
        waiting = list(node.all_input_nodes)
        while waiting:
            current = waiting.pop()
            missing = current.name in self._above and current.name not in self.pairs
            if missing and current not in found:
                found.append(current)
                waiting.extend(current.all_input_nodes)
        return found

    def _distance(self, node: Node, traced: Traced) -> float:
        value = self._free[node.name]
        spread = float(value.std()) or 1.0
        error = rms(traced.value - value) / spread
        error = min(error, 2.0) if np.isfinite(error) else 2.0
        return error + KIND_WEIGHT * (traced.kinds[-1] != node_kind(node))


def _same_name(node: Node, traced: Traced) -> bool:
    """Return true for equal names of weighted operators, which exporters keep.

    Exporters number additions and similar operators anew.
    """
    if node_kind(node) not in WEIGHTED_KINDS | {"dequantize"}:
        return False
    return traced.name.removesuffix("_cast_fp16") == node.name
