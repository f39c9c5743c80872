"""Tests of the names of calibration variants, and of their files, which equal what was judged."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.errors import ExportError, UsageError
from edgeexpo.program.capture import capture
from edgeexpo.quantization import int8_weights, nncf_calibration, ptq
from edgeexpo.quantization.variants import RANGES, Calibration, Variant, adapted, parse_variant


@pytest.fixture(scope="module")
def program(residual, tensors):
    return capture(residual, *tensors, (96, 96))


@pytest.fixture(scope="module")
def calibration(program, pictures):
    return Calibration(program, pictures)


def test_names_say_their_parts():
    every = [*RANGES, *adapted(RANGES[0]), *adapted(Variant(None, "minmax")), parse_variant("nncf")]
    names = ["plain", "balanced", "unequalized", "minmax", "percentile"]
    assert [v.name for v in every[: len(names)]] == names
    assert all(parse_variant(v.name) == v for v in every)
    assert parse_variant("bias+minmax+unequalized").name == "unequalized+minmax+bias"
    assert parse_variant("mse").name == "plain"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hessian", "unknown part 'hessian' of the calibration variant"),
        ("minmax+percentile", "has two observers"),
        ("balanced+unequalized", "has two equalisations"),
        ("nncf+bias", "NNCF has ranges and biases of its own"),
        ("", "unknown part ''"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(UsageError, match=message):
        parse_variant(name)


@pytest.mark.parametrize(
    "name",
    [
        "unequalized+percentile",
        pytest.param("adaround+bias", marks=pytest.mark.slow),
        pytest.param("nncf", marks=pytest.mark.slow),
    ],
)
def test_the_file_is_bit_for_bit_what_was_made(
    name, calibration, program, residual, tensors, pictures, tmp_path
):
    graph = calibration.make(parse_variant(name))
    inputs = ptq.tensors(program, pictures)
    path = tmp_path / "w.safetensors"
    int8_weights.write_int8_weights(path, graph, {"variant": name})
    fresh = capture(residual, *tensors, (96, 96))
    again = int8_weights.quantized_by(fresh, int8_weights.read_int8_weights(path)).exported.module()
    with torch.no_grad():
        for x in inputs:
            assert torch.equal(again(*x), graph(*x))
            assert (graph(*x) - residual(*x)).abs().max() < 0.03


def test_variants_leave_the_network_and_each_other_alone(calibration, residual, program, pictures):
    weights = [p.detach().clone() for p in residual.parameters()]
    x = ptq.tensors(program, pictures)[0]
    with torch.no_grad():
        before = calibration.make(Variant())(*x)
        calibration.make(parse_variant("bias"))
        assert torch.equal(calibration.make(Variant())(*x), before)
    assert all(torch.equal(a, b) for a, b in zip(weights, residual.parameters(), strict=True))


def test_an_nncf_program_that_rounds_other_tensors_is_refused(calibration, monkeypatch):
    real = nncf_calibration._ranges
    more = lambda graph: {**real(graph), "smoothed": nncf_calibration.Range(1.0, 0)}  # noqa: E731
    monkeypatch.setattr(nncf_calibration, "_ranges", more)
    with pytest.raises(ExportError, match="NNCF rounds other tensors than this program: 1 differ"):
        calibration.make(parse_variant("nncf"))
