"""A captured program takes tensors in any layout of memory."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.program.capture import capture
from edgeexpo.program.layouts import take_any_layout
from edgeexpo.spec import TensorSpec


class Tokens(torch.nn.Module):
    """A network whose tokens are copied, moved and viewed, with or without an assignment."""

    def __init__(self, assigns):
        super().__init__()
        torch.manual_seed(0)
        self.assigns = assigns
        self.layer = torch.nn.Linear(4, 4)
        self.first, self.last = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 3, 1)

    def forward(self, x):
        y = self.first(x)
        b, c, h, w = y.shape
        tokens = self.layer(y.flatten(2).transpose(1, 2))
        if self.assigns:
            border = torch.zeros(1, h, w, 1)
            border[:, :-4] = 1
            tokens = tokens * border.view(b, h * w, 1)
        halves = tokens.reshape(b, h * w, 2, c // 2).transpose(1, 2)
        joined = halves.transpose(1, 2).reshape(b, h * w, c)
        rows = joined.view(b, h, w, c).permute(0, 2, 1, 3).contiguous().transpose(1, 2)
        return self.last(torch.relu(rows.permute(0, 3, 1, 2).contiguous()).view(b, c, h, w))


@pytest.mark.parametrize("assigns", [False, True], ids=["plain", "with an assignment"])
def test_copies_before_views_go_and_the_views_hold(assigns):
    module = Tokens(assigns).eval()
    program = capture(module, (TensorSpec("x", size=(16, 24)),), (TensorSpec("y"),), (16, 24))
    x = torch.rand(1, 3, 16, 24)
    torch.testing.assert_close(program.exported.module()(x), module(x))


def test_views_take_a_picture_whose_channels_come_last():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            vector = self.layer(x).view(1, -1)
            return x + vector.mean()

    module = Head().eval()
    graph = torch.export.export(module, (torch.rand(1, 3, 8, 8),)).module()
    take_any_layout(graph)
    x = torch.rand(1, 3, 8, 8)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(graph(last), module(x))
