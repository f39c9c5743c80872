"""Tests that a program without complex numbers computes what the program with them does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.errors import ExportError
from edgeexpo.program.capture import capture
from edgeexpo.program.complex_pairs import Pair
from edgeexpo.program.fourier import TRANSFORMS, transform, waves
from edgeexpo.program.real_form import has_complex, real_form, transforms_varying_sides
from edgeexpo.program.source import node_source
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)
HEIGHT, WIDTH = 16, 18


def filtered(x):
    spectrum = torch.fft.rfft2(x, norm="ortho")
    return torch.fft.irfft2(spectrum * spectrum.abs(), s=x.shape[2:], norm="ortho")


def split(x):
    spectrum = torch.fft.rfft2(x)
    parts = torch.cat([spectrum.real, spectrum.imag], 1) * 0.5
    real, imag = parts.chunk(2, 1)
    return torch.fft.irfft2(torch.complex(real, imag), s=x.shape[2:])


def polar(x):
    spectrum = torch.fft.fft2(x + 0.1)
    size, angle = spectrum.abs(), spectrum.angle()
    return torch.fft.ifft2(torch.polar(size * 0.9, angle)).real


def shifted(x):
    spectrum = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1))
    mask = torch.zeros(x.shape[2:])
    mask[4:12, 5:13] = 1
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum * mask, dim=(-2, -1))).abs()


def viewed(x):
    pairs = torch.view_as_real(torch.fft.rfft2(x)) * 0.5
    return torch.fft.irfft2(torch.view_as_complex(pairs.contiguous()), s=x.shape[2:])


def computed(x):
    z = torch.complex(x, 1 - x)
    w = (z * (0.5 + 2j) - z.conj() + 1) / (z + 2) + torch.exp(1j * x) - z**2 * torch.sgn(z)
    rows = torch.stack([w, x + w]).sum(0)[..., :8].roll(1, 3).flip(2)
    product = rows @ rows.transpose(2, 3) + torch.einsum("bchw,bckw->bchk", rows, rows)
    return product.real[..., :8] + product.imag[..., 8:]


def one_axis(x):
    rows = torch.fft.rfft(x, n=12, dim=2)
    return torch.fft.irfft(rows, n=16, dim=2) + torch.fft.ifft(torch.fft.fft(x, dim=3), dim=3).real


class Operation(nn.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(x)


class Weighted(nn.Module):
    """A global filter: a complex weight for every frequency (GFNet)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, HEIGHT, WIDTH // 2 + 1, 2))

    def forward(self, x):
        weighted = torch.fft.rfft2(x, norm="ortho") * torch.view_as_complex(self.weight)
        return torch.fft.irfft2(weighted, s=(HEIGHT, WIDTH), norm="ortho")


FUNCTIONS = [filtered, split, polar, shifted, viewed, computed, one_axis]
NETWORKS = [*map(Operation, FUNCTIONS), Weighted()]


@pytest.mark.parametrize(
    "network", NETWORKS, ids=lambda n: getattr(n, "operation", type(n)).__name__
)
def test_the_real_form_computes_the_same(network):
    program = fixed(network)
    assert has_complex(program)
    real = real_form(program)
    assert not has_complex(real)
    x = torch.rand(1, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(real.exported.module()(x), network(x), rtol=1e-4, atol=1e-5)


def fixed(network):
    spec = TensorSpec("x", size=(HEIGHT, WIDTH))
    return capture(network, (spec,), Y, (HEIGHT, WIDTH))


def test_operators_keep_the_line_of_the_user():
    real = real_form(fixed(Operation(filtered)))
    nodes = [n for n in real.exported.graph.nodes if n.op == "call_function"]
    assert all(str(node_source(n)).startswith("test_real_form.py:") for n in nodes)


def test_an_unknown_operator_is_named_with_its_line():
    program = fixed(Operation(lambda x: torch.fft.fft2(x).sinh().real))
    with pytest.raises(ExportError, match=r"sinh\S* at test_real_form.py:\d+; .*numbers$"):
        real_form(program)


def test_complex_numbers_alone_take_every_size():
    def turned(x):
        return (torch.complex(x, x) * (1 + 2j)).imag

    network = Operation(turned)
    program = capture(network, X, Y, (64, 64))
    assert not transforms_varying_sides(program)
    x = torch.rand(1, 3, 21, 30)
    torch.testing.assert_close(real_form(program).exported.module()(x), network(x))


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("target", list(TRANSFORMS), ids=str)
def test_every_transform_is_torchs(target, norm):
    x = torch.randn(2, 6, 7)
    x = torch.complex(x, torch.randn(2, 6, 7)) if "rfft" not in str(target) else x
    x = torch.fft.rfft(torch.randn(2, 6, 7)) if "irfft" in str(target) else x
    given = Pair(x.real, x.imag) if x.is_complex() else x
    found = transform(target, (given,), {"norm": norm}, waves)
    found = torch.complex(found.real, found.imag) if isinstance(found, Pair) else found
    torch.testing.assert_close(found, target(x, norm=norm), rtol=1e-4, atol=1e-5)


def test_a_real_picture_has_no_imaginary_mean():
    spectrum = transform(torch.ops.aten.fft_rfft2.default, (torch.rand(1, 4, 6),), {}, waves)
    assert torch.equal(spectrum.imag[0, 0, 0], torch.tensor(0.0))
    assert not torch.signbit(spectrum.imag[0, 0, 0])
