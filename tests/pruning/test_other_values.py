"""Tests that pruning follows channels past sizes, grids, masks, vectors and numbers."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.pruning.channels import find_channels
from edgeexpo.pruning.prune import prune_module
from tests.support.other_values import OTHER_VALUES, SizeOfSkip, WithoutBatch

EXAMPLE = (torch.rand(1, 3, 16, 16),)


@pytest.mark.parametrize("kind", OTHER_VALUES)
def test_every_value_is_followed_or_left_alone(kind):
    network = kind().eval()
    found = find_channels(network, EXAMPLE)
    assert set(found.shapes) <= {*network.state_dict()}


def test_a_network_that_asks_for_sizes_is_pruned_as_the_masked_one():
    torch.manual_seed(0)
    network = SizeOfSkip().eval()
    pruned = prune_module(network, EXAMPLE, ratio=0.3, multiple=2)
    assert pruned.ratio >= 0.3
    with torch.no_grad():
        assert pruned.module(*EXAMPLE).shape == (1, 3, 16, 16)


def test_rows_of_a_tensor_without_batch_are_no_channels():
    network = WithoutBatch().eval()
    found = find_channels(network, (torch.rand(1, 3, 8, 8),))  # as many rows as channels
    assert all("inner.weight" not in {name for name, _ in b.axes} for b in found.blocks)
