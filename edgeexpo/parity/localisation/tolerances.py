"""The error that a layer may have: the error that rounding in an artefact's arithmetic explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch.fx import Node

from edgeexpo.parity.localisation.trace import Grid
from edgeexpo.parity.localisation.trace_program import is_quantizer, node_grid
from edgeexpo.parity.redrawn import EPSILON, SUM_ROUNDINGS
from edgeexpo.parity.rounding import MARGIN
from edgeexpo.program.exact_tail import operator_name

FLIP = 0.5
"""RMS error, in steps, of one value that falls to the other side in a channel of one value."""

EPSILONS = {"fp32": EPSILON, "fp16": 2.0**-10}
"""Distance of 1 to the next number, by precision."""

ROUNDINGS = {"fp32": SUM_ROUNDINGS, "fp16": 1.0, "int8": 500.0}
"""RMS error that rounding explains in a float value, in units of :data:`EPSILONS` of its RMS.

The cause is summation in another order. In an INT8 artefact it is also the rounding of a bias to
the accumulator's step.
"""


@dataclass(frozen=True)
class Share:
    """Allowed RMS errors of the values of one artefact.

    Attributes:
        step_share: RMS in steps that rounding explains in a quantised value
            (:class:`edgeexpo.targets.Tracing`).
        precision: The artefact's precision.
    """

    step_share: float
    precision: str

    def __call__(self, node: Node, value: np.ndarray, half: bool) -> np.ndarray:
        """Return the allowed RMS error of each channel.

        Args:
            node: The program's node.
            value: The value that the node should give, NCHW.
            half: Whether the artefact holds the value in fp16.
        """
        count = value[:, 0].size if value.ndim == 4 else value.size
        grid = node_grid(node) or _next_grid(node)
        size = float(np.sqrt(np.mean(np.square(value, dtype=np.float64))))
        kind = "fp16" if half else "int8" if self.precision == "int8" else "fp32"
        rounding = ROUNDINGS[kind] * EPSILONS["fp16" if half else "fp32"] * size
        if grid is not None and (not half or is_quantizer(node)):
            steps = self.step_share + FLIP / np.sqrt(count)
            rounding = max(rounding, grid.scale * steps)
        return np.asarray(MARGIN * rounding)


def channel_error(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the RMS error of each channel of NCHW values, or one number for other shapes."""
    axes = (0, 2, 3) if found.ndim == 4 else None
    with np.errstate(all="ignore"):
        return np.atleast_1d(np.sqrt(np.mean(np.square(found - expected), axis=axes)))


def _next_grid(node: Node) -> Grid | None:
    """Return the grid of the quantiser that reads ``node``, directly or after activations."""
    for user in node.users:
        if operator_name(user) == "quantize_per_tensor":
            return next((g for u in user.users if (g := node_grid(u)) is not None), None)
        if operator_name(user) in ("relu", "relu_", "clamp", "leaky_relu", "hardtanh"):
            return _next_grid(user)
    return None
