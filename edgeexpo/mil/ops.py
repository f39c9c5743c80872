"""MIL operators in torch: ``{operator type: function of its arguments}``.

Definitions follow Apple's MIL operator reference for iOS 15 to 18.
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
"""Operators that only select among their inputs: fp16 in, fp16 out, no rounding of their own."""

SHARING = _MOVING | {"identity", "cast"}
"""Operators whose result may be a view of their input."""

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

IN_PLACE: dict[str, MilOperator] = {
    "relu": lambda a: real_tensor(a["x"]).relu_(),
    "clip": lambda a: real_tensor(a["x"]).clamp_(
        python_number(a["alpha"]), python_number(a["beta"])
    ),
    **INTEGERS_IN_PLACE,
}
"""Operators that may write over their first input once nobody else reads it."""
