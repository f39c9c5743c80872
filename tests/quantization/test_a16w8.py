"""A16W8 has the weights of INT8 and activations that hardly round."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeexpo.errors import UsageError
from edgeexpo.program.tensors import picture_tensor
from edgeexpo.quantization.a16w8 import LARGEST_CODE, a16w8_program, float_activations
from tests.support.pictures import smooth_picture

QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default


@pytest.fixture(scope="module")
def wide(quantized, pictures):
    return a16w8_program(quantized, pictures)


def run(program, picture):
    with torch.no_grad():
        return program.exported.module()(picture_tensor(picture)).numpy()


def psnr(one, other):
    return -10 * np.log10(np.mean((one - other) ** 2))


def test_activations_round_far_less_than_in_int8(quantized, wide):
    weights = float_activations(quantized)
    for seed in range(3, 6):  # none of them is a picture of the calibration
        picture = smooth_picture(64, 80, seed)
        expected = run(weights, picture)
        assert psnr(run(wide, picture), expected) > psnr(run(quantized, picture), expected) + 30


def test_nothing_but_activations_changes(quantized, wide):
    kept = [dict(p.exported.state_dict) for p in (quantized, wide)]
    assert [list(tensors) for tensors in kept] == [list(kept[0])] * 2
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert wide.precision == "a16w8"
    assert wide.sizes == quantized.sizes


def test_float_activations_have_no_rounding_left(quantized):
    targets = {node.target for node in float_activations(quantized).exported.graph.nodes}
    assert QUANTIZE not in targets
    assert any("dequantize_per_channel" in str(target) for target in targets)


def test_tensors_that_share_a_range_in_int8_share_one_here(quantized, wide):
    found = [
        [n.args[1:3] for n in p.exported.graph.nodes if n.target is QUANTIZE]
        for p in (quantized, wide)
    ]
    assert len(set(found[1])) == len(set(found[0]))
    assert len(dict(zip(*found, strict=True))) == len(set(found[0]))


def test_a_picture_has_exact_codes(wide):
    """8-bit codes divide 65535, so that a picture loses nothing at the input."""
    first = next(n for n in wide.exported.graph.nodes if n.target is QUANTIZE)
    scale, zero = first.args[1:3]
    assert zero == 0
    codes = np.arange(256) / 255
    np.testing.assert_allclose(np.rint(codes / scale) * scale, codes, atol=1e-6)
    assert round(1 / scale) == LARGEST_CODE


def test_it_needs_a_picture(quantized):
    with pytest.raises(UsageError, match="calibration has no picture"):
        a16w8_program(quantized, [])
