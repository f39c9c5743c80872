"""Decompression of MIL's weights in torch: affine, blockwise, palettised, sparse, joint forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from edgeexpo.mil.values import Arguments, MilOperator, along, numbers, python_number, real_tensor


def _affine(a: Arguments) -> torch.Tensor:
    data = real_tensor(a["quantized_data"])
    zero = along(a["zero_point"], a["axis"], data)
    return (data - zero) * along(a["scale"], a["axis"], data)


def _spread(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Repeat the values of blocks (one a block) to ``shape``, that of the blocked tensor."""
    for axis, size in enumerate(shape):
        value = value.repeat_interleave(size // value.shape[axis], axis)
    return value


def _shifted(data: torch.Tensor, scale: Any, offset: Any) -> torch.Tensor:
    shape = tuple(data.shape)
    shifted = data if offset is None else data - _spread(real_tensor(offset), shape)
    return shifted * _spread(real_tensor(scale), shape)


def _unpacked(packed: torch.Tensor, width: int, count: int) -> torch.Tensor:
    """Unpack ``count`` numbers of ``width`` bits from bytes, lowest bit first."""
    bits = np.unpackbits(packed.numpy().astype(np.uint8), bitorder="little")
    codes = (bits[: width * count].reshape(count, width) << np.arange(width)).sum(1)
    return torch.from_numpy(codes)


def _looked_up(indices: torch.Tensor, table: torch.Tensor, vector_axis: Any) -> torch.Tensor:
    """Replace every index by its vector in the palette.

    ``table`` has one palette for each block of ``indices``: its last two axes are the palette's
    entries and the numbers of an entry. Entries of several numbers are laid along ``vector_axis``.
    """
    places = [
        torch.arange(size)
        .div(size // table.shape[axis], rounding_mode="floor")
        .reshape([-1 if i == axis else 1 for i in range(indices.dim())])
        for axis, size in enumerate(indices.shape)
    ]
    vectors = table[(*places, indices.long())]
    if vectors.shape[-1] == 1:
        return vectors.squeeze(-1)
    axis = int(python_number(vector_axis)) % indices.dim()
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def _palette(a: Arguments) -> torch.Tensor:
    table = real_tensor(a["lut"])
    if a.get("shape") is None:
        return _looked_up(a["indices"], table, a.get("vector_axis"))
    shape = numbers(a["shape"])  # the iOS 16 form has one palette and indices packed into bytes
    codes = _unpacked(a["indices"], int(np.log2(table.numel())), int(np.prod(shape)))
    return table.reshape(-1)[codes].reshape(shape)


def _dense(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    result = values.new_zeros(mask.shape)
    result[mask] = values
    return result


def _sparse(a: Arguments) -> torch.Tensor:
    values = real_tensor(a["nonzero_data"])
    if a.get("shape") is None:
        return _dense(values, a["mask"].bool())
    shape = numbers(a["shape"])  # the iOS 16 form has its mask packed into bytes
    mask = _unpacked(a["mask"], 1, int(np.prod(shape)))
    return _dense(values, mask.bool().reshape(shape))


def _sparse_palette(a: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    mask, table = a["indices_mask"].bool(), real_tensor(a["lut"])
    dense = _looked_up(_dense(a["indices_nonzero_data"], mask), table, a.get("vector_axis"))
    if table.shape[-1] > 1:
        mask = mask.repeat_interleave(table.shape[-1], int(python_number(a["vector_axis"])))
    return mask, dense[mask]


def _sparse_blockwise(a: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    mask = a["data_mask"].bool()
    dense = _dense(real_tensor(a["nonzero_data"]), mask)
    return mask, _shifted(dense, a["scale"], a.get("offset"))[mask]


WEIGHT_OPERATORS: dict[str, MilOperator] = {
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": lambda a: _shifted(
        real_tensor(a["data"]), a["scale"], a.get("offset")
    ),
    "constexpr_lut_to_dense": _palette,
    "constexpr_sparse_to_dense": _sparse,
    "constexpr_lut_to_sparse": _sparse_palette,
    "constexpr_sparse_blockwise_shift_scale": _sparse_blockwise,
    "constexpr_cast": lambda a: real_tensor(a["source_val"]),
}
"""Operators of this module by MIL operator type."""
