from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeexpo.runtime.output_range import unit_range
from edgeexpo.spec import ModelSpec, TensorSpec

SPEC = ModelSpec("net", "t", ("x",), (TensorSpec("x"),), (TensorSpec("y"),), 0)


@pytest.mark.parametrize("values", [(-1.0, 1.0), (0.0, 255.0), (16.0, 235.0)])
def test_the_ends_of_the_range_become_black_and_white(values):
    output = TensorSpec("y", value_range=values)
    spec = dataclasses.replace(SPEC, outputs=(output,))
    found = unit_range(spec, np.array([values[0], sum(values) / 2, values[1]], np.float32))
    np.testing.assert_allclose(found, [0, 0.5, 1], atol=1e-6)


@pytest.mark.parametrize(
    "output",
    [
        TensorSpec("y"),
        TensorSpec("y", color="Lab", value_range=(-1, 1)),
        TensorSpec("y", transfer="linear", value_range=(0, 100)),
    ],
)
def test_other_outputs_stay(output):
    given = np.random.default_rng(0).random((1, 3, 4, 5), np.float32)
    assert unit_range(dataclasses.replace(SPEC, outputs=(output,)), given) is given
