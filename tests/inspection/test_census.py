"""The census separates integer operators from float operators, in each engine's own graph."""

from __future__ import annotations

import contextlib

import onnx
import pytest
import torch
from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
from executorch.exir._serialize._program import deserialize_pte_binary
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.errors import EngineError
from edgeexpo.export.lowering import lower
from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.inspection.census import Census, is_weighted_kind, onnxruntime_census, take_census
from edgeexpo.inspection.pte import read_pte
from edgeexpo.inspection.xnnpack_payload import read_graph, xnnpack_operators
from edgeexpo.program.capture import capture
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.quantization.quantizer import left_in_float
from edgeexpo.targets import TARGETS

COUNTED = [name for name, record in TARGETS.items() if record.census is not None]
"""Targets whose engine shows its own graph."""

KEPT = frozenset({"conv2d_1"})


@pytest.fixture(scope="module")
def programs(program, quantized, pictures):
    """Return a network of three convolutions in three forms.

    All convolutions are integer, one is left in float, or all are in float.
    """
    return {
        "int8": quantized,
        "mixed": quantize_program(program, pictures, KEPT),
        "fp32": program,
    }


@pytest.fixture(scope="module")
def censuses(programs, tmp_path_factory) -> dict[tuple[str, str], Census]:
    folder = tmp_path_factory.mktemp("artefacts")
    found = {}
    for name, program in programs.items():
        for target in COUNTED:
            artifact = lower(program, target, name, folder)
            found[name, target] = take_census(target, folder / artifact.file)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("target", COUNTED)
def test_every_convolution_is_counted_once(censuses, target):
    counts = {
        name: (censuses[name, target].integer_weighted, censuses[name, target].float_weighted)
        for name in ("int8", "mixed", "fp32")
    }
    assert counts == {"int8": (3, 0), "mixed": (2, 1), "fp32": (0, 3)}


@pytest.mark.slow
def test_without_a_guard_the_engine_quantises_by_itself(programs, censuses, tmp_path):
    """The guard of float weights prevents this; when this test fails, the guard can be removed."""
    path = tmp_path / "net.onnx"
    export_onnx(programs["mixed"], path)
    model = onnx.load(path)
    (guard,) = (node for node in model.graph.node if node.op_type == "Max")
    for node in model.graph.node:
        if guard.output[0] in node.input:
            node.input[0] = guard.input[0]
    model.graph.node.remove(guard)
    onnx.save(model, path)
    assert onnxruntime_census(path).float_weighted == 0
    assert censuses["mixed", "onnx"].float_weighted == 1


@pytest.mark.slow
@pytest.mark.parametrize("target", COUNTED)
def test_only_the_tail_is_in_float(censuses, target):
    """The tail is the addition and the clip of ``clip(y0 + 0.5 f(y0))``, and the multiplication.

    LiteRT's input also passes a guard (:mod:`edgeexpo.export.litert_program`).
    """
    census = censuses["int8", target]
    guards = census.floating.get("Maximum", 0)
    assert guards == (target == "litert")
    assert sum(census.floating.values()) - guards == 3
    assert census.conversions == 2
    assert not census.portable
    assert censuses["mixed", target].conversions == 4
    assert censuses["fp32", target].conversions == 0


def test_the_quantiser_says_why(programs, residual, tensors):
    graph = capture(residual, *tensors, (96, 96)).exported.module()
    reasons = {node.name: why for node, why in left_in_float(graph).items()}
    assert set(reasons.values()) == {"exact tail"}
    assert not [name for name in reasons if is_weighted_kind(name)]
    reasons = {node.name: why for node, why in left_in_float(graph, KEPT).items()}
    assert reasons["conv2d_1"] == "asked for"


def test_portable_kernels_are_told_apart(tensors, tmp_path):
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, y0):
            return torch.erf(self.conv(y0))

    artifact = lower(capture(Net().eval(), *tensors, (32, 32)), "executorch", "net", tmp_path)
    census = take_census("executorch", tmp_path / artifact.file)
    assert census.portable == {"aten::erf": 1}
    assert census.floating == {"Conv2d": 1, "aten::erf": 1}


def test_names_of_convolutions():
    for name in ("QLinearConv", "FusedConv", "ConvTranspose2d", "FullyConnected", "linear", "conv"):
        assert is_weighted_kind(name), name
    for name in ("QLinearConcat", "Concatenate2", "QLinearAdd", "Add", "concat", "Convert"):
        assert not is_weighted_kind(name), name


def test_what_the_engine_refuses_is_an_error(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"garbage")
    with pytest.raises(EngineError, match=r"cannot load net\.onnx"):
        onnxruntime_census(path)


@pytest.fixture(scope="module")
def delegate(tensors, tmp_path_factory) -> bytes:
    """Return XNNPACK's part of a network that concatenates two convolutions of one input."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.b = torch.nn.Conv2d(3, 4, 1)

        def forward(self, y0):
            return torch.cat([self.a(y0), self.b(y0)], 1)

    folder = tmp_path_factory.mktemp("delegate")
    artifact = lower(capture(Net().eval(), *tensors, (32, 32)), "executorch", "net", folder)
    program = deserialize_pte_binary((folder / artifact.file).read_bytes()).program
    return bytes(program.backend_delegate_data[0].data)


def test_biases_and_room_for_more_inputs_are_not_read(delegate):
    read = {o.name: [t.shape[-1] for t in o.reads] for o in xnnpack_operators(delegate)}
    assert read["Conv2d"] == [3, 3]  # NHWC and OHWI, without the bias of 4
    assert read["Concatenate2"] == [4, 4]


def test_a_graph_is_written_as_it_was_read(delegate):
    graph, write = read_graph(delegate)
    again = write(graph)
    assert xnnpack_operators(again) == xnnpack_operators(delegate)
    constants = XNNHeader.from_bytes(delegate[: XNNHeader.EXPECTED_LENGTH]).constant_data_size
    assert XNNHeader.from_bytes(again[: XNNHeader.EXPECTED_LENGTH]).constant_data_size == constants


def test_garbage_is_no_xnnpack_graph(delegate):
    with pytest.raises(ValueError, match="magic bytes"):
        xnnpack_operators(bytes(64))
    head = XNNHeader.EXPECTED_LENGTH
    with pytest.raises(ValueError, match="no graph of XNNPACK"):
        xnnpack_operators(delegate[:head] + b"garbage!" * 200)


@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_is_a_graph_or_a_typed_error(delegate, position, value):
    changed = bytearray(delegate)
    changed[position % len(changed)] = value
    with contextlib.suppress(ValueError):
        assert isinstance(xnnpack_operators(bytes(changed)), tuple)


def test_garbage_is_no_program(tmp_path):
    path = tmp_path / "net.pte"
    for content, reason in ((b"", "magic number"), (b"1234ET12" + b"garbage" * 40, "buffer")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            read_pte(path)
