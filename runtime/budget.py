"""What a session may take for pictures of any size, memory and threads, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging.raster import WINDOW_SIDE
from edgeexpo.spec import ModelSpec, SizeRange

SMALLEST_WINDOW = 32
"""Smallest budget, in MiB."""

_MIB = 1 << 20
_FAR = 64
_WINDOW, _COARSE, _TILE = 112, 1.9, 64
"""Bytes that exposure fusion takes per pixel of a window with its surroundings, and per pixel of
the picture for the coarse part of its pyramids; bytes per pixel of a tile. Measured; a test holds
sessions to their budget."""

_HALO_SHARE = 0.1
"""Largest share of a tile's pixels that its halo may take."""


@dataclass(frozen=True)
class Budget:
    """Memory and threads for frames and stages, besides the engine's and the caller's frames.

    Attributes:
        memory_mb: MiB; ``None`` is as much as is fastest.
        workers: Threads that compute a window each.

    Raises:
        UsageError: Less than :data:`SMALLEST_WINDOW`.
    """

    memory_mb: float | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.memory_mb is not None and not self.memory_mb >= SMALLEST_WINDOW:
            raise UsageError(f"memory_mb is {self.memory_mb}; expected at least {SMALLEST_WINDOW}")

    def tiles(self, spec: ModelSpec, sizes: SizeRange) -> SizeRange:
        """Sizes of tiles: bounded by an eighth of the budget, but never mostly halo."""
        if (
            self.memory_mb is None
            or spec.halo is None
            or sizes.enumerated
            or sizes.smallest == sizes.largest
        ):
            return sizes
        affordable = math.sqrt(self.memory_mb * _MIB / 8 / _TILE)
        useful = 2 * spec.halo / (1 - math.sqrt(1 - _HALO_SHARE))
        step = math.ceil(16 / sizes.multiple) * sizes.multiple
        side = max(math.floor(affordable / step), math.ceil(useful / step)) * step
        height, width = (
            max(low, min(side, high))
            for low, high in zip(sizes.smallest, sizes.largest, strict=True)
        )
        return replace(sizes, largest=(height, width))

    def keeps(self, shape: tuple[int, ...]) -> bool:
        """True when a float32 picture of this shape may stay in memory between two stages."""
        return self.memory_mb is None or math.prod(shape) * 4 <= self.memory_mb * _MIB / 4

    def window(self, spec: ModelSpec, height: int, width: int) -> int:
        """Side of the windows, a multiple of 8, in which the back stage computes a picture.

        Raises:
            PictureError: The stage needs more than the budget for a picture of this size.
        """
        if self.memory_mb is None:
            return WINDOW_SIDE
        left = self.memory_mb * _MIB
        if spec.back is not None and spec.back.kind == "exposure-fusion":
            left -= height * width * _COARSE
        side = math.sqrt(max(left, 0) / 2 / self.workers / _WINDOW) - _FAR
        if side < _FAR:
            windows = 2 * self.workers * _WINDOW * (2 * _FAR) ** 2
            needed = (height * width * _COARSE + windows) / _MIB
            raise PictureError(
                f"a picture of {height}x{width} (HxW) needs {math.ceil(needed)} MiB and memory_mb "
                f"is {self.memory_mb:g}; raise it or scale the frames down"
            )
        return min(int(side), WINDOW_SIDE) // 8 * 8
