"""Large pictures between two stages, kept in a temporary file instead of in memory."""

from __future__ import annotations

import os
import tempfile
import threading

import numpy as np

from edgeexpo.errors import OutputError
from edgeexpo.imaging.raster import Window


class Spool:
    """A HxWxC float32 picture in a temporary file, whose windows any thread may read and write.

    The file has no name where the system allows it. It is deleted once nothing refers to the spool.

    Args:
        shape: Height, width and channels.

    Raises:
        OutputError: The folder for temporary files cannot be written, or is full.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._lock = threading.Lock()
        try:
            # The file is closed when the spool is collected.
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _full(error) from error

    def __setitem__(self, window: Window, pixels: np.ndarray) -> None:
        rows, columns = window
        try:
            with self._lock:
                for row, values in zip(range(rows.start, rows.stop), pixels, strict=True):
                    self._file.seek(self._offset(row, columns))
                    self._file.write(np.ascontiguousarray(values, np.float32).data)
        except OSError as error:
            raise _full(error) from error

    def __getitem__(self, window: Window, /) -> np.ndarray:
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        pixels = np.empty((height, width, self.shape[2]), np.float32)
        with self._lock:
            for row, values in zip(range(rows.start, rows.stop), pixels, strict=True):
                self._file.seek(self._offset(row, columns))
                self._file.readinto(values.data.cast("B"))
        return pixels

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _offset(self, row: int, columns: slice) -> int:
        """Return the position in the file, in bytes, of the first of ``columns`` in ``row``."""
        _, width, channels = self.shape
        return int((row * width + columns.start) * channels * 4)


def _full(error: OSError) -> OutputError:
    return OutputError(
        f"{tempfile.gettempdir()} cannot hold a large picture's temporary file: "
        f"{os.strerror(error.errno or 0)}; free space there, set TMPDIR, or raise memory_mb"
    )
