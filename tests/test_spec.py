"""Specs and recipes survive a round trip through JSON, and damaged JSON is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.spec import (
    PRECISIONS,
    ExportRecipe,
    Gate,
    ModelSpec,
    SizeRange,
    StageSpec,
    TensorSpec,
    from_json,
    to_json,
)
from edgeexpo.targets import TARGETS

words = st.text(max_size=8)
floats = st.floats(allow_nan=False, allow_infinity=False)
sides = st.integers(1, 10_000)
sizes = st.tuples(sides, sides)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
tensors = st.builds(
    TensorSpec,
    name=words,
    channels=sides,
    value_range=st.tuples(floats, floats),
    size=st.none() | sizes,
)
stages = st.builds(StageSpec, kind=words, parameters=st.dictionaries(words, json_values))
specs = st.builds(
    ModelSpec,
    name=words,
    task=words,
    frames=st.lists(words, max_size=3).map(tuple),
    inputs=st.lists(tensors, max_size=2).map(tuple),
    outputs=tensors.map(lambda t: (t,)),
    halo=st.none() | st.integers(0, 100),
    residual=st.none() | words,
    front=st.none() | stages,
    back=st.none() | stages,
)
gates = st.builds(Gate, metric=words, bound=floats, at_least=st.booleans())
recipes = st.builds(
    ExportRecipe,
    model=words,
    targets=st.lists(st.sampled_from(list(TARGETS))).map(tuple),
    precisions=st.lists(st.sampled_from(PRECISIONS)).map(tuple),
    size=sizes,
    calibration=words,
    calibration_pictures=st.lists(words, max_size=3).map(tuple),
    gates=st.dictionaries(words, st.lists(gates, max_size=2).map(tuple), max_size=3),
    weights=st.none() | words,
)
ranges = st.builds(
    SizeRange,
    largest=sizes,
    smallest=sizes,
    multiple=sides,
    enumerated=st.lists(sizes, max_size=3).map(tuple),
)


@given(specs | recipes | ranges)
def test_values_survive_json_text(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert from_json(type(value), json.loads(text)) == value


@given(specs)
def test_keys_of_a_later_version_are_ignored(spec: ModelSpec) -> None:
    data = {**to_json(spec), "added_later": 1}
    assert from_json(ModelSpec, data) == spec


@given(specs, st.data())
def test_a_missing_field_is_a_type_error(spec: ModelSpec, data: st.DataObject) -> None:
    required = [f.name for f in dataclasses.fields(ModelSpec) if f.default is dataclasses.MISSING]
    document = to_json(spec)
    del document[data.draw(st.sampled_from(required))]
    with pytest.raises(TypeError):
        from_json(ModelSpec, document)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3),
        ("frames", "under"),
        ("frames", [1]),
        ("halo", "8"),
        ("halo", 8.5),
        ("inputs", [{"channels": 3}]),
        ("front", []),
        ("outputs", None),
    ],
)
def test_a_field_of_another_type_is_a_type_error(field: str, value: Any) -> None:
    spec = ModelSpec("lrl", "fusion", ("under",), (TensorSpec("y0"),), (TensorSpec("y"),), 8)
    with pytest.raises(TypeError):
        from_json(ModelSpec, {**to_json(spec), field: value})


def test_a_size_has_two_numbers() -> None:
    with pytest.raises(TypeError, match="expected 2 values, found 3"):
        from_json(SizeRange, {"largest": [1, 2, 3], "smallest": [1, 2]})


@given(floats, floats)
def test_a_gate_is_a_bound_that_includes_itself(bound: float, value: float) -> None:
    at_least, at_most = Gate("psnr", bound, True), Gate("max_abs", bound, False)
    assert at_least.holds(bound)
    assert at_most.holds(bound)
    assert at_least.holds(value) == (value >= bound)
    assert at_most.holds(value) == (value <= bound)


@given(floats, st.booleans())
def test_nan_never_passes_a_gate(bound: float, at_least: bool) -> None:
    assert not Gate("psnr", bound, at_least).holds(math.nan)


def test_a_gate_reads_like_the_command_line() -> None:
    assert str(Gate("psnr", 45, True)) == "psnr>=45"
    assert str(Gate("max_abs", 1e-4, False)) == "max_abs<=0.0001"
    against = Gate("psnr", 45, True, reference="quantized")
    assert str(against) == "psnr>=45 against the quantized program"


@pytest.mark.parametrize(
    ("sizes", "names", "fixed"),
    [
        ((None,), (), None),
        ((None, (8, 9)), ("b",), None),
        (((8, 9),), ("a",), (8, 9)),
        (((8, 9), (8, 9)), ("a", "b"), (8, 9)),
    ],
)
def test_inputs_of_their_own_size(
    sizes: tuple[tuple[int, int] | None, ...], names: tuple[str, ...], fixed: tuple[int, int] | None
) -> None:
    inputs = tuple(TensorSpec(n, size=s) for n, s in zip("ab", sizes, strict=False))
    spec = ModelSpec("m", "t", ("picture",), inputs, (TensorSpec("y"),), halo=None)
    assert spec.fixed_inputs == names
    assert spec.fixed_size == fixed
