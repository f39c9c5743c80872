"""Tests of the interpreter against torch, with modules converted, saved and read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeexpo.errors import EngineError
from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.program.half import half
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.silence import quiet
from edgeexpo.spec import TensorSpec


def interpret(program, folder):
    path = folder / "net.mlpackage"
    export_coreml(program, path)
    engine = MilEngine()
    engine.load(path)
    return engine


def picture(height=64, width=64):
    return np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("fp16", 2e-3), ("int8", 1e-2)])
def test_the_residual_network(residual, tensors, pictures, precision, bound, tmp_path):
    program = capture(residual, *tensors, (96, 96))
    lowered = {
        "fp32": lambda: program,
        "fp16": lambda: half(program),
        "int8": lambda: quantize_program(program, pictures),
    }[precision]()
    engine = interpret(lowered, tmp_path)
    run = lowered.exported.module()
    for size in ((96, 96), (64, 64)):
        x = picture(*size)
        with torch.no_grad():
            expected = run(torch.from_numpy(x)).numpy()
        assert np.abs(engine.run({"y0": x})["y_hat"] - expected).max() <= bound
    assert engine.operators["conv"] == 3
    assert (engine.operators["quantize"] > 0) == (precision == "int8")
    assert not engine.nonfinite


def test_the_exact_tail_is_float32_in_the_saved_package(residual, tensors, pictures, tmp_path):
    """With a zero correction, a picture comes back unchanged, even between two codes."""
    import copy

    silent = copy.deepcopy(residual)
    nn.init.zeros_(silent.body[-1].weight)
    nn.init.zeros_(silent.body[-1].bias)
    engine = interpret(quantize_program(capture(silent, *tensors, (96, 96)), pictures), tmp_path)
    x = picture()
    np.testing.assert_array_equal(engine.run({"y0": x})["y_hat"], x)


class Shapes(nn.Module):
    """A network with pooling, resizing, concatenation, padding, slices and shuffles."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)
        self.dilated = nn.Conv2d(8, 4, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(12, 12, 3, padding=1, groups=4)

    def forward(self, x):
        y = F.leaky_relu(self.down(x), 0.2)
        small = F.max_pool2d(y, 2, 2)
        y = y + F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
        y = y * F.interpolate(F.avg_pool2d(y, 2, 2), scale_factor=2, mode="nearest")
        y = torch.cat([self.up(y), self.dilated(self.up(y))], 1)
        y = F.pad(self.grouped(y), (1, 1, 1, 1), mode="reflect")[..., 1:-1, 1:-1]
        y = F.pixel_shuffle(F.pixel_unshuffle(y[:, :3], 2), 2)
        return x + y


class Activations(nn.Module):
    """A network with nonlinearities, normalisation, reductions and gates."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(8))
        self.batch = nn.BatchNorm2d(3)
        self.prelu = nn.PReLU(3)

    def forward(self, x):
        a, b, c, d, e, f, g, h = (layer(x) for layer in self.layers)
        y = F.elu(a) + torch.sigmoid(b) * torch.tanh(c) + F.silu(d) + F.gelu(e)
        y = y + self.prelu(f) + F.hardtanh(g, -0.5, 0.5) + F.softplus(h)
        y = self.batch(y) * torch.softmax(a, 1) + x.mean((2, 3), keepdim=True)
        y = y + x.amax((2, 3), keepdim=True) - torch.sqrt(torch.abs(x) + 1e-3) + x**2
        return torch.minimum(torch.maximum(y, x), torch.exp(x))


@pytest.mark.parametrize("module", [Shapes, Activations])
def test_common_operators(module, tmp_path):
    torch.manual_seed(0)
    network = module().eval()
    spec = (TensorSpec("x"),)
    engine = interpret(capture(network, spec, (TensorSpec("out"),), (64, 64), 8), tmp_path)
    x = picture()
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(engine.run({"x": x})["out"], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("kind", "weight"),
    [("linear", "affine"), ("palette", "lut")],
)
def test_compressed_weights(residual, tensors, kind, weight, tmp_path):
    path = tmp_path / "net.mlpackage"
    export_coreml(capture(residual, *tensors, (64, 64)), path)
    with quiet():
        import coremltools as ct
        import coremltools.optimize.coreml as optimize

        model = ct.models.MLModel(str(path), skip_model_load=True)
        if kind == "linear":
            config = optimize.OpLinearQuantizerConfig(weight_threshold=0)
            packed = optimize.linear_quantize_weights(
                model, optimize.OptimizationConfig(global_config=config)
            )
        else:
            config = optimize.OpPalettizerConfig(mode="uniform", nbits=8, weight_threshold=0)
            packed = optimize.palettize_weights(
                model, optimize.OptimizationConfig(global_config=config)
            )
        packed.save(str(tmp_path / "packed.mlpackage"))
    engine = MilEngine()
    engine.load(tmp_path / "packed.mlpackage")
    assert any(name.startswith("constexpr") and weight in name for name in engine.operators)
    x = picture()
    with torch.no_grad():
        expected = residual(torch.from_numpy(x)).numpy()
    assert 0 < np.abs(engine.run({"y0": x})["y_hat"] - expected).max() < 0.02


def test_overflow_in_fp16_is_named(tensors, tmp_path):
    class Loud(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 1)
            nn.init.constant_(self.convolution.weight, 4e4)

        def forward(self, y0):
            return y0 + 1e-6 * self.convolution(y0)

    engine = interpret(half(capture(Loud(), *tensors, (64, 64))), tmp_path)
    engine.run({"y0": np.ones((1, 3, 64, 64), np.float32)})
    assert any(name.startswith("conv") for name in engine.nonfinite)


def test_garbage_is_refused(tmp_path):
    (tmp_path / "net.mlpackage").mkdir()
    with pytest.raises(EngineError, match="not a readable mlprogram"):
        MilEngine().load(tmp_path / "net.mlpackage")
