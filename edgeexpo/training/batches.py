"""Batches from a store of scenes: seeded by step, so that an interrupted run sees the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgeexpo.training.store import Store

VALIDATION = 16
"""Scenes at the end of a store that no step trains on."""


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
    """A batch for one step: random scenes, turned, mirrored and cropped, the same for all tensors.

    Args:
        store: Scenes, at least ``crop`` pixels high and wide.
        names: Tensors to take; the first also comes uncropped as ``whole``.
        step: Number of the step; with ``seed`` it decides everything random.
        count: Scenes in the batch.
        crop: Height and width, pixels.
        seed: Of the run.
        color: Also permute the colour channels.

    Returns:
        BxCxHxW float32 in [0, 1] by name.
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
    """The scenes at the end of the store, cropped at their middle; see :func:`batch`."""
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
