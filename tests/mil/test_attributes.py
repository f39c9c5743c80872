"""Tests of the interpreter's windows, pads, slices and resizes, at random shapes and attributes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.mil.ops import OPERATORS

SETTINGS = settings(max_examples=40, deadline=None)
SIDES = st.integers(5, 19)
SEEDS = st.integers(0, 2**16)
PADS = st.lists(st.integers(0, 2), min_size=4, max_size=4)


def random(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@SETTINGS
@given(SEEDS, SIDES, SIDES, st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), PADS)
def test_convolutions(seed, height, width, kernel, dilation, stride, pad):
    x, weight = random(seed, 1, 4, height, width), random(seed + 1, 6, 2, kernel, kernel)
    found = OPERATORS["conv"](
        {
            "x": x,
            "weight": weight,
            "strides": torch.tensor([stride, 1]),
            "dilations": torch.tensor([1, dilation]),
            "groups": 2,
            "pad_type": "custom",
            "pad": torch.tensor(pad),
        }
    )
    padded = F.pad(x, (pad[2], pad[3], pad[0], pad[1]))
    close(found, F.conv2d(padded, weight, None, (stride, 1), 0, (1, dilation), 2))


@SETTINGS
@given(SEEDS, SIDES, SIDES, st.integers(2, 4), st.integers(1, 3), st.integers(0, 1))
def test_transposed_convolutions_undo_the_gradient(seed, height, width, kernel, stride, pad):
    """A transposed convolution is the gradient of the convolution by its input."""
    picture = random(seed, 1, 3, height, width).requires_grad_()
    weight = random(seed + 1, 5, 3, kernel, kernel)
    y = F.conv2d(picture, weight, None, stride, pad)
    cotangent = random(seed + 2, *y.shape)
    (expected,) = torch.autograd.grad(y, picture, cotangent)
    found = OPERATORS["conv_transpose"](
        {
            "x": cotangent,
            "weight": weight,
            "strides": torch.tensor([stride, stride]),
            "pad_type": "custom",
            "pad": torch.tensor([pad] * 4),
            "output_shape": torch.tensor([1, 3, height, width]),
        }
    )
    close(found, expected)


@SETTINGS
@given(
    SEEDS,
    SIDES,
    SIDES,
    st.integers(2, 4),
    st.integers(1, 3),
    st.integers(0, 1),
    st.booleans(),
    st.booleans(),
)
def test_pools(seed, height, width, kernel, stride, pad, ceiled, inside):
    x = random(seed, 1, 3, height, width)
    arguments = {
        "x": x,
        "kernel_sizes": torch.tensor([kernel, kernel]),
        "strides": torch.tensor([stride, stride]),
        "pad_type": "custom",
        "pad": torch.tensor([pad] * 4),
        "ceil_mode": ceiled,
    }
    close(OPERATORS["max_pool"](arguments), F.max_pool2d(x, kernel, stride, pad, 1, ceiled))
    # For average pooling with ceil_mode, torch has its own rule for windows beyond the end.
    if not ceiled:
        found = OPERATORS["avg_pool"](arguments | {"exclude_padding_from_average": inside})
        close(found, F.avg_pool2d(x, kernel, stride, pad, False, not inside))


@SETTINGS
@given(SEEDS, SIDES, SIDES, PADS, st.sampled_from(["constant", "reflect", "replicate"]))
def test_pads(seed, height, width, pad, mode):
    x = random(seed, 2, 3, height, width)
    found = OPERATORS["pad"](
        {"x": x, "pad": torch.tensor(pad), "mode": mode, "constant_val": torch.tensor(0.0)}
    )
    close(found, F.pad(x, (pad[2], pad[3], pad[0], pad[1]), mode))


@SETTINGS
@given(SEEDS, SIDES, st.integers(-6, 5), st.integers(-6, 20), st.sampled_from([1, 2, 3, -1, -2]))
def test_slices_follow_numpy(seed, length, begin, end, step):
    x = random(seed, 2, length)
    found = OPERATORS["slice_by_index"](
        {
            "x": x,
            "begin": torch.tensor([0, begin]),
            "end": torch.tensor([0, end]),
            "stride": torch.tensor([1, step]),
            "begin_mask": torch.tensor([True, False]),
            "end_mask": torch.tensor([True, False]),
        }
    )
    np.testing.assert_array_equal(found.numpy(), x.numpy()[:, begin:end:step])


@SETTINGS
@given(SEEDS, SIDES, SIDES, SIDES, SIDES, st.booleans())
def test_bilinear_resizes(seed, height, width, high, wide, corners):
    x = random(seed, 1, 2, height, width)
    mode = "STRICT_ALIGN_CORNERS" if corners else "UNALIGN_CORNERS"
    found = OPERATORS["resize_bilinear"](
        {"x": x, "target_size_height": high, "target_size_width": wide, "sampling_mode": mode}
    )
    close(found, F.interpolate(x, (high, wide), mode="bilinear", align_corners=corners))
