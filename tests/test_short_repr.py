"""Representations of results fit a screen, however much the results hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact, Manifest
from edgeexpo.evaluation.evaluate import Evaluation
from edgeexpo.evaluation.metrics import NAMES
from edgeexpo.parity.golden import Device
from edgeexpo.parity.localisation.judge import JudgedLayer
from edgeexpo.parity.localisation.localisation import Localisation
from edgeexpo.parity.verdict import ArtifactParity, ParityReport
from edgeexpo.pruning.prune import Pruned
from edgeexpo.quantization.sensitivity import Quality, QuantizedOperator, Sensitivity
from edgeexpo.short_repr import LONGEST_LINE, MOST_LINES, short_repr
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, TensorSpec
from edgeexpo.workflows.bench import BenchResult
from edgeexpo.workflows.calibration_search import Comparison, Score, VariantScore
from edgeexpo.workflows.inspect import Inspection
from edgeexpo.workflows.prune import PrunedWeights
from edgeexpo.workflows.quantize import Quantized
from edgeexpo.workflows.sensitivity_table import LayerCost, SensitivityTable
from edgeexpo.workflows.train import TrainedWeights
from edgeexpo.workflows.tune_candidates import Candidate, Timing
from edgeexpo.workflows.tune_result import TuneResult

MANY = 60
LONG = "long" * 40


def artifact(index: int) -> Artifact:
    sizes = SizeRange((64, 64), (16, 16))
    return Artifact(f"net{index}.int8.onnx", "onnx", "int8", "", 10, sizes, "failed", error=LONG)


def bundle() -> Bundle:
    tensor = (TensorSpec("y"),)
    spec = ModelSpec("net", LONG, ("y",), tensor, tensor, halo=1)
    recipe = ExportRecipe("net", ("onnx",), ("int8",), (64, 64), LONG, (LONG,) * MANY, {})
    artifacts = tuple(artifact(i) for i in range(MANY))
    return Bundle(Path(LONG), Manifest(spec, recipe, artifacts, {}, {}, sources={LONG: LONG}))


def parity() -> ParityReport:
    rows = tuple(
        ArtifactParity(f"net{i}.onnx", "onnx", "int8", "failed", failed_gates=(LONG,) * 3)
        for i in range(MANY)
    )
    return ParityReport("net", Device("cpu", LONG, {}), rows, None, ())


def table() -> SensitivityTable:
    quality = Quality(40.0, 42.0)
    row = LayerCost(
        Sensitivity(
            QuantizedOperator("conv", "conv2d", LONG, LONG, frozenset([LONG]), frozenset()),
            quality,
            quality,
        ),
        quality,
    )
    return SensitivityTable("net", (row,) * MANY, quality, (LONG,) * MANY, (64, 64))


def evaluation() -> Evaluation:
    scores = dict.fromkeys(NAMES, 1.0)
    row = {"dataset": LONG, "model": "net", "precision": "int8", "target": "onnx", "n": 1, **scores}
    return Evaluation([row] * MANY, [row] * MANY)


def pruned() -> Pruned:
    widths = {f"layer{i}.{LONG}": (16, 8) for i in range(MANY)}
    return Pruned(nn.Sequential(*[nn.ReLU()] * MANY), 10, 5, 10, 5, widths, {}, {})


def comparison() -> Comparison:
    rows = tuple(VariantScore(f"v{i}", Score(40.0, 41.0, 1.0), 1.0, LONG) for i in range(MANY))
    return Comparison(rows, rows[0], None, (LONG,))  # type: ignore[arg-type]


def tuned() -> TuneResult:
    made = Candidate("k", "whole", (LONG,), artifact(0), {"psnr": 4.0}, 5.0, Timing(1.0, 2.0))
    row = {"label": LONG, "psnr": 40.0, "ms": 1.0, "bytes": 10}
    return TuneResult(
        "net", "onnx", (64, 64), LONG, 2, 0, (LONG,), (row,) * MANY, False, made, made, None
    )


def localisation() -> Localisation:
    layer = JudgedLayer.__new__(JudgedLayer)
    for name in JudgedLayer.__dataclass_fields__:
        object.__setattr__(layer, name, LONG)
    return Localisation(
        "net.onnx", "onnx", "int8", LONG, LONG, LONG, (64, 64), 1.0, (layer,) * MANY
    )


def bench() -> BenchResult:
    row = {"file": LONG, "ms_p50": 1.0, "ms_p90": 2.0, "peak_rss_mb": 3.0, "note": None}
    idle = {"file": None, "ms_p50": None, "ms_p90": None, "peak_rss_mb": None, "note": LONG}
    host = {"cpu": LONG, "load": 1.0, "cores": 2}
    return BenchResult(host, 10, (row, idle) * MANY)


RESULTS = {
    "Bundle": bundle,
    "Manifest": lambda: bundle().manifest,
    "ParityReport": parity,
    "ArtifactParity": lambda: parity().artifacts[0],
    "SensitivityTable": table,
    "Evaluation": evaluation,
    "Pruned": pruned,
    "PrunedWeights": lambda: PrunedWeights("net", nn.ReLU(), None, pruned(), 0, None),
    "Quantized": lambda: Quantized(
        None, {"preset": "net", "method": "ptq", "variant": "v0"}, comparison()
    ),
    "TuneResult": tuned,
    "Localisation": localisation,
    "BenchResult": bench,
    "Inspection": lambda: Inspection(
        Path(LONG), {"kind": "bundle", **{f"k{i}": [LONG] * MANY for i in range(MANY)}}
    ),
    "TrainedWeights": lambda: TrainedWeights("net", Path(LONG), Path(LONG), 2, 60.0, 0.1),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_told_on_a_screen(name):
    said = repr(RESULTS[name]())
    assert said.startswith(name)
    lines = said.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100


@given(st.text(), st.lists(st.text()))
def test_no_text_makes_a_representation_longer(head, lines):
    said = short_repr(head, lines).split("\n")
    assert len(said) == min(1 + len(lines), MOST_LINES)
    assert all(len(line) <= LONGEST_LINE for line in said)


def test_what_is_left_out_is_counted():
    said = short_repr("head", [str(i) for i in range(30)]).splitlines()
    assert said[-2:] == ["  21", "  ... 8 more"]
