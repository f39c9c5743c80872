"""The table of MIL operators in torch: operator type -> function of its arguments.

The definitions follow Apple's MIL operator reference for iOS 15 to 18.
"""

from __future__ import annotations

from edgeexpo.mil.algebra import ALGEBRA
from edgeexpo.mil.indices import INDICES
from edgeexpo.mil.integers import INTEGERS, INTEGERS_IN_PLACE
from edgeexpo.mil.pointwise import POINTWISE
from edgeexpo.mil.resize import RESIZES
from edgeexpo.mil.shapes import SHAPES
from edgeexpo.mil.values import MilOperator, python_number, real_tensor
from edgeexpo.mil.weights import WEIGHT_OPERATORS
from edgeexpo.mil.windows import WINDOWS

_MOVING = frozenset(SHAPES) - {"band_part", "one_hot", "range_1d", "shape"}
_SELECTING = """
identity relu maximum minimum max_pool reduce_max reduce_min quantize gather gather_nd
gather_along_axis upsample_nearest_neighbor resize_nearest_neighbor
"""

ROUNDING_KEPT = _MOVING | frozenset(_SELECTING.split())
"""Operators that only move or select values. From fp16 inputs they return fp16 values unrounded."""

SHARING = _MOVING | {"identity", "cast"}
"""Operators whose result may share memory with their input."""

OPERATORS: dict[str, MilOperator] = {
    **POINTWISE,
    **SHAPES,
    **INDICES,
    **ALGEBRA,
    **WINDOWS,
    **RESIZES,
    **INTEGERS,
    **WEIGHT_OPERATORS,
}
"""All MIL operators that the interpreter knows, by operator type."""

IN_PLACE: dict[str, MilOperator] = {
    "relu": lambda a: real_tensor(a["x"]).relu_(),
    "clip": lambda a: real_tensor(a["x"]).clamp_(
        python_number(a["alpha"]), python_number(a["beta"])
    ),
    **INTEGERS_IN_PLACE,
}
"""In-place forms of operators, for a first input that no later operator reads."""
