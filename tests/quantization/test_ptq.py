from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torchao.quantization.pt2e import qat_utils

from edgeexpo.errors import ExportError, UsageError
from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.program.agreement import check_agreement
from edgeexpo.program.capture import capture
from edgeexpo.program.exact_tail import (
    computed_once,
    exact_tail,
    float_operators,
    is_weighted,
    tail_border,
)
from edgeexpo.quantization.observers import OBSERVERS
from edgeexpo.quantization.ptq import calibrated, quantize_program
from edgeexpo.quantization.quantizer import ImageQuantizer
from edgeexpo.quantization.simulation import roundings, simulate
from edgeexpo.runtime.engines.executorch import ExecutorchEngine
from edgeexpo.spec import ModelSpec, TensorSpec


def test_the_tail_is_what_follows_the_last_convolution(program):
    module = program.exported.module()
    tail = exact_tail(module)
    assert {str(n.target) for n in tail} == {
        "aten.mul.Tensor",
        "aten.add.Tensor",
        "aten.clamp.default",
    }
    border = tail_border(module, tail)
    assert len(border) == 1
    assert is_weighted(border.pop())


def test_int8_is_near_the_float_program_and_is_not_it(quantized, residual, pictures):
    integer = quantized.exported.module()
    x = torch.from_numpy(pictures[0]["y0"].transpose(2, 0, 1)[None].copy())
    error = (integer(x) - residual(x)).abs()
    assert 0 < error.max() < 0.02


def test_weights_are_per_channel_and_every_convolution_is_quantised(quantized):
    targets = [str(n.target) for n in quantized.exported.graph.nodes if n.op != "output"]
    convolutions = sum("conv2d" in t for t in targets)
    assert sum("dequantize_per_channel" in t for t in targets) == convolutions == 3


def test_the_identity_path_stays_exact(residual, tensors, pictures):
    """With a zero correction, the picture comes back bit for bit, even between two codes."""
    silent = copy.deepcopy(residual)
    torch.nn.init.zeros_(silent.body[-1].weight)
    torch.nn.init.zeros_(silent.body[-1].bias)
    integer = quantize_program(capture(silent, *tensors, (96, 96)), pictures).exported.module()
    x = torch.linspace(0, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    assert torch.equal(integer(x), x)


def test_no_picture_and_bad_pictures_are_refused(program):
    with pytest.raises(UsageError, match="no picture"):
        quantize_program(program, [])
    with pytest.raises(UsageError, match="NaN"):
        quantize_program(program, [{"y0": np.full((32, 32, 3), np.nan, np.float32)}])


def test_a_network_without_integer_work_is_refused(tensors):
    class Invert(torch.nn.Module):
        def forward(self, y0):
            return 1 - y0

    flat = capture(Invert(), *tensors, (32, 32))
    with pytest.raises(ExportError, match="no operator that can run in INT8"):
        quantize_program(flat, [{"y0": np.zeros((32, 32, 3), np.float32)}])


class Gated(torch.nn.Module):
    """A network with operators that stay in float: means, scalar arithmetic and a last sigmoid."""

    def __init__(self):
        super().__init__()
        self.first, self.gate = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 1)
        self.middle, self.last = torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 1)

    def forward(self, y0):
        x = torch.relu(self.first(y0 * 2.0 - 1.0))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return torch.sigmoid(self.last(torch.relu(self.middle(x))))


def test_what_needs_finer_steps_stays_in_float_and_is_named(tensors, pictures):
    torch.manual_seed(0)
    module = quantize_program(
        capture(Gated().eval(), *tensors, (96, 96)), pictures
    ).exported.module()
    found = float_operators(module)
    assert found == {"conv2d": 3, "mean": 1, "mul": 1, "relu": 1, "sigmoid": 2, "sub": 1}


def test_enlarging_is_no_convolution():
    class Enlarged(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")

    module = torch.export.export(Enlarged(), (torch.rand(1, 3, 8, 8),)).module()
    assert not any(is_weighted(node) for node in module.graph.nodes)


def test_a_global_branch_is_computed_once(tensors):
    class Global(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.vector = torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.Conv2d(4, 4, 8)
            self.local, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 3, 1)

        def forward(self, picture, thumbnail):
            vector = self.vector(torch.relu(self.down(thumbnail)))
            return self.last(torch.relu(self.local(picture) + vector))

    specs = (TensorSpec("picture"), TensorSpec("thumbnail", size=(16, 16)))
    module = capture(Global().eval(), specs, tensors[1], (64, 64)).exported.module()
    assert [n.name for n in module.graph.nodes if n in computed_once(module)] == [
        "conv2d",
        "relu",
        "conv2d_1",
    ]


class Prepared(torch.nn.Module):
    """A network that keeps its mask for one size and computes it for any other."""

    def __init__(self, rows):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 1)
        self.rows = rows
        self.register_buffer("kept", self.mask(rows))

    def mask(self, rows):
        return torch.arange(rows).remainder(2).float().view(1, 1, rows, 1)

    def forward(self, y0):
        rows = y0.shape[2]
        mask = self.kept if rows == self.rows else self.mask(rows)
        return y0 + self.last(torch.relu(self.first(y0)) * mask)


