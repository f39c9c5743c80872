"""The memory that a network needs at a size is found without running it."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from edgeexpo.errors import UsageError
from edgeexpo.program import memory
from edgeexpo.program.memory import check_memory, least_memory

NET = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 3, 3, padding=1))


def test_the_largest_operator_counts_with_what_it_reads():
    pixels = 64 * 80
    assert least_memory(NET, [(1, 3, 64, 80)]) == pytest.approx(2 * 32 * pixels * 4, rel=0.01)


def test_a_change_in_place_counts_once():
    net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(inplace=True))
    assert least_memory(net, [(1, 3, 64, 80)]) == pytest.approx(35 * 64 * 80 * 4, rel=0.01)


def test_a_network_that_cannot_be_followed_counts_its_inputs():
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.repeat(1, 9, 1, 1) if bool(x.sum() > 0) else -x

    assert least_memory(Branching(), [(1, 3, 8, 8)]) == pytest.approx(3 * 64 * 4, abs=8)


def test_a_size_that_cannot_run_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    before = time.monotonic()
    with pytest.raises(UsageError) as refusal:
        check_memory(NET, [(1, 3, 100_000, 100_000)])
    assert time.monotonic() - before < 10
    assert str(refusal.value) == (
        "at 100000x100000 (HxW) one layer of the network takes 2384.2 GiB, and 8.0 GiB are free; "
        "give a smaller `size`: larger pictures run in tiles"
    )


def test_a_size_that_fits_is_accepted(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    check_memory(NET, [(1, 3, 4000, 5000)])
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    check_memory(NET, [(1, 3, 100_000, 100_000)])


def test_small_sizes_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(memory, "least_memory", None)
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    check_memory(NET, [(1, 3, 512, 512)])
