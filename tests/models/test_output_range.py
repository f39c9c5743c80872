from __future__ import annotations

import pytest
import torch

from edgeexpo.models.output_range import CODES, SIGNED, UNIT, output_range

PICTURES = [(torch.full((1, 3, 16, 16), level),) for level in (0.0, 1.0, 0.4)]


class Mapped(torch.nn.Module):
    def __init__(self, scale, offset, dtype=torch.float32):
        super().__init__()
        self.scale, self.offset, self.dtype = scale, offset, dtype

    def forward(self, x):
        return (x * self.scale + self.offset).to(self.dtype)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Mapped(1, 0), UNIT),
        (Mapped(0.9, 0.05), UNIT),
        (Mapped(1.2, -0.1), UNIT),
        (Mapped(2, -1), SIGNED),
        (Mapped(1.9, -0.95), SIGNED),
        (Mapped(255, 0), CODES),
        (Mapped(230, 10), CODES),
        (Mapped(255, 0, torch.uint8), CODES),
        (Mapped(0.9, -0.5), UNIT),
        (Mapped(-2, 1), UNIT),
    ],
)
def test_the_range_is_taken_only_without_doubt(module, expected, capsys):
    assert output_range(module, PICTURES) == expected
    said = capsys.readouterr().err
    assert ("`output_range` changes that" in said) == (expected != UNIT)


@pytest.mark.parametrize("module", [Mapped(20, -10), Mapped(6000, 0), Mapped(3, 0)])
def test_values_that_are_no_picture_are_said(module, capsys):
    assert output_range(module, PICTURES) == UNIT
    assert "are clipped to 0..1; say what they mean" in capsys.readouterr().err


def test_an_untrained_network_is_not_taken_for_a_signed_one():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 3, 3, padding=1)
    noise = [(torch.rand(1, 3, 16, 16),) for _ in range(3)]
    assert output_range(layer.eval(), [PICTURES[0], PICTURES[1], *noise]) == UNIT
