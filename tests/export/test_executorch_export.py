"""Tests of what ExecuTorch computes outside the delegate, and at one size only."""

from __future__ import annotations

import pytest
import torch
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from torch import nn
from torch.nn import functional as F

from edgeexpo.errors import ExportError
from edgeexpo.export import executorch_export
from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.export.xnnpack_layouts import repaired_layouts
from edgeexpo.export.xnnpack_pads import repaired_pads
from edgeexpo.export.xnnpack_partitioner import partitioner
from edgeexpo.program.capture import capture
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.executorch import ExecutorchEngine
from edgeexpo.spec import ModelSpec, TensorSpec
from tests.support.pictures import smooth_picture

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)
SPEC = ModelSpec(name="net", task="test", frames=("x",), inputs=X, outputs=Y, halo=None)


def run(path, x):
    engine = ExecutorchEngine(SPEC)
    engine.load(path)
    return torch.from_numpy(engine.run({"x": x.numpy()})["y"])


class Dynamic(nn.Module):
    """A convolution whose kernel the network computes, before one with a plain kernel."""

    def __init__(self):
        super().__init__()
        self.layer, self.kernel = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.Parameter(torch.rand(3, 3, 1, 1)),
        )

    def forward(self, x):
        return self.layer(F.conv2d(x, self.kernel * x.mean()))


def test_a_computed_kernel_runs_on_portable_kernels_and_a_note_says_so(tmp_path, capsys):
    torch.manual_seed(0)
    network = Dynamic().eval()
    export_executorch(capture(network, X, Y, (32, 32)), tmp_path / "net.pte")
    said = capsys.readouterr().err
    assert "aten.convolution.default at test_executorch_export.py:" in said
    assert "10% of the multiplications" in said
    x = torch.rand(1, 3, 24, 20)
    with torch.no_grad():
        torch.testing.assert_close(run(tmp_path / "net.pte", x), network(x))


def test_a_network_that_lowers_at_one_size_only_gets_an_artefact_of_that_size(
    residual, tmp_path, capsys, monkeypatch
):
    lowered = executorch_export._lowered

    def picky(program):
        if program.dynamic:
            raise ExportError("resizes to a computed size")
        return lowered(program)

    monkeypatch.setattr(executorch_export, "_lowered", picky)
    sizes = export_executorch(capture(residual, X, Y, (32, 32)), tmp_path / "net.pte")
    assert sizes.smallest == sizes.largest == (32, 32)
    assert "takes 32x32 alone: resizes to a computed size" in capsys.readouterr().err


class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ConvTranspose3d(3, 3, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x):
        return self.layer(x[:, :, None])[:, :, 0]


def test_a_convolution_without_any_kernel_is_refused(tmp_path):
    program = capture(Volume().eval(), X, Y, (32, 32))
    with pytest.raises(
        ExportError, match=r"over 3 axes at test_executorch_export.py:\d+; expected"
    ):
        export_executorch(program, tmp_path / "net.pte")
    assert not list(tmp_path.iterdir())


class Shrunk(nn.Module):
    """A quantised result that two operators outside the delegate read."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        return torch.clamp(x + 0.3 * self.b(F.hardshrink(self.a(x), 0.1)), 0, 1)


class Sliced(nn.Module):
    """A quantised result that convolutions and an assignment read."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        y = self.a(x)
        z = y + 1
        z[:, 5] = y[:, 6]
        return torch.clamp(x + 0.3 * self.b(z), 0, 1)


class Padded(nn.Module):
    """A quantised result that is padded for a convolution, a pooling and a slice."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3)

    def forward(self, x):
        y = F.pad(self.a(x), (1, 1, 1, 1))
        z = F.max_pool2d(y, 3, 1)[:, :3] * y[:, :3, 2:, 2:]
        return torch.clamp(x + 0.3 * self.b(y) + z, 0, 1)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Shrunk, marks=pytest.mark.slow),
        Sliced,
        pytest.param(Padded, marks=pytest.mark.slow),
    ],
    ids=lambda network: network.__name__,
)
def shared(request):
    torch.manual_seed(0)
    pictures = [{"x": smooth_picture(32, 32, seed)} for seed in range(2)]
    return quantize_program(capture(request.param().eval(), X, Y, (32, 32)), pictures)


def test_quantised_results_with_several_readers_are_right(shared, tmp_path):
    export_executorch(shared, tmp_path / "net.pte")
    x = torch.rand(1, 3, 32, 24)
    difference = run(tmp_path / "net.pte", x) - shared.exported.module()(x)
    assert difference.square().mean() < 1e-6


@pytest.mark.slow
def test_executorch_still_needs_its_passes_repaired(shared, tmp_path):
    """Show why the repairs are needed. When this test fails, one of them can go."""
    with pytest.raises(Exception, match=r"ChannelsLastTaggedReshapePass|execute|load"):
        lower_and_run(shared, tmp_path / "net.pte")


def lower_and_run(program, path):
    """Lower a program as executorch does by itself, and run it."""
    config = EdgeCompileConfig(_check_ir_validity=False)
    edge = to_edge_transform_and_lower(
        program.exported, partitioner=[partitioner()], compile_config=config
    )
    path.write_bytes(edge.to_executorch().buffer)
    run(path, torch.rand(1, 3, 32, 24))


def test_the_repair_ends_with_the_lowering():
    from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import (
        ChannelsLastTaggedReshapePass,
    )
    from executorch.backends.xnnpack._passes.insert_pad_qdq import InsertPadQDQPass

    before = ChannelsLastTaggedReshapePass.insert_copy_q_dq, InsertPadQDQPass.call
    with repaired_layouts(), repaired_pads():
        assert ChannelsLastTaggedReshapePass.insert_copy_q_dq is not before[0]
        assert InsertPadQDQPass.call is not before[1]
    assert (ChannelsLastTaggedReshapePass.insert_copy_q_dq, InsertPadQDQPass.call) == before


class Returned(nn.Module):
    """A padded picture that a convolution reads and that is part of the result."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        h, w = x.shape[2:]
        padded = F.pad(x, (0, 5, 0, 3))
        return (padded + 0.3 * self.b(F.relu(self.a(padded))))[:, :, :h, :w]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_padded_picture_that_several_parts_read_is_right(precision, tmp_path):
    torch.manual_seed(0)
    program = capture(Returned().eval(), (TensorSpec("x", size=(32, 24)),), Y, (32, 24))
    if precision == "int8":
        program = quantize_program(program, [{"x": smooth_picture(32, 24, 0)}])
    export_executorch(program, tmp_path / "net.pte")
    x = torch.rand(1, 3, 32, 24)
    difference = run(tmp_path / "net.pte", x) - program.exported.module()(x)
    assert difference.square().mean() < 1e-6
