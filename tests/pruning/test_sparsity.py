from __future__ import annotations

import copy

import pytest
import torch

from edgeexpo.errors import UsageError
from edgeexpo.pruning.sparsity import compressed_bytes, sparsify
from tests.support.pruning_blocks import Gate, Plain, Transposed, chain

EXAMPLE = (torch.rand(1, 3, 16, 16),)


def test_the_smallest_weights_become_zero_and_the_download_smaller():
    network = chain([Plain, Transposed, Gate])
    before = copy.deepcopy(network.state_dict())
    sparse = sparsify(network, EXAMPLE, 0.6)
    assert sparse.zeros == pytest.approx(0.6, abs=0.02)
    assert sparse.bytes_before == compressed_bytes(network)
    assert sparse.bytes_after < 0.6 * sparse.bytes_before
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    for name, value in sparse.module.state_dict().items():
        assert torch.equal(value[value != 0], before[name][value != 0])
    with torch.no_grad():
        assert sparse.module(*EXAMPLE).shape == EXAMPLE[0].shape


def test_a_ratio_is_a_share():
    with pytest.raises(UsageError, match="ratio is 1; expected a share"):
        sparsify(chain([]), EXAMPLE, 1)
