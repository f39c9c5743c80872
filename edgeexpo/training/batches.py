"""Batches from a store of scenes.

The number of the step seeds each batch, so that a resumed run sees the same batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgeexpo.training.store import Store

VALIDATION = 16
"""Number of validation scenes at the end of a store, on which no step trains."""


def batch(
    store: Store,
    names: tuple[str, ...],
    step: int,
    *,
    count: int,
    crop: int,
    seed: int,
    color: bool,
) -> dict[str, Tensor]:
    """Draw the batch of one step: random scenes, turned, mirrored and cropped.

    All tensors of the batch are turned, mirrored and cropped in the same way.

    Args:
        store: Scenes, at least ``crop`` pixels high and wide.
        names: Names of the tensors to take. The first tensor is also returned uncropped, as
            ``whole``.
        step: Number of the step. Together with ``seed`` it determines all random choices.
        count: Number of scenes in the batch.
        crop: Height and width of the crops, in pixels.
        seed: Seed of the run.
        color: True to permute the colour channels too.

    Returns:
        Tensors by name, BxCxHxW float32, in the stored encoding. Integer codes are scaled to
        [0, 1].
    """
    rng = np.random.default_rng([seed, step])
    chosen = rng.integers(max(1, store.count - VALIDATION), size=count)
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    channels = rng.permutation(3) if color else np.arange(3)
    size = store.tensors[names[0]].shape[1]
    top, left = (int(v) for v in rng.integers(0, size - crop + 1, size=2))
    tensors = {}
    for name, values in zip(names, store.batch(chosen, names), strict=True):
        turned = np.rot90(values[..., channels], turns, axes=(1, 2))
        tensors[name] = turned[:, :, ::-1] if mirror else turned
    return _tensors(tensors, names[0], top, left, crop)


def validation(store: Store, names: tuple[str, ...], crop: int) -> dict[str, Tensor]:
    """Return the scenes at the end of the store, cropped at their centre.

    Args:
        store: Scenes, at least ``crop`` pixels high and wide.
        names: Names of the tensors to take. The first tensor is also returned uncropped, as
            ``whole``.
        crop: Height and width of the crops, in pixels.

    Returns:
        Tensors by name, as :func:`batch` returns them.
    """
    chosen = np.arange(max(0, store.count - VALIDATION), store.count)
    values = dict(zip(names, store.batch(chosen, names), strict=True))
    margin = (store.tensors[names[0]].shape[1] - crop) // 2
    return _tensors(values, names[0], margin, margin, crop)


def _tensors(
    values: dict[str, npt.NDArray[Any]], first: str, top: int, left: int, crop: int
) -> dict[str, Tensor]:
    area = (slice(None), slice(top, top + crop), slice(left, left + crop))
    tensors = {name: _tensor(v[area]) for name, v in values.items()}
    return {**tensors, "whole": _tensor(values[first])}


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    scale = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
    unit = values.astype(np.float32) / np.float32(scale)
    return torch.from_numpy(np.ascontiguousarray(unit)).permute(0, 3, 1, 2)
