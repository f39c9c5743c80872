"""Tests that INT8 weights are written, read, and made into exactly the program that was trained."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from edgeexpo.bundle.files import digest
from edgeexpo.errors import WeightsError
from edgeexpo.models import zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.program.capture import capture
from edgeexpo.quantization import int8_weights, ptq
from edgeexpo.quantization.simulation import simulate


def captured(name, size=(64, 64)):
    entry = zoo.get(name)
    torch.manual_seed(0)
    module, spec = deployable(entry.build()), entry.spec
    return capture(module, spec.inputs, spec.outputs, size, spec.multiple)


def given(program):
    generator = torch.Generator().manual_seed(1)
    shapes = [(t.channels, *(t.size or (64, 64))) for t in program.tensors]
    made = [torch.rand(*shape, generator=generator) for shape in shapes]
    names = zip(program.inputs, made, strict=True)
    return [{name: x.permute(1, 2, 0).numpy() for name, x in names}]


SLOW = (
    "expandnet-mobile",
    "twophase-mobile",
    "exponet-mobile",
    "kdfusion-mobile",
    "kdfusion-baseline-mobile",
)


@pytest.mark.parametrize(
    "name",
    ["lrl-mobile", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)],
)
def test_the_program_is_bit_for_bit_what_was_simulated(name, tmp_path):
    program = captured(name)
    pictures = given(program)
    _, graph = ptq.calibrated(program, pictures)
    simulate(graph)
    with torch.no_grad():  # this stands for training
        for parameter in graph.parameters():
            parameter.mul_(1.01)
        wanted = graph(*ptq.tensors(program, pictures)[0])
    path = tmp_path / "w.safetensors"
    int8_weights.write_int8_weights(path, graph, {"preset": name})
    assert int8_weights.is_trained(path)
    read = int8_weights.read_int8_weights(path)
    assert read.facts == {"preset": name}
    again = int8_weights.quantized_by(captured(name), read).exported.module()
    with torch.no_grad():
        assert torch.equal(again(*ptq.tensors(program, pictures)[0]), wanted)


def test_codes_take_a_quarter_of_the_bytes(tmp_path):
    program = captured("lrl-mobile")
    _, graph = ptq.calibrated(program, given(program))
    simulate(graph)
    path = tmp_path / "w.safetensors"
    int8_weights.write_int8_weights(path, graph, {})
    floats = 4 * sum(p.numel() for p in graph.parameters())
    assert path.stat().st_size < 0.35 * floats
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_of_another_network_are_refused(tmp_path):
    program = captured("lrl-mobile")
    _, graph = ptq.calibrated(program, given(program))
    simulate(graph)
    path = tmp_path / "w.safetensors"
    int8_weights.write_int8_weights(path, graph, {"preset": "lrl-mobile"})
    with pytest.raises(WeightsError, match=r"INT8 weights of lrl-mobile with \d+ missing \(body"):
        int8_weights.quantized_by(captured("lrl-8"), int8_weights.read_int8_weights(path))


def test_other_files_are_no_int8_weights(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "float.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    for name in ("float", "damaged", "missing"):
        path = tmp_path / f"{name}.safetensors"
        assert not int8_weights.is_trained(path)
        with pytest.raises(WeightsError, match="holds no INT8 weights"):
            int8_weights.read_int8_weights(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"ranges": "{"},
        {"ranges": "[1]"},
        {"ranges": '{"x": 3}'},
        {"ranges": '{"x": ["a", 0]}'},
        {"ranges": '{"x": [-1.0, 0]}'},
        {"ranges": '{"x": [NaN, 0]}'},
        {"ranges": '{"x": [0.1, 128]}'},
        {"ranges": '{"x": [0.1, 0.5]}'},
        {"facts": "3"},
        {"facts": ""},
    ],
)
def test_damaged_metadata_are_named(tmp_path, changes):
    path = tmp_path / "net.int8.safetensors"
    metadata = {"format": int8_weights.INT8_FORMAT, "ranges": "{}", "facts": "{}", **changes}
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(WeightsError, match="holds damaged INT8 weights"):
        int8_weights.read_int8_weights(path)


@pytest.mark.parametrize("name", [name for name in zoo.ENTRIES if zoo.get(name).int8])
def test_shipped_int8_weights_are_of_the_shipped_float_ones(name):
    entry = zoo.get(name)
    facts = int8_weights.read_int8_weights(entry.int8).facts
    assert facts["preset"] == name
    assert facts["float_sha256"] == digest(entry.weights)
