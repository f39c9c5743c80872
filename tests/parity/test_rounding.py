"""Tests of what rounding explains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed
from torch import nn
from torch.fx import symbolic_trace

from edgeexpo.parity.gates import default_gates
from edgeexpo.parity.judgement import judged
from edgeexpo.parity.redrawn import redrawn_codes, redrawn_floats
from edgeexpo.parity.rounding import Draws, Rounding
from edgeexpo.spec import Gate


class Known(Rounding):
    """What rounding explains, as a test says it."""

    def __init__(self, floor=None, draws=None, errors=()):
        super().__init__()
        self.floor = floor
        self._draws, self._errors = draws, dict(errors)
        self.asked = []

    @property
    def draws(self):
        self.asked.append("draws")
        return self._draws

    def largest_error(self, name):
        self.asked.append(name)
        return self._errors[name]


def psnr_gates():
    gates = default_gates("int8", residual=False)
    return [g for g in gates if g.metric == "psnr" and g.reference in ("floor", "quantized")]


def verdicts(rounding, to_float, to_quantized):
    found = {"worst": {"psnr": to_float, "psnr_quantized": to_quantized}, "total": {}}
    return [(j.holds, j.explained) for j in judged(psnr_gates(), found, rounding)]


def test_draws_are_not_made_for_an_artefact_within_the_noise_floor():
    rounding = Known(50.0, Draws(45.0, 44.0))
    assert verdicts(rounding, 49.0, 47.0) == [(True, False)] * 2
    assert rounding.asked == []


def test_an_artefact_that_differs_as_draws_do_passes_and_is_said_to():
    assert verdicts(Known(50.0, Draws(45.0, 44.0)), 44.1, 43.2) == [(True, True)] * 2


def test_an_artefact_that_differs_by_more_than_draws_fails():
    assert verdicts(Known(50.0, Draws(45.0, 44.0)), 43.5, 42.5) == [(False, False)] * 2


def test_better_draws_do_not_make_a_bound_stricter():
    assert verdicts(Known(50.0, Draws(55.0, 60.0)), 49.0, 47.0) == [(True, False)] * 2


def test_rounding_below_that_of_fp16_is_no_damage():
    assert verdicts(Known(73.6), 69.5, 69.5) == [(True, False)] * 2
    assert verdicts(Known(73.6), 59.0, 55.0) == [(False, False)] * 2


def rows(**errors):
    return [
        {"name": name, "kind": "photograph", "max_abs": value} for name, value in errors.items()
    ]


def float_verdict(rounding, pictures):
    gate = Gate("max_abs", 1e-4, False, reference="rounding")
    found = {"worst": {"max_abs": max(row["max_abs"] for row in pictures)}}
    (judgement,) = judged([gate], found, rounding, pictures)
    return judgement


def test_an_error_that_rounding_explains_in_its_picture_holds():
    rounding = Known(errors={"flat": 3e-4})
    judgement = float_verdict(rounding, rows(flat=2e-4, cat=1e-5))
    assert judgement.holds
    assert judgement.explained
    assert rounding.asked == ["flat"]


def test_what_rounding_explains_in_one_picture_excuses_no_other():
    rounding = Known(errors={"flat": 3e-4, "cat": 2e-5})
    judgement = float_verdict(rounding, rows(flat=2e-4, cat=1.5e-4))
    assert not judgement.holds
    assert judgement.value == 1.5e-4


def test_rounding_never_explains_a_value_that_is_no_number():
    assert not float_verdict(Known(errors={"flat": 1.0}), rows(flat=np.nan)).holds


def test_a_user_may_ask_for_a_strict_bound():
    gate = Gate("max_abs", 1e-5, False)
    found = {"worst": {"max_abs": 2e-5}}
    (judgement,) = judged([gate], found, Known(errors={"flat": 1.0}), rows(flat=2e-5))
    assert not judgement.holds


class Divided(nn.Module):
    """Values less their mean, over their deviation."""

    def forward(self, x):
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-12).sqrt()


@pytest.mark.parametrize(("flat", "bounds"), [(True, (1e-2, 10.0)), (False, (0.0, 1e-4))])
def test_a_division_by_a_small_deviation_is_found(flat, bounds):
    torch.manual_seed(0)
    picture = torch.full((1, 3, 16, 16), 0.4) if flat else torch.rand(1, 3, 16, 16)
    module = symbolic_trace(Divided())
    exact = module(picture.double())
    moved = redrawn_floats(0)(module)(picture)
    assert bounds[0] <= float((moved - exact).abs().max()) <= bounds[1]


def test_redrawn_codes_lie_half_a_code_from_the_nearest():
    quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
    dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default
    grid = (0.01, 0, 0, 255, torch.uint8)

    class Rounded(nn.Module):
        def forward(self, x):
            return dequantize(quantize(x, *grid), *grid)

    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 64) * 2.5
    run = redrawn_codes(0)(symbolic_trace(Rounded()))
    codes = (run(x) - Rounded()(x)) / 0.01
    assert float(codes.abs().max()) <= 1.001
    assert float(codes.square().mean().sqrt()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(run(x), run(x))
