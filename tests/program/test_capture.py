from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import ModuleError
from edgeexpo.program import capture as capturing
from edgeexpo.program.capture import capture, example_inputs, placeholders
from edgeexpo.program.source import graph_sources
from edgeexpo.spec import TensorSpec

Y0, OUT = (TensorSpec("y0"),), (TensorSpec("y_hat"),)


class Strided(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.up = torch.nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.up(self.down(x))


def test_the_program_accepts_every_size_up_to_the_bound(residual, tensors):
    program = capture(residual, *tensors, (64, 96))
    assert program.dynamic
    run = program.exported.module()

    @settings(max_examples=15, deadline=None)
    @given(st.integers(16, 64), st.integers(16, 96))
    def check(height, width):
        x = torch.rand(1, 3, height, width)
        torch.testing.assert_close(run(x), residual(x))

    check()


def test_a_grid_is_kept(tensors):
    program = capture(Strided().eval(), *tensors, (64, 64), multiple=2)
    assert program.sizes.multiple == 2
    run = program.exported.module()
    assert run(torch.rand(1, 3, 34, 50)).shape == (1, 3, 34, 50)


def test_the_grid_is_tried_where_not_all_sizes_can_be_traced(tensors, monkeypatch):
    from edgeexpo.program import capture as module

    trace = module._export

    def refuses_odd_sizes(network, example, shapes):
        if shapes is not None and "2*" not in str(shapes):
            raise ModuleError("no trace of odd sizes")
        return trace(network, example, shapes)

    monkeypatch.setattr(module, "_export", refuses_odd_sizes)
    program = capture(Strided().eval(), *tensors, (64, 64), 1, grid=2)
    assert program.dynamic
    assert program.sizes.multiple == 2


def test_a_network_of_fixed_size_is_captured_at_that_size(tensors):
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.rand(1, 3, 64, 64))

        def forward(self, x):
            return x + self.bias

    with pytest.raises(ModuleError, match="forward failed on inputs 1x3x96x96"):
        capture(Fixed(), *tensors, (96, 96))
    program = capture(Fixed(), *tensors, (64, 64))
    assert not program.dynamic
    assert program.exported.module()(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


def test_inputs_keep_their_order():
    class Two(torch.nn.Module):
        def forward(self, under, over):
            return under - over

    program = capture(Two(), (TensorSpec("under"), TensorSpec("over")), OUT, (32, 32))
    assert [n.name for n in placeholders(program.exported)] == ["under", "over"]


class Thumbnail(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.picture, self.global_ = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(3, 4, 8)
        self.out = torch.nn.Conv2d(4, 3, 1)

    def forward(self, picture, thumbnail):
        return self.out(torch.relu(self.picture(picture) + self.global_(thumbnail)))


def test_an_input_keeps_a_size_of_its_own():
    torch.manual_seed(0)
    network = Thumbnail().eval()
    specs = (TensorSpec("picture"), TensorSpec("thumbnail", size=(8, 8)))
    program = capture(network, specs, OUT, (64, 96), multiple=4)
    assert program.dynamic
    run = program.exported.module()
    thumbnail = torch.rand(1, 3, 8, 8)
    for size in ((16, 20), (64, 96)):
        picture = torch.rand(1, 3, *size)
        torch.testing.assert_close(run(picture, thumbnail), network(picture, thumbnail))
    assert [tuple(x.shape[2:]) for x in example_inputs(program, (32, 16))] == [(32, 16), (8, 8)]


def test_a_network_of_fixed_inputs_ignores_the_size_of_the_picture(tensors):
    specs = (TensorSpec("y0", size=(32, 48)),)
    program = capture(Strided().eval(), specs, OUT, (512, 512), multiple=2)
    assert not program.dynamic
    assert program.sizes.largest == program.sizes.smallest == (32, 48)
    assert program.exported.module()(torch.rand(1, 3, 32, 48)).shape == (1, 3, 32, 48)


def test_operators_know_the_line_they_came_from(residual, tensors):
    sources = graph_sources(capture(residual, *tensors, (32, 32)).exported.graph_module)
    assert sources["conv2d"].startswith("networks.py:")


class Tuple(torch.nn.Module):
    def forward(self, x):
        return x, x


class Branch(torch.nn.Module):
    def forward(self, x):
        if x.mean() > 0.5:
            return x
        return 1 - x


class Raises(torch.nn.Module):
    def forward(self, x):
        return x + self.missing


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Tuple(), "returned a tuple; expected one NCHW tensor"),
        (Branch(), r"depends on the values of its input at test_capture.py:\d+"),
        (Raises(), r"forward failed .* at test_capture.py:\d+"),
    ],
)
def test_what_cannot_be_captured_is_named_with_its_line(module, words):
    with pytest.raises(ModuleError, match=words) as caught:
        capture(module, Y0, OUT, (32, 32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("size", "multiple"), [((8, 64), 1), ((33, 32), 2)])
def test_an_impossible_size_is_refused(residual, tensors, size, multiple):
    with pytest.raises(ModuleError, match="expected a height and width"):
        capture(residual, *tensors, size, multiple)


def test_shapes_are_the_same_with_torchs_own_cache(program, residual, tensors, monkeypatch):
    monkeypatch.setattr(capturing, "_every_operator_computed", contextlib.nullcontext)
    cached = capture(residual, *tensors, (96, 96)).exported
    assert str(cached.graph) == str(program.exported.graph)
    shapes = [
        [str(getattr(node.meta.get("val"), "shape", "")) for node in exported.graph.nodes]
        for exported in (cached, program.exported)
    ]
    assert shapes[0] == shapes[1]
