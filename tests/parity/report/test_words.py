from __future__ import annotations

import pytest

from edgeexpo.parity.golden import Device
from edgeexpo.parity.judgement import judged
from edgeexpo.parity.metrics.pictures import LARGER_IS_BETTER
from edgeexpo.parity.report.words import (
    METRIC_WORDS,
    UNKNOWN_ENGINE,
    engine_words,
    figure,
    heading,
    in_words,
    number_text,
    verdict,
)
from edgeexpo.parity.rounding import Rounding
from edgeexpo.parity.verdict import ArtifactParity, ParityReport, failed_gates
from edgeexpo.spec import Gate
from edgeexpo.targets import runners


def test_every_metric_has_words():
    assert set(LARGER_IS_BETTER) <= set(METRIC_WORDS)


SENTENCES = {
    Gate("psnr", 40.0, True): (
        "PSNR on the worst photograph: found 30 dB; at least 40 dB is required."
    ),
    Gate("max_abs", 1e-4, False, "worst_probe"): (
        "Largest error on a probe: found 0.5; at most 0.0001 is required."
    ),
    Gate("correction_snr", 20.0, True, "total"): (
        "Correction SNR over all photographs: found 3 dB; at least 20 dB is required."
    ),
    Gate("psnr", -1.0, True, "worst", "floor"): (
        "PSNR on the worst photograph: found 30 dB; "
        "at least 44.86 dB is required by the noise floor."
    ),
    Gate("psnr", -3.0, True, "worst", "quantized"): (
        "PSNR to the quantised program on the worst photograph: found 33 dB; "
        "at least 42.91 dB is required."
    ),
}


@pytest.mark.parametrize("gate", SENTENCES, ids=str)
def test_a_gate_that_does_not_hold_is_a_sentence(gate):
    """The line comes from the gate itself, so that the two forms cannot differ."""
    found = {
        "worst": {"psnr": 30.0, "psnr_quantized": 33.0},
        "worst_probe": {"max_abs": 0.5},
        "total": {"correction_snr": 3.0},
    }
    rounding = Rounding()
    rounding.floor = 46.0
    (line,) = failed_gates(judged([gate], found, rounding))
    assert in_words(line)["words"] == SENTENCES[gate]
    assert in_words(line)["meaning"]
    assert in_words(line)["short"] in SENTENCES[gate].replace(": found", "").replace(
        " on the worst photograph", ""
    ).replace(" on a probe", "").replace(" over all photographs", "")


def test_what_follows_the_value_is_kept():
    words = in_words("channel_order<=0 on a probe, found 5 in ramps (BGR)")["words"]
    assert words == "Channel order on a probe: found 5 in ramps (BGR); at most 0 is required."


def test_a_line_that_is_no_gate_is_kept():
    line = "the engine died"
    assert in_words(line) == {"words": line, "short": line, "meaning": ""}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (True, "\N{EN DASH}"),
        (0.0, "0"),
        (1e-6, "1.0e-06"),
        (41.236, "41.24"),
        (1e9, "1.0e+09"),
    ],
)
def test_numbers(value, text):
    assert number_text(value) == text


def test_units_are_said():
    assert heading("psnr") == "PSNR (dB)"
    assert heading("banding_quantized") == "banding to quantised (steps)"
    assert heading("of_tomorrow") == "of tomorrow"
    assert figure("psnr", 41.2) == "PSNR 41.2 dB"
    assert figure("ssim", 0.5) == "SSIM 0.5"


def test_what_an_engine_does_not_prove_is_said():
    assert all("Not verified" in engine_words(runner.name) for runner in runners())
    assert "Neural Engine" in engine_words("mil-interpreter")
    assert engine_words("abacus") == UNKNOWN_ENGINE


def test_the_verdict_is_a_line_per_artefact_and_what_failed_below():
    worst = {"psnr": 33.25}
    artifacts = (
        ArtifactParity(
            "n.onnx", "onnx", "int8", "failed", "onnxruntime", "", ("psnr>=40, found 33.25",), worst
        ),
        ArtifactParity("n.pte", "executorch", "int8", "unverified", error="no engine"),
    )
    report = ParityReport("n", Device("cpu", "AMD"), artifacts, None, ())
    assert verdict(report).splitlines() == [
        "n: parity failed (cpu: AMD)",
        "  n.onnx: failed by onnxruntime, worst photograph PSNR 33.25 dB",
        "    PSNR on the worst photograph: found 33.25 dB; at least 40 dB is required.",
        "  n.pte: unverified",
        "    no engine",
    ]