def test_a_branch_on_the_exported_size_that_changes_nothing_is_quantised(tensors, pictures):
    rows = pictures[0]["y0"].shape[0]
    program = capture(Prepared(rows).eval(), *tensors, (rows, 96), 2, prove=check_agreement)
    assert program.dynamic
    assert quantize_program(program, pictures[:1]).precision == "int8"


class Shared(torch.nn.Module):
    """A network with one convolution for both frames, as in siamese encoders."""

    def __init__(self):
        super().__init__()
        self.shared = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.last = torch.nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, under, over):
        both = [torch.relu(self.shared(frame)) for frame in (under, over)]
        return self.last(torch.cat(both, 1))


def test_shared_weights_are_quantised_wherever_they_are_read(tensors, pictures, tmp_path):
    torch.manual_seed(0)
    network = Shared().eval()
    specs = (TensorSpec("under"), TensorSpec("over"))
    frames = [{"under": p["y0"], "over": 0.5 * p["y0"]} for p in pictures]
    program = capture(network, specs, tensors[1], (96, 96))
    integer = quantize_program(program, frames)
    assert float_operators(integer.exported.module()) == {}
    path = tmp_path / "net.pte"
    export_executorch(integer, path)
    engine = ExecutorchEngine(ModelSpec("n", "t", (), specs, tensors[1], None))
    engine.load(path)
    inputs = {n: p.transpose(2, 0, 1)[None].copy() for n, p in frames[0].items()}
    expected = network(*(torch.from_numpy(x) for x in inputs.values())).detach().numpy()
    assert np.abs(engine.run(inputs)["y_hat"] - expected).max() < 0.05
    engine.close()


def test_a_picture_between_two_phases_stays_in_float():
    class Phases(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.middle = torch.nn.Conv2d(8, 3, 3, padding=1)
            self.gate = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.last = torch.nn.Conv2d(8, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            picture = torch.sigmoid(self.middle(torch.relu(self.first(x))))
            return torch.sigmoid(self.last(torch.sigmoid(self.gate(picture))))

    example = (torch.rand(1, 3, 16, 16),)
    module = torch.export.export(Phases().eval(), example).module()
    annotated = ImageQuantizer().annotate(module)
    convolutions = [n for n in annotated.graph.nodes if "conv2d" in str(n.target)]
    quantised = ["quantization_annotation" in n.meta for n in convolutions]
    assert quantised == [True, False, True, False]


@pytest.mark.parametrize("observer", ["mse", "minmax", "percentile"])
def test_observers_take_ranges_from_what_they_see(program, pictures, observer):
    _, prepared = calibrated(program, pictures, observer=observer)
    simulate(prepared)
    x = torch.from_numpy(pictures[0]["y0"].transpose(2, 0, 1)[None].copy())
    own = next(r for n, r in roundings(prepared).items() if n == "y0").range
    low, high = (own.scale * (code - own.zero_point) for code in (-128, 127))
    assert low <= float(x.min()) + 0.02
    assert 0.9 * float(x.max()) <= high <= 1.05
    assert program.exported.module()(x).sub(prepared(x)).abs().max() < 0.03


def test_percentiles_let_outliers_go():
    observer = OBSERVERS["percentile"](dtype=torch.int8, qscheme=torch.per_tensor_affine)
    values = torch.rand(1, 1, 400, 400)
    values[0, 0, :3, 0] = 50.0
    observer(values)
    assert observer.max_val < 1.01


def test_a_layer_that_overflows_is_named_with_its_picture(residual, tensors, pictures):
    broken = copy.deepcopy(residual)
    with torch.no_grad():
        broken.body[2].weight[0] = 3e38
    program = capture(broken, *tensors, (96, 96))
    with pytest.raises(UsageError, match=r"layer body\.2 \(conv2d_1\) gives NaN .* picture 1;"):
        quantize_program(program, pictures)


class Normalised(torch.nn.Module):
    """A batch normalisation that belongs to no convolution."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.middle = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.last = torch.nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, y0):
        y = torch.relu(self.norm(torch.relu(self.first(y0))))
        return y0 + 0.1 * self.last(torch.relu(self.middle(y)))


def test_a_batch_normalisation_costs_no_search_for_patterns_of_training(
    tensors, pictures, monkeypatch
):
    def search(*_, **__):
        raise AssertionError("patterns are traced")

    monkeypatch.setattr(qat_utils, "_get_aten_graph_module_for_pattern", search)
    torch.manual_seed(0)
    network = Normalised().eval()
    quantized = quantize_program(capture(network, *tensors, (64, 80)), pictures)
    assert any("batch_norm" in str(n.target) for n in quantized.exported.graph.nodes)
    x = torch.from_numpy(pictures[0]["y0"].transpose(2, 0, 1)[None].copy())
    torch.testing.assert_close(quantized.exported.module()(x), network(x), atol=0.02, rtol=0)
