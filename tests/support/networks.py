"""Small networks that many tests share."""

from __future__ import annotations

import torch


class Residual(torch.nn.Module):
    """Three convolutions on a residual path: ``clip(y0 + f(y0))``."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, width, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, width, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, 3, 3, padding=1),
        )

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return torch.clamp(y0 + 0.5 * self.body(y0), 0, 1)


class Operation(torch.nn.Module):
    """A function of one tensor as a network."""

    def __init__(self, operation) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(x)


NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 3, 3, padding=1),
        )

    def forward(self, photo):
        return torch.clamp(photo + 0.3 * self.body(photo), 0, 1)


def net():
    return Net()


def two():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Net()

        def forward(self, dark, bright):
            return self.body(0.5 * dark + 0.5 * bright)

    return Two()


def pair():
    class Pair(torch.nn.Module):
        def forward(self, x):
            return x, x

    return Pair()


def number():
    return 3
"""
"""A user's file with factories, as text."""
