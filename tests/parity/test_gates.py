from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.errors import UsageError
from edgeexpo.parity.gates import FLAT_PSNR, default_gates, parse_gate
from edgeexpo.parity.metrics import delta_e_p99
from edgeexpo.parity.verdict import failed_gates
from edgeexpo.spec import Gate


@pytest.mark.parametrize(
    ("precision", "metric", "good", "bad"),
    [
        ("fp32", "max_abs", 9e-5, 1.1e-4),
        ("fp16", "psnr", 60.0, 59.9),
        ("int8", "psnr", 40.0, 39.9),
        ("int8", "ssim", 0.98, 0.979),
        ("int8", "delta_e_p99", 3.0, 3.1),
        ("int8", "correction_snr", 20.0, 19.9),
    ],
)
def test_default_bounds(precision, metric, good, bad):
    gates = [
        g
        for g in default_gates(precision, residual=True)
        if g.metric == metric and g.reference == "float" and g.statistic in ("worst", "total")
    ]
    assert len(gates) == 1
    assert gates[0].holds(good)
    assert not gates[0].holds(bad)
    assert not gates[0].holds(float("nan"))


def test_only_residual_networks_have_a_correction():
    metrics = {g.metric for g in default_gates("int8", residual=False)}
    assert "correction_snr" not in metrics


def test_a_gate_from_the_command_line():
    assert parse_gate(" psnr >= 45 ") == Gate("psnr", 45.0, at_least=True)
    assert parse_gate("max_abs<=1e-3") == Gate("max_abs", 1e-3, at_least=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("psnr=45", "expected METRIC>=BOUND"),
        ("pnsr>=45", "did you mean psnr"),
        ("psnr<=45", "psnr takes >="),
        ("ssim>=high", "expected METRIC>=BOUND"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        parse_gate(text)


def test_lowering_is_judged_by_the_noise_floor():
    """Another draw of the same rounding noise passes; more noise, or other noise, does not."""
    gates = [g for g in default_gates("int8", residual=False) if g.reference != "float"]

    def failures(against_float, against_quantized):
        found = {"worst": {"psnr": against_float, "psnr_quantized": against_quantized}}
        return list(failed_gates(gates, found, floor=45.0))

    assert failures(44.1, 41.5) == []
    assert failures(43.9, 41.5) == ["psnr>=44 by the noise floor, found 43.9"]
    assert failures(44.1, 41.4) == ["psnr>=41.46 against the quantized program, found 41.4"]
    assert list(failed_gates(gates, {"worst": {"psnr": 1.0}}, floor=None)) == []


def test_the_flat_bound_is_the_colour_bound_of_a_grey():
    grey = np.full((16, 16, 3), 0.5, np.float32)
    tinted = grey + np.float32(10 ** (-FLAT_PSNR / 20))
    assert 2 < delta_e_p99(grey, tinted) < 3
    for residual, bound in ((True, 40.0), (False, FLAT_PSNR)):
        gates = default_gates("int8", residual)
        found = {
            g.statistic: g.bound for g in gates if (g.metric, g.reference) == ("psnr", "float")
        }
        assert found == {"worst": 40.0, "worst_probe": bound}
