"""``debug`` names the layer with a planted fault in real artefacts, and no layer when clean."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import BundleError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.localisation.localisation import localise, traced_size
from edgeexpo.runtime.engines.base import open_engine
from edgeexpo.spec import SizeRange
from edgeexpo.testing.faults.plant import plant
from tests.support.pictures import smooth_picture

TARGETS = ("onnx", "coreml", "executorch")


@pytest.fixture(scope="module")
def samples():
    return [Sample("smooth", (smooth_picture(96, 96, 3),), None)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_clean_artefact_keeps_its_shares(exported, samples, target, precision):
    found = localise(exported, target=target, precision=precision, samples=samples)
    assert found
    assert found.first is None
    assert found.coverage == 1.0
    convolutions = [layer.node for layer in found.layers if layer.operator == "conv2d"]
    assert convolutions == ["conv2d", "conv2d_1", "conv2d_2"]
    assert all(layer.error <= layer.share for layer in found.layers)


PLANTED = [
    ("fp32", "one weight's sign", 0, {"conv2d"}, "output channel 0 alone"),
    ("fp32", "output channels swapped", 0, {"conv2d"}, "channels 0 and 1 are swapped"),
    ("fp32", "bias dropped", 1, {"conv2d_1"}, "the bias is missing"),
    ("fp32", "activation dropped", 0, {"relu", "conv2d"}, "the activation is missing"),
    ("fp32", "padding moved", 0, {"conv2d"}, "shifted by a pixel"),
    ("int8", "output channels swapped", 2, {"conv2d_2"}, "channels 0 and 1 are swapped"),
    ("int8", "bias dropped", 2, {"conv2d_2"}, "the bias is missing"),
    ("int8", "scale off by 5 %", 2, {"conv2d_2"}, "scale is off by a factor of 1.05"),
    ("int8", "zero point off by 4", 2, {"conv2d_2"}, "zero point is off by 4 steps"),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", PLANTED, ids=lambda case: f"{case[0]}-{case[1]}")
def test_a_planted_fault_is_found_in_its_layer(exported, samples, tmp_path, target, case):
    precision, fault, layer, nodes, words = case
    bundle = Bundle.open(exported)
    artifact = bundle.select(target, precision)
    damaged = plant(bundle, artifact, fault, layer, tmp_path)
    found = localise(damaged, target=target, precision=precision, samples=samples)
    assert not found
    assert found.first is not None
    assert found.first.node in nodes
    assert words in found.first.fault
    assert found.first.source.startswith("networks.py:")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tracing_does_not_change_what_is_traced(exported, target, precision):
    """The copy with every value as an output gives the same result as the file itself."""
    from edgeexpo.parity.localisation.localisation import tracer_of

    bundle = Bundle.open(exported)
    artifact = bundle.select(target, precision)
    path = bundle.file(artifact.file)
    inputs = {"y0": smooth_picture(96, 96, 1).transpose(2, 0, 1)[None].copy()}
    trace = tracer_of(artifact, bundle.manifest.model)(path, inputs)
    if target == "coreml":
        from edgeexpo.mil.interpreter import MilEngine

        engine = MilEngine()
        engine.load(path)
    else:
        engine = open_engine(target, path, bundle.manifest.model)
    output = engine.run(inputs)["y_hat"]
    engine.close()
    largest = 1e-6 if (target, precision) == ("onnx", "fp32") else 2e-3 if target == "onnx" else 0
    assert np.abs(trace[-1].value - output).max() <= largest


def test_a_file_that_was_changed_is_refused(exported, tmp_path):
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(exported, copy)
    file = copy / "net.int8.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="was changed after the export"):
        localise(copy, target="onnx", precision="int8")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (SizeRange((512, 512), (16, 16)), (128, 128)),
        (SizeRange((512, 384), (64, 64), 96), (96, 96)),
        (SizeRange((512, 512), (512, 512)), (512, 512)),
        (
            SizeRange((512, 512), (64, 64), 1, ((64, 64), (128, 128), (512, 512))),
            (128, 128),
        ),
        (SizeRange((512, 512), (256, 256), 1, ((256, 256), (512, 512))), (256, 256)),
    ],
)
def test_the_traced_size_is_small_and_accepted(sizes, expected):
    assert traced_size(sizes) == expected
