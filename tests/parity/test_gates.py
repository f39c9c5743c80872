from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.errors import UsageError
from edgeexpo.parity.gates import FLAT_PSNR, default_gates, gate_holds, overridden, parse_gate
from edgeexpo.parity.judgement import judged
from edgeexpo.parity.metrics.pictures import delta_e_p99
from edgeexpo.parity.rounding import Rounding
from edgeexpo.parity.verdict import failed_gates, statistics
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
        if g.metric == metric
        and g.reference in ("float", "rounding")
        and g.statistic in ("worst", "total")
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
    assert parse_gate("delta_e_p99@probes<=4") == Gate("delta_e_p99", 4.0, False, "worst_probe")
    assert parse_gate("flicker<=2").statistic == "worst_probe"
    assert parse_gate("correction_snr>=15").statistic == "total"


def test_an_override_replaces_its_own_bound_alone():
    gates = default_gates("int8", residual=True)
    found = overridden(gates, [parse_gate("psnr>=45"), parse_gate("correction_snr>=10")])
    assert len(found) == len(gates)
    bounds = {(g.metric, g.statistic): g.bound for g in found if g.reference == "float"}
    assert bounds["psnr", "worst"] == 45
    assert bounds["psnr", "worst_probe"] == 40
    assert bounds["correction_snr", "total"] == 10


def test_a_signed_metric_is_bounded_both_ways():
    gate = parse_gate("luminance_shift<=2")
    assert gate_holds(gate, -1.9)
    assert not gate_holds(gate, -2.1)
    assert not gate_holds(gate, 2.1)


def test_the_gate_that_explains_the_error_comes_first():
    gates = [parse_gate(t) for t in ("psnr>=40", "contrast_change<=3", "pixel_shift<=0.1")]
    row = {"psnr": 30.0, "contrast_change": -9.0, "pixel_shift": 0.2}
    rows = [{"name": "cat", "kind": "photograph"} | row]
    lines = list(
        failed_gates(
            judged(gates, {"worst": row}, Rounding(), rows),
            rows,
            lambda metric, *_: metric == "psnr",
        )
    )
    assert [line.split(",")[0] for line in lines] == [
        "psnr>=40",
        "pixel_shift<=0.1",
        "contrast_change<=3",
    ]
    assert lines[0] == "psnr>=40, found 30 in cat"
    turned = {"worst": {"orientation": 5.0}}
    (line,) = failed_gates(judged([parse_gate("orientation<=0")], turned, Rounding()))
    assert line == "orientation<=0, found 5 (transposed)"


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


def with_floor(floor):
    """Return what rounding explains where only the noise floor is known."""
    rounding = Rounding()
    rounding.floor = floor
    return rounding


def test_lowering_is_judged_by_the_noise_floor():
    """Another draw of the same rounding noise passes; more noise, or other noise, does not."""
    gates = [g for g in default_gates("int8", residual=False) if g.reference != "float"]

    def failures(against_float, against_quantized):
        psnr = {"psnr": against_float, "psnr_quantized": against_quantized}
        found = {"worst": psnr, "total": {}}
        return list(failed_gates(judged(gates, found, with_floor(45.0))))

    assert failures(44.1, 41.5) == []
    assert failures(43.8, 41.5) == ["psnr>=43.89 by the noise floor, found 43.8"]
    assert failures(44.1, 41.3) == ["psnr>=41.4 against the quantized program, found 41.3"]
    assert list(judged(gates, {"worst": {"psnr": 1.0}, "total": {}}, Rounding())) == []


def test_lowering_may_shift_pictures_at_random_and_not_alike():
    gates = [g for g in default_gates("int8", residual=False) if g.reference == "quantized"]

    def failures(*shifts):
        rows = [
            {"name": f"p{i}", "kind": "photograph", "luminance_shift_quantized": shift}
            for i, shift in enumerate(shifts)
        ]
        return list(failed_gates(judged(gates, statistics(rows), Rounding(), rows), rows))

    assert failures(0.9, -0.7, 0.4, -0.8) == []
    assert failures(0.9, 0.7, 0.4, 0.8) == [
        "luminance_shift<=0.5 against the quantized program over all photographs, found 0.7"
    ]


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


def test_gates_of_bf16_are_those_of_visibility():
    names = {(g.metric, g.statistic, g.reference) for g in default_gates("bf16", True)}
    lowered = {(g.metric, g.statistic, g.reference) for g in default_gates("int8", True)} - names
    assert {reference for _, _, reference in lowered} == {"floor", "quantized"}
    assert ("correction_snr", "total", "float") in names


@pytest.mark.parametrize("residual", [True, False])
def test_a16w8_is_judged_between_int8_and_fp16(residual):
    def bounds(precision):
        return {
            (g.metric, g.statistic): g
            for g in default_gates(precision, residual)
            if g.reference == "float"
        }

    wide, integer, half = (bounds(p) for p in ("a16w8", "int8", "fp16"))
    for statistic in ("worst", "worst_probe"):
        key = ("psnr", statistic)
        assert integer[key].bound < wide[key].bound < half[key].bound
    assert {k: g for k, g in wide.items() if k[0] != "psnr"} == {
        k: g for k, g in integer.items() if k[0] != "psnr"
    }


def test_a16w8_is_compared_with_the_weights_of_int8():
    gates = [g for g in default_gates("a16w8", True) if g.reference != "float"]
    assert {g.reference for g in gates} == {"weights"}
    found = {"worst": {"psnr_quantized": 59.9}, "worst_probe": {}, "total": {}}
    (judgement,) = judged(gates, found, Rounding())
    assert not judgement.holds
    (line,) = failed_gates([judgement])
    assert line == "psnr>=60 against the quantized weights, found 59.9"
