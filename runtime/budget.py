"""Limits on the memory and the threads of a session, and the tile and window sizes that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.free_memory import free_memory
from edgeexpo.imaging.raster import WINDOW_SIDE
from edgeexpo.spec import ModelSpec, SizeRange

SMALLEST_WINDOW = 32
"""Smallest memory budget, in MiB."""

_MIB = 1 << 20
_FAR = 64
"""Pixels that the surroundings add to the side of a window; also the smallest side of a window."""

_WINDOW, _COARSE, _TILE = 112, 1.9, 64
"""Measured memory of exposure fusion and of tiles; a test holds sessions to their budget.

- ``_WINDOW``: bytes per pixel of a window of exposure fusion, its surroundings included.
- ``_COARSE``: bytes per pixel of the picture for the coarse levels of exposure fusion's pyramids.
- ``_TILE``: bytes per pixel of a tile.
"""

_WIDE = 2
"""Factor on the side of windows for the guided filter, which has no margins and works by rows."""

_WHOLE = 64
"""Bytes per pixel and frame that stages take without a limit; ``lrl`` takes most, 56."""

FREE_SHARE = 0.25
"""Share of the free memory that a session without ``memory_mb`` may take."""

LEAST_AUTOMATIC = 256
"""Least memory in MiB that a session without ``memory_mb`` may take."""

_HALO_SHARE = 0.1
"""Largest share of a tile's pixels that its halo may take."""


@dataclass(frozen=True)
class Budget:
    """Memory and threads for frames and stages.

    The memory of the engine and of the caller's frames is not counted.

    Attributes:
        memory_mb: MiB; ``None`` sets no limit and is fastest.
        workers: Threads, each of which computes one window at a time.
        automatic_mb: MiB to which a picture is held that would take more without a limit. ``None``
            holds no picture.

    Raises:
        UsageError: ``memory_mb`` is less than :data:`SMALLEST_WINDOW`.
    """

    memory_mb: float | None = None
    workers: int = 1
    automatic_mb: float | None = None

    def __post_init__(self) -> None:
        if self.memory_mb is not None and not self.memory_mb >= SMALLEST_WINDOW:
            raise UsageError(f"memory_mb is {self.memory_mb}; expected at least {SMALLEST_WINDOW}")

    @classmethod
    def of_session(cls, memory_mb: float | None, workers: int) -> Budget:
        """Return the budget of a session: the limit that is asked for, or one of its own.

        Its own limit is :data:`FREE_SHARE` of the memory that is free now, and
        :data:`LEAST_AUTOMATIC` at least.
        """
        free = free_memory()
        if memory_mb is not None or free is None:
            return cls(memory_mb, workers)
        return cls(None, workers, max(free * FREE_SHARE / _MIB, LEAST_AUTOMATIC))

    def for_picture(self, frames: int, height: int, width: int) -> Budget:
        """Return the budget for one set of frames, which is limited where it would take too much.

        Args:
            frames: Number of frames.
            height, width: Their size in pixels.
        """
        if self.memory_mb is not None or self.automatic_mb is None:
            return self
        if frames * height * width * _WHOLE <= self.automatic_mb * _MIB:
            return self
        return Budget(self.automatic_mb, self.workers)

    def tiles(self, spec: ModelSpec, sizes: SizeRange) -> SizeRange:
        """Return the sizes that tiles may have under this budget.

        Args:
            spec: The model; its halo is the overlap of tiles, in pixels.
            sizes: The sizes that the artefact accepts, in pixels.

        Returns:
            ``sizes`` with a smaller largest size: a tile takes at most an eighth of the budget. A
            tile is larger than that where its halo would else take more than :data:`_HALO_SHARE` of
            its pixels. ``sizes`` comes back unchanged without a budget, without a halo, and for an
            artefact with fixed or enumerated sizes.
        """
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
        """Return true when a float32 picture of this shape may stay in memory between stages."""
        return self.memory_mb is None or math.prod(shape) * 4 <= self.memory_mb * _MIB / 4

    def window(self, spec: ModelSpec, height: int, width: int) -> int:
        """Return the side of the windows in which the back stage computes a picture.

        Args:
            spec: The model; its back stage decides how much memory a window takes.
            height, width: Size of the picture, in pixels.

        Returns:
            A side in pixels, a multiple of 8.

        Raises:
            PictureError: The stage needs more than the budget for a picture of this size.
        """
        if self.memory_mb is None:
            guided = spec.back is not None and spec.back.kind == "guided"
            return _WIDE * WINDOW_SIDE if guided else WINDOW_SIDE
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
