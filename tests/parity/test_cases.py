from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeexpo.bundle.manifest import Artifact
from edgeexpo.parity.cases import DRAWN_SIZE, PROBE, Case, accepted
from edgeexpo.parity.probes import LARGER
from edgeexpo.spec import ModelSpec, SizeRange, TensorSpec

RANGE, FIXED = SizeRange((64, 64), (16, 16)), SizeRange((64, 64), (64, 64))
ARTIFACT = Artifact("onnx", "fp32", "net.onnx", 1, "0" * 64, RANGE)
SPEC = ModelSpec("net", "t", ("x",), (TensorSpec("x"),), (TensorSpec("y"),), halo=3)


def case(height, width, name=None):
    picture = np.zeros((height, width, 3), np.float32)
    return Case(name or f"{DRAWN_SIZE}-{height}x{width}", PROBE, {"x": picture}, picture)


CASES = [case(48, 48, "ramps"), case(40, 56), case(81, 81, LARGER), case(80, 72)]


@pytest.mark.parametrize(
    ("change", "sizes", "taken"),
    [
        ({}, RANGE, [0, 1, 2, 3]),
        ({}, FIXED, [0, 2, 3]),
        ({"halo": None}, RANGE, [0, 1]),
        ({"halo": None}, FIXED, [0]),
        ({"grid": 8}, RANGE, [0, 1, 3]),
        ({"grid": 8, "ragged": True}, RANGE, [0, 1, 2, 3]),
        ({"grid": 8, "ragged": True}, FIXED, [0, 3]),
    ],
)
def test_an_artefact_is_judged_at_the_sizes_that_the_runtime_gives_it(change, sizes, taken):
    artifact = dataclasses.replace(ARTIFACT, sizes=sizes)
    found = accepted(artifact, dataclasses.replace(SPEC, **change), CASES)
    assert [c.name for c in found] == [CASES[index].name for index in taken]


def test_int8_of_a_network_that_sees_everything_is_judged_at_its_own_size_alone():
    artifact = dataclasses.replace(ARTIFACT, precision="int8")
    whole = dataclasses.replace(SPEC, halo=None)
    assert accepted(artifact, whole, CASES) == CASES[:1]
    assert accepted(artifact, SPEC, CASES) == CASES
