"""The reference on its devices: recorded, compared in float64, refused without the device."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.cli import main
from edgeexpo.errors import MissingDependencyError, UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity import recording, reference
from edgeexpo.parity.golden import read_golden
from edgeexpo.parity.referee import AGREEMENT, Ruling, referee
from edgeexpo.parity.reference import ProgramReference, choose_device, describe_device, fused_codes
from tests.support.golden_bundle import mean
from tests.support.pictures import smooth_picture
from tests.support.tiny_bundle import write_bundle


class Mean(torch.nn.Module):
    """The network of :mod:`tests.support.tiny_bundle`, in torch."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        torch.nn.init.constant_(self.conv.weight, 1 / 9)

    def forward(self, y0):
        return self.conv(y0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Write a bundle with a float program and one ONNX artefact of it."""
    facts = {"front": None, "back": None, "frames": ("photo",)}
    folder = write_bundle(tmp_path_factory.mktemp("b") / "bundle", **facts)
    side = {2: torch.export.Dim("h", min=16, max=64), 3: torch.export.Dim("w", min=16, max=64)}
    program = torch.export.export(Mean(), (torch.rand(1, 3, 48, 40),), dynamic_shapes=(side,))
    torch.export.save(program, folder / "reference.pt2")
    manifest = Bundle.open(folder).manifest
    files = {"reference.pt2": digest(folder / "reference.pt2")}
    write_manifest(folder, dataclasses.replace(manifest, files=files))
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def inputs():
    return {f"p{i}": {"y0": smooth_picture(40, 48, i)} for i in range(2)}


def test_the_program_is_run_in_the_precision_asked_for(bundle, inputs):
    single = ProgramReference(bundle, "reference.pt2", "cpu")(inputs["p0"])
    double = ProgramReference(bundle, "reference.pt2", "cpu", torch.float64)(inputs["p0"])
    expected = mean(inputs["p0"]["y0"].astype(np.float64))
    np.testing.assert_allclose(double, expected, atol=1e-7)
    np.testing.assert_allclose(single, expected, atol=1e-6)


def test_the_referee_says_which_of_two_is_nearer(bundle, inputs):
    exact = {name: mean(sample["y0"].astype(np.float64)) for name, sample in inputs.items()}
    near = {name: y + np.float32(1e-5) for name, y in exact.items()}
    far = {name: y - np.float32(1e-3) for name, y in exact.items()}
    ruling = referee(bundle, inputs, far, near)
    assert ruling.nearer == "second"
    assert ruling.first == pytest.approx(1e-3, rel=0.01)
    assert ruling.second == pytest.approx(1e-5, rel=0.05)
    assert not ruling.agree
    assert referee(bundle, inputs, near, far).nearer == "first"
    assert referee(bundle, inputs, near, near).agree


class Codes(torch.nn.Module):
    """A network with 8-bit codes of one value for two readers, and codes as its result."""

    def __init__(self, scale: float, zero_point: int) -> None:
        super().__init__()
        self.grid = (scale, zero_point, -128, 127, torch.int8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
        dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default
        codes = quantize(x, *self.grid)
        first, second = dequantize(codes, *self.grid), dequantize(codes, *self.grid)
        return first.exp() + second, quantize(first.sin(), *self.grid)


@given(scale=st.floats(1e-5, 1e3), zero_point=st.integers(-128, 127), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_codes_in_one_step_are_the_same_numbers(scale, zero_point, seed):
    import torch.ao.quantization.fx._decomposed  # registers the operators

    x = (torch.rand(3, 50, generator=torch.manual_seed(seed)) * 300 - 150) * scale
    module = torch.fx.symbolic_trace(Codes(scale, zero_point))
    expected = module(x)
    found = fused_codes(module)
    assert all(torch.equal(a, b) for a, b in zip(found(x), expected, strict=True))
    targets = [str(node.target) for node in found.graph.nodes if node.op == "call_function"]
    assert sum("quantize_per_tensor" in target for target in targets) == 1


def test_a_reference_with_nan_is_never_the_nearer_one():
    nan = float("nan")
    assert Ruling(nan, nan, 1.0).nearer == "second"
    assert Ruling(nan, 1.0, nan).nearer == "first"
    assert Ruling(nan, nan, nan).nearer == "neither"
    assert not Ruling(nan, nan, 1.0).agree
    assert Ruling(AGREEMENT, 0.0, 0.0).agree


def test_a_recording_keeps_the_middle_of_every_picture(bundle):
    pictures = [Sample("big", (smooth_picture(300, 280),), None)]
    golden = recording.record(bundle, "cpu", pictures, recording.recorded_probes(bundle)[:2])
    assert golden.inputs["big"]["y0"].shape == (256, 256, 3)
    np.testing.assert_array_equal(golden.inputs["big"]["y0"], pictures[0].frames[0][22:278, 12:268])
    for name, sample in golden.inputs.items():
        np.testing.assert_allclose(golden.outputs[name], mean(sample["y0"]), atol=1e-6)
    assert len(golden.probes) == 2
    assert golden.device == describe_device("cpu")


def test_a_photograph_may_have_the_name_of_a_probe(bundle):
    pictures = [Sample("ramps", (smooth_picture(48, 40),), None)]
    golden = recording.record(bundle, "cpu", pictures, recording.recorded_probes(bundle)[:1])
    assert golden.probes == ("ramps",)
    assert golden.inputs["ramps (photograph)"]["y0"].shape == (48, 40, 3)


def test_another_device_is_compared_with_the_cpu(bundle):
    pictures = [Sample("p", (smooth_picture(48, 40),), None)]
    golden = recording.record(bundle, "cpu", pictures)
    wrong = {name: y + np.float32(0.01) for name, y in golden.outputs.items()}
    device = dataclasses.replace(golden.device, device="xpu")
    described, ruling = recording.compared_with_cpu(
        bundle, dataclasses.replace(golden, outputs=wrong, device=device)
    )
    assert ruling.difference == pytest.approx(0.01, rel=0.01)
    assert described.device.details["nearer_to_float64"] == "cpu"
    assert described.device.details["difference_to_cpu"] == "1.00e-02"
    assert described.device.details["torch"] == torch.__version__


def test_what_was_recorded_here_is_judged_elsewhere(bundle, tmp_path, capsys):
    import shutil

    from PIL import Image

    folder, photographs = tmp_path / "copy", tmp_path / "photographs"
    shutil.copytree(bundle.path, folder)
    photographs.mkdir()
    picture = (smooth_picture(64, 64) * 255).round().astype(np.uint8)
    Image.fromarray(picture).save(photographs / "sea.png")
    verb = ["parity", str(folder), "--gate", "max_abs<=1e-4", "--json"]
    assert main([*verb, "--reference", "cpu", "--images", str(photographs), "--record"]) == 0
    recorded = json.loads(capsys.readouterr().out)["recorded"]
    assert recorded["photographs"] == 1
    assert recorded["device"]["details"]["flags"] == reference.FLAGS
    Bundle.open(folder).verify()
    assert set(read_golden(Bundle.open(folder)).probes) > {"ramps", "zone-plate"}
    assert main([*verb, "--reference", "golden"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"] == recorded["device"]
    assert {r["kind"] for r in found["artifacts"][0]["per_input"]} == {"photograph", "probe"}


def test_devices_are_those_that_torch_finds(monkeypatch):
    def found(kind):
        device = None if kind is None else torch.device(kind)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: device)

    found(None)
    assert choose_device("auto") == choose_device("golden") == choose_device("cpu") == "cpu"
    with pytest.raises(MissingDependencyError, match="no cuda device was found"):
        choose_device("cuda")
    found("mps")
    assert choose_device("auto") == choose_device("mps") == "mps"
    with pytest.raises(MissingDependencyError, match="no cuda device was found"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="expected auto, cuda, mps, xpu, cpu, golden"):
        choose_device("tpu")
