"""Tests of operators that few image networks need, against torch, numpy or TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.support.mil_packages import saved

HEIGHT, WIDTH = 12, 9
SHAPE = (1, 4, HEIGHT, WIDTH)
RANDOM = np.random.default_rng(1)
T = torch.from_numpy
ALPHA, BETA = (RANDOM.random(4).astype(np.float32) + 0.5 for _ in range(2))
ROWS = np.array([[3, -1], [0, 2]], np.int32)
PLACES = RANDOM.integers(0, HEIGHT, (1, 4, 5, WIDTH)).astype(np.int32)
POINTS = np.array([[0, 1, 2], [0, 3, -2]], np.int32)
MATRIX = RANDOM.standard_normal((HEIGHT, 5)).astype(np.float32)
GRID = RANDOM.uniform(-1.6, 1.6, (1, 6, 5, 2)).astype(np.float32)
UPDATE = RANDOM.standard_normal((1, 4, 2, WIDTH)).astype(np.float32)
MASK = RANDOM.random((1, 1, HEIGHT, HEIGHT)) > 0.3


def unary(name):
    return lambda mb, x, y: getattr(mb, name)(x=x)


def compared(name):
    def build(mb, x, y):
        low, high = (mb.round(x=mb.mul(x=v, y=2.0)) for v in (x, y))
        return mb.cast(x=getattr(mb, name)(x=low, y=high), dtype="fp32")

    return build


def compared_by_torch(function):
    return lambda x, y: function(torch.round(2 * x), torch.round(2 * y)).float()


def logical(name):
    def build(mb, x, y):
        first, second = mb.greater(x=x, y=0.0), mb.greater(x=y, y=0.5)
        return mb.cast(x=getattr(mb, name)(x=first, y=second), dtype="fp32")

    return build


def reduced(name, axes=(2, 3), keep=True):
    return lambda mb, x, y: getattr(mb, name)(x=x, axes=axes, keep_dims=keep)


def real(mb, x):
    return mb.cast(x=x, dtype="fp32")


def resized(shape, dims, mode, kind="LINEAR"):
    return lambda mb, x, y: mb.resize(
        x=x,
        shape=np.array(shape, np.int32),
        resized_dims=np.uint32(dims),
        interpolation_mode=kind,
        sampling_mode=mode,
    )


def sampled(kind, padding, space, align, value=0.0):
    return lambda mb, x, y: mb.resample(
        x=x,
        coordinates=GRID,
        sampling_mode=kind,
        padding_mode=padding,
        padding_value=np.float32(value),
        coordinates_mode=space,
        align_corners=align,
    )


def sampled_by_torch(kind, padding, align, grid=GRID):
    return lambda x, y: F.grid_sample(
        x, T(grid), mode=kind, padding_mode=padding, align_corners=align
    )


def scattered(data, update):
    result = data.clone()
    for place, row in zip((0, 2, 2), update, strict=True):
        result[:, :, place] += row
    return result


def by_tensorflow(x, block):
    """Compute TensorFlow's ``space_to_depth``: a block's pixels vary slower than channels."""
    parts = [x[:, :, i::block, j::block] for i in range(block) for j in range(block)]
    return torch.cat(parts, 1)


OPERATORS = {
    "sin": (unary("sin"), lambda x, y: x.sin()),
    "cos": (unary("cos"), lambda x, y: x.cos()),
    "tan": (lambda mb, x, y: mb.tan(x=y), lambda x, y: y.tan()),
    "sinh": (unary("sinh"), lambda x, y: x.sinh()),
    "cosh": (unary("cosh"), lambda x, y: x.cosh()),
    "atan": (unary("atan"), lambda x, y: x.atan()),
    "exp2": (unary("exp2"), lambda x, y: x.exp2()),
    "asin": (lambda mb, x, y: mb.asin(x=mb.mul(x=y, y=0.8)), lambda x, y: (0.8 * y).asin()),
    "acos": (lambda mb, x, y: mb.acos(x=mb.mul(x=y, y=0.8)), lambda x, y: (0.8 * y).acos()),
    "atanh": (lambda mb, x, y: mb.atanh(x=mb.mul(x=y, y=0.8)), lambda x, y: (0.8 * y).atanh()),
    "greater": (compared("greater"), compared_by_torch(torch.gt)),
    "greater_equal": (compared("greater_equal"), compared_by_torch(torch.ge)),
    "less": (compared("less"), compared_by_torch(torch.lt)),
    "less_equal": (compared("less_equal"), compared_by_torch(torch.le)),
    "equal": (compared("equal"), compared_by_torch(torch.eq)),
    "not_equal": (compared("not_equal"), compared_by_torch(torch.ne)),
    "logical_and": (logical("logical_and"), lambda x, y: ((x > 0) & (y > 0.5)).float()),
    "logical_or": (logical("logical_or"), lambda x, y: ((x > 0) | (y > 0.5)).float()),
    "logical_xor": (logical("logical_xor"), lambda x, y: ((x > 0) ^ (y > 0.5)).float()),
    "logical_not": (
        lambda mb, x, y: real(mb, mb.logical_not(x=mb.greater(x=x, y=0.0))),
        lambda x, y: (x <= 0).float(),
    ),
    "floor_div": (lambda mb, x, y: mb.floor_div(x=x, y=y), lambda x, y: (x / y).floor()),
    "floor_div_whole": (
        lambda mb, x, y: real(mb, mb.floor_div(x=mb.shape(x=x), y=np.int32(5))),
        lambda x, y: torch.tensor([v // 5 for v in SHAPE]).float(),
    ),
    "mod": (lambda mb, x, y: mb.mod(x=x, y=y), lambda x, y: torch.remainder(x, y)),
    "clamped_relu": (
        lambda mb, x, y: mb.clamped_relu(x=x, alpha=0.2, beta=0.6),
        lambda x, y: F.leaky_relu(x, 0.2).clamp(max=0.6),
    ),
    "thresholded_relu": (
        lambda mb, x, y: mb.thresholded_relu(x=x, alpha=0.4),
        lambda x, y: F.threshold(x, 0.4, 0.0),
    ),
    "threshold": (lambda mb, x, y: mb.threshold(x=x, alpha=0.4), lambda x, y: x.clamp(min=0.4)),
    "linear_activation": (
        lambda mb, x, y: mb.linear_activation(x=x, alpha=1.5, beta=-0.3),
        lambda x, y: 1.5 * x - 0.3,
    ),
    "scaled_tanh": (
        lambda mb, x, y: mb.scaled_tanh(x=x, alpha=1.5, beta=0.7),
        lambda x, y: 1.5 * torch.tanh(0.7 * x),
    ),
    "softplus_parametric": (
        lambda mb, x, y: mb.softplus_parametric(x=x, alpha=ALPHA, beta=BETA),
        lambda x, y: T(ALPHA)[:, None, None] * torch.log1p(torch.exp(T(BETA)[:, None, None] * x)),
    ),
    "select_whole": (
        lambda mb, x, y: real(
            mb, mb.select(cond=mb.greater(x=x, y=y), a=np.int32(3), b=np.int32(-1))
        ),
        lambda x, y: torch.where(x > y, 3.0, -1.0),
    ),
    "fill": (
        lambda mb, x, y: mb.fill(shape=mb.shape(x=x), value=0.25),
        lambda x, y: torch.full(SHAPE, 0.25),
    ),
    "fill_like": (
        lambda mb, x, y: mb.fill_like(ref_tensor=x, value=0.25),
        lambda x, y: torch.full(SHAPE, 0.25),
    ),
    # algebra
    "l2_norm": (
        lambda mb, x, y: mb.l2_norm(x=x, epsilon=1e-3),
        lambda x, y: x / (x.square().sum() + 1e-3).sqrt(),
    ),
    "l2_pool": (
        lambda mb, x, y: mb.l2_pool(x=x, kernel_sizes=[3, 2], strides=[2, 1], pad_type="valid"),
        lambda x, y: F.lp_pool2d(x, 2, (3, 2), (2, 1)),
    ),
    "local_response_norm": (
        lambda mb, x, y: mb.local_response_norm(x=x, size=3, alpha=0.5, beta=0.7, k=1.1),
        lambda x, y: F.local_response_norm(x, 3, 0.5, 0.7, 1.1),
    ),
    "layer_norm_channels": (
        lambda mb, x, y: mb.layer_norm(x=x, axes=[1], gamma=ALPHA, beta=BETA, epsilon=1e-3),
        lambda x, y: F.layer_norm(x.movedim(1, -1), (4,), T(ALPHA), T(BETA), eps=1e-3).movedim(
            -1, 1
        ),
    ),
    "layer_norm_scaled": (
        lambda mb, x, y: mb.layer_norm(x=x, axes=[-1], gamma=MATRIX[:9, 0], epsilon=1e-3),
        lambda x, y: F.layer_norm(x, (WIDTH,), T(MATRIX[:9, 0].copy()), eps=1e-3),
    ),
    "einsum": (
        lambda mb, x, y: mb.einsum(
            values=(x, mb.transpose(x=y, perm=[0, 3, 2, 1])), equation="nchw,nwhu->nchu"
        ),
        lambda x, y: torch.stack([x[:, :, i] @ y[:, :, i].mT for i in range(HEIGHT)], 2),
    ),
    "matmul_transposed": (
        lambda mb, x, y: mb.matmul(x=x, y=MATRIX, transpose_x=True),
        lambda x, y: x.mT @ T(MATRIX),
    ),
    "scaled_dot_product_attention": (
        lambda mb, x, y: mb.scaled_dot_product_attention(query=x, key=y, value=x),
        lambda x, y: torch.softmax(x @ y.mT / WIDTH**0.5, -1) @ x,
    ),
    "masked_attention": (
        lambda mb, x, y: mb.scaled_dot_product_attention(query=x, key=y, value=x, attn_mask=MASK),
        lambda x, y: (
            torch.softmax((x @ y.mT / WIDTH**0.5).masked_fill(~T(MASK), float("-inf")), -1) @ x
        ),
    ),
    "reduce_prod": (reduced("reduce_prod", (1, 3), False), lambda x, y: x.prod(3).prod(1)),
    "reduce_l1_norm": (reduced("reduce_l1_norm"), lambda x, y: x.abs().sum((2, 3), True)),
    "reduce_log_sum": (
        lambda mb, x, y: mb.reduce_log_sum(x=y, axes=[1]),
        lambda x, y: y.sum(1).log(),
    ),
    "reduce_log_sum_exp": (
        reduced("reduce_log_sum_exp", (-1,), False),
        lambda x, y: x.logsumexp(-1),
    ),
    "reduce_argmax": (
        lambda mb, x, y: real(mb, mb.reduce_argmax(x=x, axis=1)),
        lambda x, y: x.argmax(1).float(),
    ),
    "reduce_argmin": (
        lambda mb, x, y: real(mb, mb.reduce_argmin(x=x, axis=-1, keep_dims=True)),
        lambda x, y: x.argmin(-1, True).float(),
    ),
    "topk": (
        lambda mb, x, y: mb.topk(x=x, k=3, axis=2)[0],
        lambda x, y: x.topk(3, 2).values,
    ),
    "topk_smallest": (
        lambda mb, x, y: real(mb, mb.topk(x=x, k=2, axis=-1, ascending=True)[1]),
        lambda x, y: x.topk(2, -1, largest=False).indices.float(),
    ),
    "argsort": (
        lambda mb, x, y: real(mb, mb.argsort(x=x, axis=2, ascending=True)),
        lambda x, y: x.argsort(2).float(),
    ),
    "cumsum": (
        lambda mb, x, y: mb.cumsum(x=x, axis=2, exclusive=True, reverse=True),
        lambda x, y: x.flip(2).cumsum(2).flip(2) - x,
    ),
    # shapes
    "concat_interleaved": (
        lambda mb, x, y: mb.concat(values=[x, y], axis=1, interleave=True),
        lambda x, y: torch.stack([x, y], 2).reshape(1, 8, HEIGHT, WIDTH),
    ),
    "reshape_kept": (
        lambda mb, x, y: mb.reshape(x=x, shape=[0, 0, -1, 1]),
        lambda x, y: x.reshape(1, 4, -1, 1),
    ),
    "reshape_like": (
        lambda mb, x, y: mb.reshape_like(
            x=x, ref_tensors=(y, y), begins=(2, 0), ends=(4, 2), end_masks=(False, False)
        ),
        lambda x, y: x.reshape(HEIGHT, WIDTH, 1, 4),
    ),
    "flatten2d": (
        lambda mb, x, y: mb.flatten2d(x=x, axis=2),
        lambda x, y: x.reshape(4, -1),
    ),
    "reverse": (lambda mb, x, y: mb.reverse(x=x, axes=[1, 3]), lambda x, y: x.flip(1, 3)),
    "reverse_whole": (lambda mb, x, y: mb.reverse(x=x), lambda x, y: x.flip(0, 1, 2, 3)),
    "space_to_depth": (
        lambda mb, x, y: mb.space_to_depth(x=x, block_size=3),
        lambda x, y: by_tensorflow(x, 3),
    ),
    "depth_to_space": (
        lambda mb, x, y: mb.depth_to_space(x=mb.space_to_depth(x=x, block_size=3), block_size=3),
        lambda x, y: x,
    ),
    "space_to_batch": (
        lambda mb, x, y: mb.space_to_batch(
            x=x, block_shape=[2, 5], paddings=np.array([[1, 1], [0, 1]], np.int32)
        ),
        lambda x, y: torch.cat(
            [F.pad(x, (0, 1, 1, 1))[..., i::2, j::5] for i in range(2) for j in range(5)]
        ),
    ),
    "batch_to_space": (
        lambda mb, x, y: mb.batch_to_space(
            x=mb.space_to_batch(
                x=x, block_shape=[2, 5], paddings=np.array([[1, 1], [0, 1]], np.int32)
            ),
            block_shape=[2, 5],
            crops=np.array([[1, 1], [0, 1]], np.int32),
        ),
        lambda x, y: x,
    ),
    "sliding_windows": (
        lambda mb, x, y: mb.sliding_windows(x=x, axis=2, size=4, stride=3),
        lambda x, y: torch.stack([x[:, :, i : i + 4] for i in range(0, HEIGHT - 3, 3)], 2),
    ),
    "band_part": (
        lambda mb, x, y: mb.band_part(x=x, lower=2, upper=1),
        lambda x, y: x.tril(1).triu(-2),
    ),
    "one_hot": (
        lambda mb, x, y: mb.one_hot(
            indices=mb.reduce_argmax(x=x, axis=1),
            one_hot_vector_size=5,
            axis=1,
            on_value=2.0,
            off_value=-1.0,
        ),
        lambda x, y: F.one_hot(x.argmax(1), 5).movedim(-1, 1).float() * 3 - 1,
    ),
    "range_1d": (
        lambda mb, x, y: mb.range_1d(end=9.5, start=1.0, step=2.0),
        lambda x, y: torch.tensor([1.0, 3, 5, 7, 9]),
    ),
    "shape": (lambda mb, x, y: real(mb, mb.shape(x=x)), lambda x, y: torch.tensor(SHAPE).float()),
    # indices
    "gather": (
        lambda mb, x, y: mb.gather(x=x, indices=ROWS, axis=2),
        lambda x, y: x[:, :, T(ROWS).long()],
    ),
    "gather_one": (
        lambda mb, x, y: real(
            mb, mb.expand_dims(x=mb.gather(x=mb.shape(x=x), indices=np.int32(2), axis=0), axes=[0])
        ),
        lambda x, y: torch.tensor([float(HEIGHT)]),
    ),
    "gather_batched": (
        lambda mb, x, y: mb.gather(
            x=mb.squeeze(x=x, axes=[0]), indices=np.tile(ROWS[0], (4, 1)), axis=2, batch_dims=1
        ),
        lambda x, y: x[0][:, :, [3, -1]],
    ),
    "gather_nd": (
        lambda mb, x, y: mb.gather_nd(x=x, indices=POINTS),
        lambda x, y: torch.stack([x[0, 1, 2], x[0, 3, -2]]),
    ),
    "gather_along_axis": (
        lambda mb, x, y: mb.gather_along_axis(x=x, indices=PLACES, axis=2),
        lambda x, y: x.gather(2, T(PLACES).long()),
    ),
    "scatter": (
        lambda mb, x, y: mb.scatter(
            data=x,
            indices=np.array([0, 2, 2], np.int32),
            updates=mb.slice_by_size(x=y, begin=[0, 0, 0, 0], size=[1, 4, 3, WIDTH]),
            axis=2,
            mode="add",
        ),
        lambda x, y: scattered(x, y[:, :, :3].movedim(2, 0)),
    ),
    "scatter_nd": (
        lambda mb, x, y: mb.scatter_nd(
            data=x,
            indices=POINTS,
            updates=MATRIX[:2, :1] * np.ones((2, WIDTH), np.float32),
            mode="update",
        ),
        lambda x, y: x.index_put(
            tuple(T(POINTS).long().unbind(-1)), T(MATRIX[:2, :1].copy()).expand(2, WIDTH)
        ),
    ),
    "scatter_along_axis": (
        lambda mb, x, y: mb.scatter_along_axis(
            data=x,
            indices=PLACES,
            updates=mb.slice_by_size(x=y, begin=[0, 0, 0, 0], size=[1, 4, 5, WIDTH]),
            axis=2,
            mode="add",
        ),
        lambda x, y: x.scatter_add(2, T(PLACES).long(), y[:, :, :5]),
    ),
    "slice_update": (
        lambda mb, x, y: mb.slice_update(
            x=x, update=UPDATE, begin=[0, 0, 3, 0], end=[1, 4, 9, WIDTH], stride=[1, 1, 4, 1]
        ),
        lambda x, y: x.slice_scatter(T(UPDATE), 2, 3, 9, 4),
    ),
    # resizing
    "resize": (
        resized((1, 7, 20), 2, "UNALIGN_CORNERS"),
        lambda x, y: F.interpolate(x, (7, 20), mode="bilinear", align_corners=False),
    ),
    "resize_width": (
        resized((20,), 1, "STRICT_ALIGN_CORNERS"),
        lambda x, y: F.interpolate(x, (HEIGHT, 20), mode="bilinear", align_corners=True),
    ),
    "resize_kept": (
        resized((0, 18), 2, "DEFAULT", "NEAREST_NEIGHBOR"),
        lambda x, y: x.repeat_interleave(2, 3),
    ),
    "resample": (
        sampled("bilinear", "constant", "normalized_minus_one_to_one", False),
        sampled_by_torch("bilinear", "zeros", False),
    ),
    "resample_constant": (
        sampled("bilinear", "constant", "normalized_minus_one_to_one", True, 0.5),
        lambda x, y: sampled_by_torch("bilinear", "zeros", True)(x - 0.5, y) + 0.5,
    ),
    "resample_border": (
        sampled("bilinear", "border", "normalized_minus_one_to_one", False),
        sampled_by_torch("bilinear", "border", False),
    ),
    "resample_reflected": (
        sampled("nearest", "reflection", "normalized_minus_one_to_one", True),
        sampled_by_torch("nearest", "reflection", True),
    ),
    "resample_symmetric": (
        sampled("bilinear", "symmetric", "normalized_minus_one_to_one", False),
        sampled_by_torch("bilinear", "reflection", False),
    ),
    "resample_pixels": (
        sampled("bilinear", "border", "unnormalized", True),
        sampled_by_torch(
            "bilinear", "border", True, GRID * 2 / np.float32([WIDTH - 1, HEIGHT - 1]) - 1
        ),
    ),
    "resample_unit": (
        sampled("bilinear", "border", "normalized_zero_to_one", True),
        sampled_by_torch("bilinear", "border", True, GRID * 2 - 1),
    ),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    builds = {name: build for name, (build, _) in OPERATORS.items()}
    return saved(builds, [SHAPE, SHAPE], tmp_path_factory.mktemp("rare") / "rare.mlpackage")


@pytest.fixture(scope="module")
def inputs():
    x = RANDOM.standard_normal(SHAPE).astype(np.float32)
    y = RANDOM.random(SHAPE).astype(np.float32) + 0.1
    return {"x": x, "y": y}


@pytest.fixture(scope="module")
def outputs(engine, inputs):
    return engine.run(inputs)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_equals_its_definition(outputs, inputs, name):
    expected = OPERATORS[name][1](*(T(v) for v in inputs.values())).numpy()
    np.testing.assert_allclose(outputs[f"out_{name}"], expected, rtol=1e-5, atol=1e-5)
    assert outputs[f"out_{name}"].shape == expected.shape


def test_every_operator_is_tested(engine):
    from edgeexpo.mil.ops import OPERATORS as KNOWN
    from edgeexpo.mil.weights import WEIGHT_OPERATORS  # tested in test_weights.py
    from tests.mil.test_ops import OPERATORS as COMMON

    under_other_names = {"dequantize", "resize_bilinear"}
    assert (
        set(KNOWN) - set(engine.operators) - set(COMMON) - set(WEIGHT_OPERATORS)
        == under_other_names
    )
