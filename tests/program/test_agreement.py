from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from edgeexpo.errors import ModuleError
from edgeexpo.program.agreement import check_agreement
from edgeexpo.program.capture import capture
from edgeexpo.spec import TensorSpec

X, Y = (TensorSpec("x"),), (TensorSpec("y"),)


class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return torch.round(self.layer(x) * 255) / 255


def test_a_program_agrees_with_its_module():
    module = Rounded().eval()
    check_agreement(capture(module, X, Y, (64, 64)), module)


class Noisy(Rounded):
    def forward(self, x):
        return super().forward(x) + 0.1 * torch.rand_like(x)


class Counting(Rounded):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count += 1
        return super().forward(x) * self.count


@pytest.mark.parametrize("kind", [Noisy, Counting])
def test_a_module_that_does_not_repeat_itself_is_refused(kind):
    module = kind().eval()
    program = capture(Rounded().eval(), X, Y, (64, 64))
    with pytest.raises(ModuleError, match="different pictures for one input"):
        check_agreement(program, module)


def test_what_draws_random_numbers_is_named_with_its_line():
    module = Noisy().eval()
    with pytest.raises(ModuleError, match=r"\(aten.rand\S* at test_agreement.py:\d+\)"):
        check_agreement(capture(module, X, Y, (64, 64)), module)


class ByShape(Rounded):
    def forward(self, x):
        return super().forward(x) * (2 if x.shape[2] > 40 else 1)


def test_a_program_that_is_right_at_some_sizes_alone_is_refused():
    program = capture(Rounded().eval(), X, Y, (160, 160))
    with pytest.raises(ModuleError, match=r"differs from the module at .* by up to"):
        check_agreement(program, ByShape().eval())


def test_a_program_of_one_size_is_compared_at_that_size():
    module = Rounded().eval()
    program = capture(module, X, Y, (64, 64))
    only = dataclasses.replace(program.sizes, smallest=(64, 64))
    check_agreement(dataclasses.replace(program, sizes=only), module)


class Pooled(Rounded):
    def forward(self, x):
        small = nn.functional.max_pool2d(x, 16)
        return super().forward(x) + nn.functional.interpolate(small, size=x.shape[2:])


def test_the_smallest_size_is_compared_although_an_axis_shrinks_to_one():
    module = Pooled().eval()
    program = capture(module, X, Y, (64, 64), 16)
    assert program.sizes.smallest == (16, 16)
    check_agreement(program, module)


class Halved(nn.Module):
    """A network that works on the upper and the lower half, cut at a Python number."""

    def __init__(self, cut, assigns):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.cut, self.assigns = nn.Conv2d(3, 3, 3, padding=1), cut, assigns

    def forward(self, x):
        at = self.cut(x.size(2))
        upper, lower = self.layer(x[:, :, :at]), self.layer(x[:, :, at:])
        if self.assigns:
            upper += 0.1
        return torch.cat([upper, lower], 2)


@pytest.mark.parametrize("assigns", [False, True], ids=["plain", "in place"])
@pytest.mark.parametrize(
    "cut", [lambda h: int(h / 2), lambda h: int(math.sqrt(h) * 2)], ids=["half", "root"]
)
def test_a_number_computed_from_a_shape_fixes_the_size(cut, assigns, capsys):
    module = Halved(cut, assigns).eval()
    program = capture(module, X, Y, (64, 48), multiple=2, prove=check_agreement)
    assert program.sizes.smallest == program.sizes.largest == (64, 48)
    assert "the network fixes its size at 64x48" in capsys.readouterr().err
    check_agreement(program, module)


def test_a_whole_quotient_of_a_shape_leaves_the_size_free():
    module = Halved(lambda h: h // 2, False).eval()
    program = capture(module, X, Y, (64, 48), multiple=2, prove=check_agreement)
    assert program.dynamic
