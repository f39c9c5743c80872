"""Tests of the interpreter's operators against torch or numpy, in one saved program of odd size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.silence import quiet

HEIGHT, WIDTH = 13, 10
RANDOM = np.random.default_rng(0)


def weights(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32) * 0.3


W3, W1, WT, WG = weights(6, 4, 3, 3), weights(5, 4, 1, 1), weights(4, 6, 4, 4), weights(8, 2, 3, 5)
B6, B5, B8 = weights(6), weights(5), weights(8)
GAMMA, BETA, MEAN, SLOPE = weights(4) + 1, weights(4), weights(4), weights(4)
VARIANCE = np.abs(weights(4)) + 0.5
LINEAR, MATRIX = weights(7, WIDTH), weights(WIDTH, 6)
T = torch.from_numpy


def cubed(name):
    return lambda mb, x, y: getattr(mb, name)(x=x)


def paired(name):
    return lambda mb, x, y: getattr(mb, name)(x=x, y=y)


def reduced(name, axes=(2, 3), keep=True):
    return lambda mb, x, y: getattr(mb, name)(x=x, axes=axes, keep_dims=keep)


def resized(mode, size=(21, 7)):
    return lambda mb, x, y: mb.resize_bilinear(
        x=x, target_size_height=size[0], target_size_width=size[1], sampling_mode=mode
    )


def corners(x, wanted):
    """Resize bilinearly, with output pixel i at input coordinate i * length / wanted."""
    for axis, size in ((2, wanted[0]), (3, wanted[1])):
        length = x.shape[axis]
        at = np.minimum(np.arange(size) * length / size, length - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, length - 1)
        part = T((at - low).astype(np.float32))
        part = part[:, None] if axis == 2 else part
        x = x.index_select(axis, T(low)) * (1 - part) + x.index_select(axis, T(high)) * part
    return x


def bilinear(x, size, corners):
    return F.interpolate(x, size, mode="bilinear", align_corners=corners)


OPERATORS = {
    # elementwise
    "add": (paired("add"), lambda x, y: x + y),
    "sub": (paired("sub"), lambda x, y: x - y),
    "mul": (paired("mul"), lambda x, y: x * y),
    "real_div": (paired("real_div"), lambda x, y: x / y),
    "maximum": (paired("maximum"), torch.maximum),
    "minimum": (paired("minimum"), torch.minimum),
    "pow": (lambda mb, x, y: mb.pow(x=y, y=2.5), lambda x, y: y**2.5),
    "relu": (cubed("relu"), lambda x, y: F.relu(x)),
    "relu6": (lambda mb, x, y: mb.relu6(x=mb.mul(x=x, y=5.0)), lambda x, y: F.relu6(5 * x)),
    "sigmoid": (cubed("sigmoid"), lambda x, y: torch.sigmoid(x)),
    "tanh": (cubed("tanh"), lambda x, y: torch.tanh(x)),
    "softsign": (cubed("softsign"), lambda x, y: F.softsign(x)),
    "softplus": (cubed("softplus"), lambda x, y: F.softplus(x)),
    "silu": (cubed("silu"), lambda x, y: F.silu(x)),
    "erf": (cubed("erf"), lambda x, y: torch.erf(x)),
    "exp": (cubed("exp"), lambda x, y: torch.exp(x)),
    "square": (cubed("square"), lambda x, y: x * x),
    "abs": (cubed("abs"), lambda x, y: x.abs()),
    "sign": (cubed("sign"), lambda x, y: x.sign()),
    "floor": (cubed("floor"), lambda x, y: x.floor()),
    "ceil": (cubed("ceil"), lambda x, y: x.ceil()),
    "round": (lambda mb, x, y: mb.round(x=mb.mul(x=x, y=3.0)), lambda x, y: torch.round(3 * x)),
    "sqrt": (lambda mb, x, y: mb.sqrt(x=y), lambda x, y: y.sqrt()),
    "rsqrt": (lambda mb, x, y: mb.rsqrt(x=y, epsilon=0.1), lambda x, y: (y + 0.1).rsqrt()),
    "inverse": (lambda mb, x, y: mb.inverse(x=y, epsilon=0.1), lambda x, y: 1 / (y + 0.1)),
    "log": (lambda mb, x, y: mb.log(x=y, epsilon=0.1), lambda x, y: (y + 0.1).log()),
    "leaky_relu": (
        lambda mb, x, y: mb.leaky_relu(x=x, alpha=0.2),
        lambda x, y: F.leaky_relu(x, 0.2),
    ),
    "elu": (lambda mb, x, y: mb.elu(x=x, alpha=1.5), lambda x, y: F.elu(x, 1.5)),
    "prelu": (lambda mb, x, y: mb.prelu(x=x, alpha=SLOPE), lambda x, y: F.prelu(x, T(SLOPE))),
    "clip": (lambda mb, x, y: mb.clip(x=x, alpha=-0.5, beta=0.7), lambda x, y: x.clamp(-0.5, 0.7)),
    "sigmoid_hard": (
        lambda mb, x, y: mb.sigmoid_hard(x=x, alpha=0.3, beta=0.4),
        lambda x, y: (0.3 * x + 0.4).clamp(0, 1),
    ),
    "gelu": (lambda mb, x, y: mb.gelu(x=x, mode="EXACT"), lambda x, y: F.gelu(x)),
    "gelu_tanh": (
        lambda mb, x, y: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x, y: F.gelu(x, approximate="tanh"),
    ),
    "gelu_sigmoid": (
        lambda mb, x, y: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
        lambda x, y: x * torch.sigmoid(1.702 * x),
    ),
    "softmax": (lambda mb, x, y: mb.softmax(x=x, axis=1), lambda x, y: torch.softmax(x, 1)),
    "select": (
        lambda mb, x, y: mb.select(cond=mb.greater(x=x, y=y), a=x, b=y),
        lambda x, y: torch.where(x > y, x, y),
    ),
    "cast": (
        lambda mb, x, y: mb.cast(x=mb.cast(x=mb.mul(x=x, y=9.0), dtype="int32"), dtype="fp32"),
        lambda x, y: (9 * x).int().float(),
    ),
    "cast_fp16": (
        lambda mb, x, y: mb.cast(x=mb.cast(x=x, dtype="fp16"), dtype="fp32"),
        lambda x, y: x.half().float(),
    ),
    # convolutions
    "conv": (
        lambda mb, x, y: mb.conv(
            x=x, weight=W3, bias=B6, strides=[2, 1], pad_type="custom", pad=[1, 1, 1, 1]
        ),
        lambda x, y: F.conv2d(x, T(W3), T(B6), (2, 1), 1),
    ),
    "conv_uneven": (
        lambda mb, x, y: mb.conv(x=x, weight=W3, pad_type="custom", pad=[0, 2, 1, 0]),
        lambda x, y: F.conv2d(F.pad(x, (1, 0, 0, 2)), T(W3)),
    ),
    "conv_same": (
        lambda mb, x, y: mb.conv(x=x, weight=W3, bias=B6, strides=[2, 2], pad_type="same"),
        # The height 13 -> 7 needs paddings 1 and 1, the width 10 -> 5 needs 0 and 1.
        lambda x, y: F.conv2d(F.pad(x, (0, 1, 1, 1)), T(W3), T(B6), 2),
    ),
    "conv_same_lower": (
        lambda mb, x, y: mb.conv(x=x, weight=W3, bias=B6, strides=[2, 2], pad_type="same_lower"),
        lambda x, y: F.conv2d(F.pad(x, (1, 0, 1, 1)), T(W3), T(B6), 2),
    ),
    "conv_grouped": (
        lambda mb, x, y: mb.conv(
            x=x, weight=WG, bias=B8, groups=2, dilations=[2, 1], pad_type="valid"
        ),
        lambda x, y: F.conv2d(x, T(WG), T(B8), dilation=(2, 1), groups=2),
    ),
    "conv_pointwise": (
        lambda mb, x, y: mb.conv(x=x, weight=W1, bias=B5, pad_type="valid"),
        lambda x, y: F.conv2d(x, T(W1), T(B5)),
    ),
    "conv_transpose": (
        lambda mb, x, y: mb.conv_transpose(
            x=x, weight=WT, bias=B6, strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]
        ),
        lambda x, y: F.conv_transpose2d(x, T(WT), T(B6), 2, 1),
    ),
    "conv_transpose_extended": (
        lambda mb, x, y: mb.conv_transpose(
            x=x,
            weight=WT,
            bias=B6,
            strides=[3, 3],
            pad_type="custom",
            pad=[1, 1, 1, 1],
            output_shape=[1, 6, 3 * HEIGHT + 1, 3 * WIDTH + 1],
        ),
        lambda x, y: F.conv_transpose2d(x, T(WT), T(B6), 3, 1, 2),
    ),
    # pools
    "max_pool": (
        lambda mb, x, y: mb.max_pool(
            x=x, kernel_sizes=[3, 2], strides=[2, 2], pad_type="custom", pad=[1, 1, 0, 0]
        ),
        lambda x, y: F.max_pool2d(x, (3, 2), 2, (1, 0)),
    ),
    "max_pool_ceil": (
        lambda mb, x, y: mb.max_pool(
            x=x, kernel_sizes=[2, 3], strides=[2, 3], pad_type="valid", ceil_mode=True
        ),
        lambda x, y: F.max_pool2d(x, (2, 3), (2, 3), ceil_mode=True),
    ),
    "avg_pool": (
        lambda mb, x, y: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[2, 1], pad_type="custom", pad=[1, 1, 1, 1]
        ),
        lambda x, y: F.avg_pool2d(x, 3, (2, 1), 1),
    ),
    "avg_pool_inside": (
        lambda mb, x, y: mb.avg_pool(
            x=x,
            kernel_sizes=[3, 3],
            strides=[2, 2],
            pad_type="custom",
            pad=[1, 1, 1, 1],
            exclude_padding_from_average=True,
        ),
        lambda x, y: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    ),
    # normalisation and matrices
    "batch_norm": (
        lambda mb, x, y: mb.batch_norm(
            x=x, mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA, epsilon=1e-3
        ),
        lambda x, y: F.batch_norm(x, T(MEAN), T(VARIANCE), T(GAMMA), T(BETA), eps=1e-3),
    ),
    "instance_norm": (
        lambda mb, x, y: mb.instance_norm(x=x, gamma=GAMMA, beta=BETA, epsilon=1e-3),
        lambda x, y: F.instance_norm(x, weight=T(GAMMA), bias=T(BETA), eps=1e-3),
    ),
    "layer_norm": (
        lambda mb, x, y: mb.layer_norm(x=x, axes=[2, 3], epsilon=1e-3),
        lambda x, y: F.layer_norm(x, (HEIGHT, WIDTH), eps=1e-3),
    ),
    "linear": (
        lambda mb, x, y: mb.linear(x=x, weight=LINEAR, bias=LINEAR[:, 0]),
        lambda x, y: F.linear(x, T(LINEAR), T(LINEAR[:, 0])),
    ),
    "matmul": (
        lambda mb, x, y: mb.matmul(x=x, y=y, transpose_y=True),
        lambda x, y: x @ y.mT,
    ),
    "matmul_constant": (lambda mb, x, y: mb.matmul(x=x, y=MATRIX), lambda x, y: x @ T(MATRIX)),
    # reductions
    "reduce_mean": (reduced("reduce_mean"), lambda x, y: x.mean((2, 3), True)),
    "reduce_sum": (reduced("reduce_sum", (1,), False), lambda x, y: x.sum(1)),
    "reduce_max": (reduced("reduce_max", (-1,)), lambda x, y: x.amax(-1, True)),
    "reduce_min": (reduced("reduce_min", (2,), False), lambda x, y: x.amin(2)),
    "reduce_l2_norm": (reduced("reduce_l2_norm"), lambda x, y: x.square().sum((2, 3), True).sqrt()),
    "reduce_sum_square": (reduced("reduce_sum_square"), lambda x, y: x.square().sum((2, 3), True)),
    # shapes
    "concat": (
        lambda mb, x, y: mb.concat(values=[x, y], axis=1),
        lambda x, y: torch.cat([x, y], 1),
    ),
    "stack": (
        lambda mb, x, y: mb.stack(values=[x, y], axis=1),
        lambda x, y: torch.stack([x, y], 1),
    ),
    "reshape": (
        lambda mb, x, y: mb.reshape(x=x, shape=[2, -1, 5]),
        lambda x, y: x.reshape(2, -1, 5),
    ),
    "transpose": (
        lambda mb, x, y: mb.transpose(x=x, perm=[0, 2, 3, 1]),
        lambda x, y: x.permute(0, 2, 3, 1),
    ),
    "tile": (lambda mb, x, y: mb.tile(x=x, reps=[1, 2, 1, 3]), lambda x, y: x.repeat(1, 2, 1, 3)),
    "squeeze": (lambda mb, x, y: mb.squeeze(x=x, axes=[0]), lambda x, y: x.squeeze(0)),
    "expand_dims": (
        lambda mb, x, y: mb.expand_dims(x=mb.squeeze(x=x, axes=[0]), axes=[0, -1]),
        lambda x, y: x[..., None],
    ),
    "split": (
        lambda mb, x, y: mb.sub(
            x=mb.split(x=x, num_splits=2, axis=1)[0], y=mb.split(x=x, num_splits=2, axis=1)[1]
        ),
        lambda x, y: x[:, :2] - x[:, 2:],
    ),
    "split_sizes": (
        lambda mb, x, y: mb.mul(x=mb.split(x=x, split_sizes=[1, 3], axis=1)[1], y=2.0),
        lambda x, y: 2 * x[:, 1:],
    ),
    "slice_by_index": (
        lambda mb, x, y: mb.slice_by_index(
            x=x,
            begin=[0, 1, 2, -1],
            end=[1, 4, -1, 0],
            stride=[1, 2, 3, -2],
            end_mask=[False, False, False, True],
        ),
        lambda x, y: T(np.ascontiguousarray(x.numpy()[0:1, 1:4:2, 2:-1:3, ::-2])),
    ),
    "slice_squeezed": (
        lambda mb, x, y: mb.slice_by_index(
            x=x,
            begin=[0, 2, 0, 0],
            end=[0, 0, 0, 0],
            begin_mask=[True, False, True, True],
            end_mask=[True, False, True, True],
            squeeze_mask=[False, True, False, False],
        ),
        lambda x, y: x[:, 2],
    ),
    "slice_by_size": (
        lambda mb, x, y: mb.slice_by_size(x=x, begin=[0, 1, 3, 0], size=[1, 2, 5, -1]),
        lambda x, y: x[:, 1:3, 3:8],
    ),
    "crop": (
        lambda mb, x, y: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 3]),
        lambda x, y: x[:, :, 1:-2, :-3],
    ),
    "pad": (
        lambda mb, x, y: mb.pad(
            x=x, pad=[0, 0, 1, 0, 2, 1, 0, 3], mode="constant", constant_val=0.5
        ),
        lambda x, y: F.pad(x, (0, 3, 2, 1, 1, 0), value=0.5),
    ),
    "pad_reflect": (
        lambda mb, x, y: mb.pad(x=x, pad=[2, 1, 0, 3], mode="reflect"),
        lambda x, y: F.pad(x, (0, 3, 2, 1), mode="reflect"),
    ),
    "pad_replicate": (
        lambda mb, x, y: mb.pad(x=x, pad=[0, 0, 2, 3], mode="replicate"),
        lambda x, y: F.pad(x, (2, 3, 0, 0), mode="replicate"),
    ),
    "pixel_shuffle": (
        lambda mb, x, y: mb.pixel_shuffle(x=x, upscale_factor=2),
        lambda x, y: F.pixel_shuffle(x, 2),
    ),
    "pixel_unshuffle": (
        lambda mb, x, y: mb.pixel_unshuffle(
            x=mb.pixel_shuffle(x=x, upscale_factor=2), downscale_factor=np.uint32(2)
        ),
        lambda x, y: x,
    ),
    # resizing
    "upsample_nearest_neighbor": (
        lambda mb, x, y: mb.upsample_nearest_neighbor(
            x=x, scale_factor_height=2, scale_factor_width=3
        ),
        lambda x, y: x.repeat_interleave(2, 2).repeat_interleave(3, 3),
    ),
    "upsample_bilinear": (
        lambda mb, x, y: mb.upsample_bilinear(
            x=x, scale_factor_height=2.0, scale_factor_width=3.0, align_corners=True
        ),
        lambda x, y: bilinear(x, (2 * HEIGHT, 3 * WIDTH), True),
    ),
    "upsample_half_pixel": (
        lambda mb, x, y: mb.upsample_bilinear(
            x=x, scale_factor_height=2.0, scale_factor_width=1.5, align_corners=False
        ),
        lambda x, y: bilinear(x, (2 * HEIGHT, 15), False),
    ),
    "resize_nearest_neighbor": (
        lambda mb, x, y: mb.resize_nearest_neighbor(
            x=x, target_size_height=2 * HEIGHT, target_size_width=2 * WIDTH
        ),
        lambda x, y: x.repeat_interleave(2, 2).repeat_interleave(2, 3),
    ),
    "resize_strict": (resized("STRICT_ALIGN_CORNERS"), lambda x, y: bilinear(x, (21, 7), True)),
    "resize_aligned": (resized("ALIGN_CORNERS"), lambda x, y: bilinear(x, (21, 7), True)),
    "resize_unaligned": (resized("UNALIGN_CORNERS"), lambda x, y: bilinear(x, (21, 7), False)),
    "resize_default": (resized("DEFAULT"), lambda x, y: corners(x, (21, 7))),
    "resize_middle": (
        resized("ALIGN_CORNERS", (1, 1)),
        lambda x, y: 0.5 * (x[:, :, 6:7, 4:5] + x[:, :, 6:7, 5:6]),
    ),
    # integers
    "quantize": (
        lambda mb, x, y: mb.dequantize(
            input=mb.quantize(
                input=x, scale=np.float32(0.01), zero_point=np.int8(-7), output_dtype="int8"
            ),
            scale=np.float32(0.01),
            zero_point=np.int8(-7),
        ),
        lambda x, y: (torch.clamp(torch.round(x / 0.01) - 7, -128, 127) + 7) * 0.01,
    ),
    "quantize_channels": (
        lambda mb, x, y: mb.dequantize(
            input=mb.quantize(input=x, scale=np.abs(SLOPE) + 0.01, output_dtype="uint8", axis=1),
            scale=np.abs(SLOPE) + 0.01,
            axis=1,
        ),
        lambda x, y: torch.fake_quantize_per_channel_affine(
            x, T(np.abs(SLOPE) + 0.01), torch.zeros(4, dtype=torch.int32), 1, 0, 255
        ),
    ),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Return an engine with one package, saved unoptimised, that outputs all :data:`OPERATORS`."""
    with quiet():
        import coremltools as ct
        from coremltools.converters.mil import Builder as mb  # noqa: N813

        specs = [mb.TensorSpec(shape=(1, 4, HEIGHT, WIDTH)) for _ in range(2)]

        @mb.program(input_specs=specs, opset_version=ct.target.iOS17)
        def program(x, y):
            return tuple(
                mb.identity(x=build(mb, x, y), name=f"out_{name}")
                for name, (build, _) in OPERATORS.items()
            )

        model = ct.convert(
            program,
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS17,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        path = tmp_path_factory.mktemp("operators") / "operators.mlpackage"
        model.save(str(path))
    engine = MilEngine()
    engine.load(path)
    return engine


@pytest.fixture(scope="module")
def inputs():
    x = RANDOM.standard_normal((1, 4, HEIGHT, WIDTH)).astype(np.float32)
    y = RANDOM.random((1, 4, HEIGHT, WIDTH)).astype(np.float32) + 0.1
    return {"x": x, "y": y}


@pytest.fixture(scope="module")
def outputs(engine, inputs):
    return engine.run(inputs)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_equals_torch(outputs, inputs, name):
    expected = OPERATORS[name][1](*(T(v) for v in inputs.values())).numpy()
    np.testing.assert_allclose(outputs[f"out_{name}"], expected, rtol=1e-5, atol=2e-6)


def test_the_operators_survived_the_converter(engine):
    """Without its passes, the converter saves the operators as built, so the tests reach them."""
    from edgeexpo.mil.ops import OPERATORS as KNOWN

    plain = {name for name in OPERATORS if name in KNOWN}
    assert len(plain) > 55
    assert plain <= set(engine.operators)


def test_inputs_are_not_changed(engine, inputs):
    before = {name: value.copy() for name, value in inputs.items()}
    first = engine.run(inputs)
    second = engine.run(inputs)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name])
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
