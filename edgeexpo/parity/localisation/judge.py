"""Judge one layer of an artefact: compare its error with the share that rounding explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch.fx import GraphModule, Node

from edgeexpo.parity.localisation.alignment import LayerPair
from edgeexpo.parity.localisation.diagnosis import Evidence, diagnose
from edgeexpo.parity.localisation.tolerances import Share, channel_error
from edgeexpo.parity.localisation.trace_program import (
    is_quantizer,
    is_traced_weighted,
    module_path,
    node_grid,
    place,
    unquantized,
)
from edgeexpo.program.exact_tail import operator_name


@dataclass(frozen=True)
class JudgedLayer:
    """One aligned value of the artefact, with its verdict.

    Attributes:
        node: The program's node.
        operator: The node's operator as torch calls it; ``quantize`` for the rounding of its
            result.
        module: The node's place in the user's module (``body.2``).
        source: ``file:line`` of the user's statement.
        value: The artefact's own name of the value.
        error: RMS of the artefact's value minus the program's, in the worst channel.
        share: Allowed RMS in that channel (:class:`edgeexpo.parity.localisation.tolerances.Share`).
        drift: RMS of the difference to the float program, relative to its spread; ``None`` when the
            float program has no such value.
        found: Smallest and largest value in the artefact.
        expected: Smallest and largest value in the program.
        fault: The error in words; ``None`` when it is within the share.
        error_map: Absolute error averaged over channels, HxW float32; only for faulty layers.
    """

    node: str
    operator: str
    module: str
    source: str
    value: str
    error: float
    share: float
    drift: float | None
    found: tuple[float, float]
    expected: tuple[float, float]
    fault: str | None = None
    error_map: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class LayerJudge:
    """Judges the values of one artefact.

    Attributes:
        module: The program that the artefact was lowered from.
        share: The error that rounding explains.
        sources: ``file:line`` by node name, from the manifest.
        floats: Values of the float program by node name.
    """

    module: GraphModule
    share: Share
    sources: Mapping[str, str]
    floats: Mapping[str, np.ndarray]

    def __call__(self, pair: LayerPair) -> JudgedLayer:
        """Return the layer of ``pair``, with its error in words if it exceeds its share."""
        found, expected = pair.traced.value, pair.expected
        error = channel_error(found, expected)
        allowed = np.broadcast_to(self.share(pair.node, expected, pair.traced.half), error.shape)
        worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf) - allowed))
        culprit = _culprit(pair)
        weighted = is_traced_weighted(culprit)
        grid, stored = node_grid(pair.node), pair.traced.grid
        ranges = grid is None or stored is None or stored.is_like(grid)
        left = not ranges or not bool(np.all(error <= allowed))
        bias = self._bias(culprit) if weighted else None
        fault = None
        if left:
            fault = diagnose(Evidence(found, expected, allowed, stored, grid, bias))
        rounding = is_quantizer(pair.node) and culprit not in pair.above
        return JudgedLayer(
            node=culprit.name,
            operator="quantize" if rounding else operator_name(culprit),
            module=module_path(culprit),
            source=place(culprit, self.sources),
            value=pair.traced.name,
            error=float(error[worst]),
            share=float(allowed[worst]),
            drift=self._drift(pair),
            found=_range(found),
            expected=_range(expected),
            fault=fault,
            error_map=_error_map(found, expected) if left else None,
        )

    def _drift(self, pair: LayerPair) -> float | None:
        twin = self.floats.get(unquantized(pair.node).name)
        if twin is None or twin.shape != pair.traced.value.shape:
            return None
        spread = float(twin.std())
        with np.errstate(all="ignore"):
            drift = float(np.sqrt(np.mean(np.square(pair.traced.value - twin)))) / (spread or 1.0)
        return drift if np.isfinite(drift) else None

    def _bias(self, node: Node) -> np.ndarray | None:
        given = node.args[2] if len(node.args) > 2 else None
        if not isinstance(given, Node) or given.op != "get_attr":
            return None
        owner, _, name = str(given.target).rpartition(".")
        bias: np.ndarray = getattr(self.module.get_submodule(owner), name).detach().float().numpy()
        return bias


def _culprit(pair: LayerPair) -> Node:
    """Return the node that a fault is attributed to: a fused weighted operator, if there is one."""
    if is_traced_weighted(pair.node):
        return pair.node
    return next((n for n in pair.above if is_traced_weighted(n)), unquantized(pair.node))


def _range(value: np.ndarray) -> tuple[float, float]:
    finite = value[np.isfinite(value)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _error_map(found: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    if found.ndim != 4:
        return None
    error = np.nan_to_num(np.abs(found - expected), nan=0.0, posinf=0.0)
    plane: np.ndarray = error[0].mean(axis=0, dtype=np.float32)
    return plane
