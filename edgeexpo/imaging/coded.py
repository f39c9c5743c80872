"""Pictures that stay integer codes until a window of them is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.raster import Computed, Window, sides
from edgeexpo.imaging.scratch import copy_planes, planes, row_planes, scope, scratch_array

Rows = tuple[np.ndarray, ...]
"""Type of arrays of interleaved codes, Hx3W each."""


class CodedPicture(Computed):
    """A raster of codes, whose windows are read as numbers in [0, 1].

    Nothing is copied when it is made. Reading a window costs little, so stages read the codes again
    where they would keep a float copy of four times the size.

    Args:
        codes: HxWx3 uint8 or uint16, with any strides; the largest code of the dtype stands for 1.
    """

    def __init__(self, codes: np.ndarray) -> None:
        super().__init__(
            codes.shape, lambda window, out: read_codes(codes[window], out), cheap=True
        )
        self.codes = codes

    @property
    def most(self) -> int:
        """The largest code."""
        return int(np.iinfo(self.codes.dtype).max)

    def packed(self, window: Window) -> np.ndarray:
        """Return the codes of a window without gaps, as a view if they are stored so."""
        return packed(self.codes[window])


class ByteWriter(Computed):
    """A raster that compiled kernels can also write as bytes, without a float copy between.

    Args:
        shape: Height, width and number of channels.
        compute: As for :class:`edgeexpo.imaging.raster.Computed`.
        write_bytes: Function that writes a window, clipped to [0, 1] and rounded, into the same
            window of an HxWx3 array of bytes.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        compute: Callable[[Window, np.ndarray], object],
        write_bytes: Callable[[Window, np.ndarray], object],
    ) -> None:
        super().__init__(shape, compute, clipped=True)
        self._write_bytes = write_bytes

    def write_bytes(self, window: Window, out: np.ndarray) -> None:
        """Write a window into the same window of ``out``, HxWx3 uint8."""
        with scope():
            self._write_bytes(window, out)


def byte_windows(frames: Sequence[CodedPicture], window: Window) -> tuple[Rows, int, int]:
    """Return rows of interleaved codes that hold a window of all frames, and its place in them.

    Returns:
        For each frame an array of Hx3W codes, and the window's first row and column in pixels.
    """
    if all(_plain(frame.codes) for frame in frames):
        rows = tuple(frame.codes.reshape(len(frame.codes), -1) for frame in frames)
        return rows, window[0].start, window[1].start
    rows = tuple(frame.packed(window) for frame in frames)
    return tuple(codes.reshape(len(codes), -1) for codes in rows), 0, 0


def into_planes(out: np.ndarray, write: Callable[[np.ndarray], object]) -> None:
    """Let a kernel write contiguous planes, which are ``out`` if its planes are so.

    Args:
        out: CxHxW float32, with any strides.
        write: Function that overwrites CxHxW float32 planes.
    """
    if out.flags.c_contiguous:
        write(out)
        return
    with scope():
        target = scratch_array(out.shape)
        write(target)
        for made, plane in zip(target, out, strict=True):
            np.copyto(plane, made)


def into_bytes(
    window: Window, out: np.ndarray, write: Callable[[np.ndarray, int, int], object]
) -> None:
    """Let a kernel write a window of interleaved bytes, which are those of ``out`` if it can.

    Args:
        window: The window of ``out``.
        out: HxWx3 uint8, with any strides.
        write: Function that takes rows of bytes, Hx3W, and the window's first row and column in
            them.
    """
    if out.flags.carray:
        write(out.reshape(len(out), -1), window[0].start, window[1].start)
        return
    with scope():
        made = scratch_array((*sides(window), 3), np.uint8)
        write(made.reshape(len(made), -1), 0, 0)
        np.copyto(out[window], made)


def packed(codes: np.ndarray) -> np.ndarray:
    """Return codes as an array that kernels take, which is the array itself if they take it."""
    if _plain(codes):
        return codes
    copy = scratch_array(codes.shape, codes.dtype.newbyteorder("="))
    np.copyto(copy, codes)
    return copy


def _plain(codes: np.ndarray) -> bool:
    """Return true if codes are contiguous, aligned, writable and in this processor's byte order."""
    return codes.flags.carray and codes.dtype.isnative


def read_codes(codes: np.ndarray, out: np.ndarray) -> None:
    """Write HxWx3 codes to ``out``, HxWx3 float32, divided by the largest code of their dtype."""
    most = np.float32(np.iinfo(codes.dtype).max)
    kernels = kernel_module("codes")
    if kernels is None:
        copy_planes(codes, out)
        out /= most
        return
    with scope():
        target = planes(out)
        if not target[0].flags.c_contiguous:
            target = scratch_array(target.shape)
        rows = packed(codes).reshape(len(codes), -1)
        kernels.read_codes(rows, most, target[0], target[1], target[2])
        if not np.may_share_memory(target, out):
            copy_planes(target.transpose(1, 2, 0), out)


def write_bytes(picture: np.ndarray, codes: np.ndarray, clipped: bool = False) -> None:
    """Clip HxWx3 float32 to [0, 1] unless it is, and write it to HxWx3 uint8 codes, rounded.

    The picture may be overwritten.
    """
    kernels = kernel_module("codes")
    if kernels is None:
        values = planes(picture)
        for plane in values:
            if not clipped:
                np.clip(plane, 0, 1, out=plane)
            plane *= np.float32(255)
            np.rint(plane, out=plane)
        copy_planes(picture, codes)
        return
    with scope():
        made = scratch_array(codes.shape, np.uint8)
        values = row_planes(picture)
        kernels.write_bytes(values[0], values[1], values[2], made.reshape(len(made), -1))
        np.copyto(codes, made)
