"""A store of scenes on disk.

Scenes are made once and in order. Each scene has its own seed, so that making can be resumed.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgeexpo.bundle.untrusted import read_json
from edgeexpo.errors import UsageError
from edgeexpo.failures import reading
from edgeexpo.progress import track
from edgeexpo.training.scenes import Sources, maker

STORE_BLOCK = 16
"""Number of scenes between two records of progress."""


class Store:
    """Scenes of one kind in a folder.

    Each tensor of the scenes is one memory-mapped file ``NAME.npy``, NxHxWx3.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        self.tensors: Mapping[str, npt.NDArray[Any]] = {
            path.stem: _loaded(path, "r", count) for path in sorted(folder.glob("*.npy"))
        }

    def batch(self, indices: npt.NDArray[np.intp], names: tuple[str, ...]) -> list[Any]:
        """Return the scenes ``indices`` of the tensors ``names``, BxHxWx3 each, as stored."""
        return [np.asarray(self.tensors[name][indices]) for name in names]


def make(sources: Sources, kind: str, folder: Path, *, count: int, size: int, seed: int) -> Store:
    """Make those of ``count`` scenes of ``size`` x ``size`` pixels that are still missing.

    Args:
        sources: Radiance maps and photographs.
        kind: Kind of scene, as for :func:`edgeexpo.training.scenes.maker`.
        folder: Folder of the store, created when missing.
        count: Number of scenes.
        size: Height and width of a scene, in pixels.
        seed: Seed of the scenes.

    Raises:
        UsageError: The folder holds scenes of another kind, count, size or seed, or damaged ones.
    """
    plan = {"kind": kind, "count": count, "size": size, "seed": seed}
    state = folder / "scenes.json"
    done = 0
    if state.exists():
        again = f"remove {folder} to make the scenes again"
        with reading(state, UsageError, "is no record of scenes", again):
            found = dict(read_json(state))
            done = operator.index(found.pop("done"))
        if found != plan:
            raise UsageError(
                f"{folder} holds scenes of {found}; expected {plan}: name another folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    maps: dict[str, Any] = {}
    for index in track(range(done, count), f"Making scenes ({kind})"):
        scene = maker(kind)(sources, size, np.random.default_rng([seed, index]))
        for name, tensor in scene.items():
            if name not in maps:
                maps[name] = _open(folder / f"{name}.npy", (count, *tensor.shape), tensor.dtype)
            maps[name][index] = tensor
        if (index + 1) % STORE_BLOCK == 0 or index + 1 == count:
            for array in maps.values():
                array.flush()
            partial = state.with_suffix(".partial")
            partial.write_text(json.dumps({**plan, "done": index + 1}), "utf-8")
            partial.replace(state)
    return Store(folder, count)


def _open(path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    if path.exists():
        found = _loaded(path, "r+", shape[0])
        if (found.shape, found.dtype) != (shape, dtype):
            raise UsageError(
                f"{path} holds {found.shape} {found.dtype}; expected {shape} {dtype}: remove "
                f"{path.parent} to make the scenes again"
            )
        return found
    header = {"mode": "w+", "dtype": dtype, "shape": shape}
    return np.lib.format.open_memmap(path, **header)  # type: ignore[no-untyped-call]


def _loaded(path: Path, mode: Literal["r", "r+"], count: int) -> npt.NDArray[Any]:
    """Open an array of ``count`` scenes, NxHxWx3 or with less axes."""
    again = f"remove {path.parent} to make the scenes again"
    with reading(path, UsageError, "is a damaged file of scenes", again):
        found: npt.NDArray[Any] = np.load(path, mmap_mode=mode)
        if len(found) != count:
            raise ValueError(f"{len(found)} scenes, expected {count}")
        return found
