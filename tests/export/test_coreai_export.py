"""Lowering to Core AI, and its runtime and reader on the files. It is a beta of Apple's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeexpo.errors import BundleError, EngineError
from edgeexpo.export.lowering import lower
from edgeexpo.inspection.contents import read_contents
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.spec import ModelSpec, TensorSpec

pytest.importorskip(
    "coreai_torch", reason="the extra coreai is not installed (glibc 2.34 or macOS 26)"
)

TENSORS = (TensorSpec("x"),), (TensorSpec("y"),)
SPEC = ModelSpec("net", "t", ("x",), *TENSORS, halo=1)


class Network(torch.nn.Module):
    """A convolution and an ELU, which Core AI has no lowering for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.nn.functional.elu(self.convolution(x) - 0.5, 0.7)


@pytest.fixture(scope="module")
def program():
    return capture(Network(), *TENSORS, (32, 32))


@pytest.fixture(scope="module")
def made(program, tmp_path_factory):
    """Lower the network twice; return the folder and both artefacts."""
    folder = tmp_path_factory.mktemp("coreai")
    return folder, lower(program, "coreai", "net", folder), lower(program, "coreai", "two", folder)


@pytest.fixture
def picture():
    return np.random.default_rng(0).random((1, 3, 24, 32), np.float32)


def in_torch(program, picture):
    with torch.inference_mode():
        return program.exported.module()(torch.from_numpy(picture)).numpy()


def test_the_runtime_computes_what_torch_does_at_another_size(program, made, picture):
    folder, artifact, _ = made
    engine = open_engine("coreai", folder / artifact.file, SPEC)
    found = engine.run({"x": picture})["y"]
    np.testing.assert_allclose(found, in_torch(program, picture), rtol=0, atol=1e-5)
    kept = found.copy()
    engine.run({"x": 1 - picture})
    np.testing.assert_array_equal(found, kept)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"x": picture})


def test_an_fp16_file_is_computed_in_half_precision(program, picture, tmp_path):
    halved = half(program)
    artifact = lower(halved, "coreai", "net", tmp_path)
    found = open_engine("coreai", tmp_path / artifact.file, SPEC).run({"x": picture})["y"]
    np.testing.assert_allclose(found, in_torch(halved, picture), rtol=0, atol=2e-3)
    assert np.abs(found - in_torch(program, picture)).max() > 1e-5


def test_an_int8_file_is_what_the_quantised_program_shows(program, picture, tmp_path):
    frames = np.random.default_rng(1).random((3, 32, 32, 3), np.float32)
    quantized = quantize_program(program, [{"x": frame} for frame in frames])
    artifact = lower(quantized, "coreai", "net", tmp_path)
    found = open_engine("coreai", tmp_path / artifact.file, SPEC).run({"x": picture})["y"]
    np.testing.assert_allclose(found, in_torch(quantized, picture), rtol=0, atol=1e-5)
    assert np.abs(found - in_torch(program, picture)).max() > 1e-4
    operators = read_contents(tmp_path / artifact.file)["operators"]
    assert operators["quantize"] >= 1
    assert operators["dequantize"] >= 2


def test_a_file_holds_no_date_and_no_path_of_this_machine(made):
    folder, first, _ = made
    assert "creationDate" not in (folder / first.file / "metadata.json").read_text("utf-8")
    assert __file__.encode() not in (folder / first.file / "main.mlirb").read_bytes()


def test_the_reader_shows_tensors_and_operators(made):
    folder, artifact, _ = made
    contents = read_contents(folder / artifact.file)
    assert contents["inputs"] == [{"name": "x", "shape": [1, 3, None, None], "dtype": "float32"}]
    assert contents["operators"]["conv2d"] == 1
    assert contents["compute_types"]


def test_an_input_of_another_shape_is_refused_by_name(made, picture):
    folder, artifact, _ = made
    engine = open_engine("coreai", folder / artifact.file, SPEC)
    with pytest.raises(EngineError, match=r"'x' is 1x2x24x32; expected 1x3x\?x\?"):
        engine.run({"x": picture[:, :2]})
    with pytest.raises(EngineError, match="'x' is missing"):
        engine.run({})


def test_a_damaged_program_is_refused_before_it_ends_the_process(made):
    folder, _, artifact = made
    file = folder / artifact.file / "main.mlirb"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(EngineError, match="damaged"):
        open_engine("coreai", folder / artifact.file, SPEC)
    with pytest.raises(BundleError, match="damaged"):
        read_contents(folder / artifact.file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EngineOptions(threads=2), "leave threads out"),
        (EngineOptions(arena=False), "leave arena=False out"),
    ],
)
def test_options_that_core_ai_cannot_follow_are_refused(made, options, message):
    folder, artifact, _ = made
    with pytest.raises(EngineError, match=message):
        open_engine("coreai", folder / artifact.file, SPEC, options)
