"""MIL operators in torch: ``{operator type: function of its arguments}``.

Arguments arrive by MIL's own names as tensors (float32 numbers, also for fp16), integers as
tensors, strings as ``str``. Definitions follow Apple's MIL operator reference for iOS 15 to 18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.parity.mil_resize import RESIZES

Arguments = Mapping[str, Any]
Operator = Callable[[Arguments], Any]

_SELECTING = """
relu maximum minimum max_pool reduce_max reduce_min identity quantize
concat stack split reshape transpose squeeze expand_dims tile pad
slice_by_index slice_by_size pixel_shuffle pixel_unshuffle
"""
ROUNDING_KEPT = frozenset(_SELECTING.split())
"""Operators that only select among their inputs: fp16 in, fp16 out, no rounding of their own."""


def number(value: Any) -> Any:
    """A MIL scalar as a Python number."""
    return value.reshape(-1)[0].item() if isinstance(value, torch.Tensor) else value


def numbers(value: Any) -> list[int]:
    """A MIL vector of integers as a list; ``None`` as an empty one."""
    return [] if value is None else [int(v) for v in torch.as_tensor(value).reshape(-1)]


def flags(value: Any, length: int) -> list[bool]:
    """A MIL vector of booleans as a list; ``None`` as all false."""
    return [False] * length if value is None else [bool(v) for v in value.reshape(-1)]


def real(value: Any) -> torch.Tensor:
    """A MIL argument as a float32 tensor."""
    if isinstance(value, torch.Tensor):
        return value if value.dtype == torch.float32 else value.float()
    return torch.tensor(float(value))


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Operator:
    return lambda a: function(real(a["x"]))


def _binary(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Operator:
    return lambda a: function(real(a["x"]), real(a["y"]))


def _paddings(a: Arguments, x: torch.Tensor, kernel: list[int], strides: list[int]) -> list[int]:
    """Begin and end padding of every spatial axis, flattened."""
    kind = a.get("pad_type", "valid")
    dilations = numbers(a.get("dilations")) or [1] * len(kernel)
    if kind == "valid":
        return [0] * (2 * len(kernel))
    if kind == "custom":
        return numbers(a["pad"])
    result = []
    for axis, size in enumerate(kernel):
        length = x.shape[2 + axis]
        reach = (-(-length // strides[axis]) - 1) * strides[axis] + (size - 1) * dilations[axis] + 1
        total = max(0, reach - length)
        low = total - total // 2 if kind == "same_lower" else total // 2
        result += [low, total - low]
    return result


def pad_last(
    x: torch.Tensor, padding: list[int], value: float = 0.0, mode: str = "constant"
) -> torch.Tensor:
    """Pad the trailing axes; ``padding`` lists (begin, end) from the first of them on."""
    while len(padding) > 2 and padding[0] == padding[1] == 0:
        padding = padding[2:]
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    flat = [side for pair in reversed(pairs) for side in pair]
    if mode == "constant":
        return F.pad(x, flat, mode, value)
    return F.pad(x, flat, mode)


def _conv(a: Arguments) -> torch.Tensor:
    x, weight = real(a["x"]), real(a["weight"])
    spatial = weight.dim() - 2
    strides = numbers(a.get("strides")) or [1] * spatial
    dilations = numbers(a.get("dilations")) or [1] * spatial
    padding = _paddings(a, x, list(weight.shape[2:]), strides)
    symmetric = padding[::2] == padding[1::2]
    if not symmetric:
        x = pad_last(x, padding)
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    result: torch.Tensor = function(
        x,
        weight,
        None if a.get("bias") is None else real(a["bias"]),
        strides,
        padding[::2] if symmetric else 0,
        dilations,
        int(number(a.get("groups", 1))),
    )
    return result


def _conv_transpose(a: Arguments) -> torch.Tensor:
    x, weight = real(a["x"]), real(a["weight"])
    spatial = weight.dim() - 2
    strides = numbers(a.get("strides")) or [1] * spatial
    dilations = numbers(a.get("dilations")) or [1] * spatial
    kind = a.get("pad_type", "valid")
    if kind not in ("valid", "custom"):
        raise ValueError(f"pad_type {kind!r} is not interpreted")
    padding = numbers(a["pad"]) if kind == "custom" else [0] * (2 * spatial)
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[spatial]
    y = function(x, weight, None, strides, 0, 0, int(number(a.get("groups", 1))), dilations)
    wanted = numbers(a.get("output_shape"))[2:]
    for axis in range(spatial):
        full = y.shape[2 + axis]
        size = wanted[axis] if wanted else full - padding[2 * axis] - padding[2 * axis + 1]
        missing = padding[2 * axis] + size - full
        if missing > 0:
            shape = list(y.shape)
            shape[2 + axis] = missing
            y = torch.cat([y, y.new_zeros(shape)], 2 + axis)
        y = y.narrow(2 + axis, padding[2 * axis], size)
    if a.get("bias") is not None:
        y = y + real(a["bias"]).reshape(1, -1, *[1] * spatial)
    return y


def _pool(a: Arguments, average: bool) -> torch.Tensor:
    x, kernel = real(a["x"]), numbers(a["kernel_sizes"])
    strides = numbers(a.get("strides")) or [1] * len(kernel)
    padding = _paddings(a, x, kernel, strides)
    if number(a.get("ceil_mode", False)):
        for axis, size in enumerate(kernel):
            length = x.shape[2 + axis] + padding[2 * axis] + padding[2 * axis + 1]
            steps = -(-(length - size) // strides[axis]) + 1
            if (steps - 1) * strides[axis] >= x.shape[2 + axis] + padding[2 * axis]:
                steps -= 1
            padding[2 * axis + 1] += max(0, (steps - 1) * strides[axis] + size - length)
    maxima = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    means = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(kernel)]
    if not average:
        return maxima(pad_last(x, padding, float("-inf")), kernel, strides)
    result = means(pad_last(x, padding), kernel, strides)
    if number(a.get("exclude_padding_from_average", False)):
        result = result / means(pad_last(torch.ones_like(x), padding), kernel, strides)
    return result


def _reduce(function: Callable[[torch.Tensor, list[int], bool], torch.Tensor]) -> Operator:
    def run(a: Arguments) -> torch.Tensor:
        x = real(a["x"])
        axes = numbers(a.get("axes")) or list(range(x.dim()))
        return function(x, axes, bool(number(a.get("keep_dims", False))))

    return run


def _slice_by_index(a: Arguments) -> torch.Tensor:
    x = a["x"]
    begin, end = numbers(a["begin"]), numbers(a["end"])
    stride = numbers(a.get("stride")) or [1] * x.dim()
    masks = [flags(a.get(key), x.dim()) for key in ("begin_mask", "end_mask", "squeeze_mask")]
    parts: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        if masks[2][axis]:
            parts.append(first)
            continue
        low = None if masks[0][axis] else first
        high = None if masks[1][axis] else last
        parts.append(slice(low, high, step))
    return torch.from_numpy(np.ascontiguousarray(x.numpy()[tuple(parts)]))


def _split(a: Arguments) -> list[torch.Tensor]:
    axis = int(number(a["axis"]))
    if a.get("split_sizes") is not None:
        return list(a["x"].split(numbers(a["split_sizes"]), axis))
    return list(a["x"].split(a["x"].shape[axis] // int(number(a["num_splits"])), axis))


def _expand_dims(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    axes = numbers(a["axes"])
    for axis in sorted(i % (x.dim() + len(axes)) for i in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(a: Arguments) -> torch.Tensor:
    x: torch.Tensor = a["x"]
    axes = numbers(a.get("axes"))
    return x.squeeze(tuple(axes)) if axes else x.squeeze()


def _normalize(a: Arguments, function: Callable[..., torch.Tensor]) -> torch.Tensor:
    gamma, beta = (None if a.get(k) is None else real(a[k]) for k in ("gamma", "beta"))
    return function(real(a["x"]), gamma, beta, number(a["epsilon"]))


def _layer_norm(a: Arguments) -> torch.Tensor:
    x, axes = real(a["x"]), numbers(a["axes"])
    centred = x - x.mean(axes, keepdim=True)
    y = centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + number(a["epsilon"]))
    y = y if a.get("gamma") is None else y * real(a["gamma"])
    return y if a.get("beta") is None else y + real(a["beta"])


def _matmul(a: Arguments) -> torch.Tensor:
    x, y = real(a["x"]), real(a["y"])
    x = x.mT if number(a.get("transpose_x", False)) else x
    y = y.mT if number(a.get("transpose_y", False)) else y
    return x @ y


def _pad(a: Arguments) -> torch.Tensor:
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "replicate"}
    value = number(a.get("constant_val", 0.0))
    return pad_last(real(a["x"]), numbers(a["pad"]), value, modes[a.get("mode", "constant")])


def _along(value: Any, axis: Any, like: torch.Tensor) -> torch.Tensor:
    """A scale or zero point, shaped to broadcast along its axis."""
    tensor = real(value)
    if tensor.numel() == 1:
        return tensor.reshape(())
    place = int(number(axis)) % like.dim()
    return tensor.reshape([-1 if i == place else 1 for i in range(like.dim())])


def _quantize(a: Arguments) -> torch.Tensor:
    x = real(a["input"])
    low, high = (-128, 127) if a["output_dtype"] == "int8" else (0, 255)
    y = (x / _along(a["scale"], a.get("axis"), x)).round_()
    if a.get("zero_point") is not None:
        y += _along(a["zero_point"], a.get("axis"), x)
    return y.clamp_(low, high)


def _dequantize(a: Arguments) -> torch.Tensor:
    x = real(a["input"])
    scale = _along(a["scale"], a.get("axis"), x)
    if a.get("zero_point") is None:
        return x * scale
    return (x - _along(a["zero_point"], a.get("axis"), x)).mul_(scale)


def _affine(a: Arguments) -> torch.Tensor:
    data = real(a["quantized_data"])
    zero = _along(a["zero_point"], a["axis"], data)
    return (data - zero) * _along(a["scale"], a["axis"], data)


def _blockwise(a: Arguments) -> torch.Tensor:
    data = real(a["data"])

    def expand(value: torch.Tensor) -> torch.Tensor:
        for axis in range(data.dim()):
            value = value.repeat_interleave(data.shape[axis] // value.shape[axis], axis)
        return value

    offset = 0.0 if a.get("offset") is None else expand(real(a["offset"]))
    return (data - offset) * expand(real(a["scale"]))


def _palette(a: Arguments) -> torch.Tensor:
    table = real(a["lut"])
    if a.get("shape") is not None:  # iOS 16: indices packed into bytes
        shape = numbers(a["shape"])
        width = int(np.log2(table.numel()))
        count = int(np.prod(shape))
        bits = np.unpackbits(a["indices"].numpy().astype(np.uint8), bitorder="little")
        codes = (bits[: width * count].reshape(count, width) << np.arange(width)).sum(1)
        return table.reshape(-1)[torch.from_numpy(codes)].reshape(shape)
    indices = a["indices"].long()
    if table.shape[-1] != 1:
        raise ValueError("vector palettes are not interpreted")
    grid = [
        torch.arange(size)
        .div(size // table.shape[axis], rounding_mode="floor")
        .reshape([-1 if i == axis else 1 for i in range(indices.dim())])
        for axis, size in enumerate(indices.shape)
    ]
    return table[(*grid, indices, torch.zeros((), dtype=torch.long))]


_CASTS = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}

OPERATORS: dict[str, Operator] = {
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.div),
    "floor_div": _binary(torch.floor_divide),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "relu": _unary(F.relu),
    "relu6": _unary(F.relu6),
    "sigmoid": _unary(torch.sigmoid),
    "tanh": _unary(torch.tanh),
    "silu": _unary(F.silu),
    "softplus": _unary(F.softplus),
    "softsign": _unary(F.softsign),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "abs": _unary(torch.abs),
    "sign": _unary(torch.sign),
    "floor": _unary(torch.floor),
    "ceil": _unary(torch.ceil),
    "round": _unary(torch.round),
    "cos": _unary(torch.cos),
    "sin": _unary(torch.sin),
    "identity": lambda a: a["x"],
    "leaky_relu": lambda a: F.leaky_relu(real(a["x"]), number(a["alpha"])),
    "elu": lambda a: F.elu(real(a["x"]), number(a["alpha"])),
    "prelu": lambda a: F.prelu(real(a["x"]), real(a["alpha"])),
    "sigmoid_hard": lambda a: (real(a["x"]) * number(a["alpha"]) + number(a["beta"])).clamp_(0, 1),
    "clip": lambda a: real(a["x"]).clamp(number(a["alpha"]), number(a["beta"])),
    "gelu": lambda a: F.gelu(
        real(a["x"]), approximate="tanh" if a["mode"] == "TANH_APPROXIMATION" else "none"
    ),
    "rsqrt": lambda a: torch.rsqrt(real(a["x"]) + number(a["epsilon"])),
    "inverse": lambda a: 1 / (real(a["x"]) + number(a["epsilon"])),
    "log": lambda a: torch.log(real(a["x"]) + number(a["epsilon"])),
    "softmax": lambda a: torch.softmax(real(a["x"]), int(number(a["axis"]))),
    "select": lambda a: torch.where(a["cond"].bool(), real(a["a"]), real(a["b"])),
    "cast": lambda a: a["x"].to(_CASTS[a["dtype"]]),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": lambda a: _pool(a, average=False),
    "avg_pool": lambda a: _pool(a, average=True),
    "batch_norm": lambda a: _normalize(
        a,
        lambda x, gamma, beta, eps: F.batch_norm(
            x, real(a["mean"]), real(a["variance"]), gamma, beta, eps=eps
        ),
    ),
    "instance_norm": lambda a: _normalize(
        a, lambda x, gamma, beta, eps: F.instance_norm(x, weight=gamma, bias=beta, eps=eps)
    ),
    "layer_norm": _layer_norm,
    "linear": lambda a: F.linear(
        real(a["x"]), real(a["weight"]), None if a.get("bias") is None else real(a["bias"])
    ),
    "matmul": _matmul,
    "reduce_mean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "reduce_sum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "reduce_sum_square": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "concat": lambda a: torch.cat(list(a["values"]), int(number(a["axis"]))),
    "stack": lambda a: torch.stack(list(a["values"]), int(number(a["axis"]))),
    "reshape": lambda a: a["x"].reshape(numbers(a["shape"])),
    "transpose": lambda a: a["x"].permute(numbers(a["perm"])),
    "tile": lambda a: a["x"].repeat(numbers(a["reps"])),
    "shape": lambda a: torch.tensor(a["x"].shape, dtype=torch.int32),
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "split": _split,
    "slice_by_index": _slice_by_index,
    "slice_by_size": lambda a: a["x"][
        tuple(
            slice(b, None if s == -1 else b + s)
            for b, s in zip(numbers(a["begin"]), numbers(a["size"]), strict=True)
        )
    ],
    "pad": _pad,
    "pixel_shuffle": lambda a: F.pixel_shuffle(a["x"], int(number(a["upscale_factor"]))),
    "pixel_unshuffle": lambda a: F.pixel_unshuffle(a["x"], int(number(a["downscale_factor"]))),
    "quantize": _quantize,
    "dequantize": _dequantize,
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_lut_to_dense": _palette,
    **RESIZES,
}
