"""The network of :mod:`tests.support.tiny_bundle` as an ExecuTorch program."""

from __future__ import annotations

from pathlib import Path

import torch
from executorch.exir import to_edge


class Mean(torch.nn.Module):
    """The 3x3 mean of every channel, zero-padded."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = torch.nn.Parameter(torch.zeros(3, 3, 3, 3), requires_grad=False)
        self.kernel[range(3), range(3)] = 1 / 9

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(y0, self.kernel, padding=1)


def write_program(path: Path, size: tuple[int, int] = (24, 20)) -> None:
    """Write a ``.pte`` file without a delegate, which uses its weights inside the file's memory."""
    program = torch.export.export(Mean().eval(), (torch.zeros(1, 3, *size),))
    path.write_bytes(to_edge(program).to_executorch().buffer)
