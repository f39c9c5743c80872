"""Frames in the formats of cameras: RGB in any order, and YUV 4:2:0 with 8 and 10 bits.

Every frame is converted to upright, display-encoded HxWx3 RGB in [0,1], and pictures are converted
back. Matrices and ranges are those of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance).

The transfer is unchanged: networks were trained on pictures as a camera encodes them for the
display. BT.2020's primaries are unchanged as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from edgeexpo.errors import PictureError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.coded import ByteWriter, CodedPicture, write_bytes
from edgeexpo.imaging.raster import (
    WINDOW_SIDE,
    Computed,
    Raster,
    Window,
    for_each,
    sides,
    turned,
    windows,
    write_raster,
)
from edgeexpo.imaging.scratch import clip_planes, copy_planes, planar
from edgeexpo.runtime.strides import check_strides
from edgeexpo.runtime.yuv import Coding, YuvPlanes, rgb_to_yuv, yuv_to_rgb

SMALLEST_FRAME_SIDE = 16
"""Smallest height and width of a picture, in pixels."""

FRAME_DTYPES = ("uint8", "uint16", "float16", "float32")
"""Names of the dtypes that an RGB frame may have."""

Frame = np.ndarray | Sequence[np.ndarray]
"""One array, or the planes of a YUV frame, each with its own strides."""


def to_rgb(frame: Frame, frame_format: FrameFormat) -> Raster:
    """Return a frame as an upright picture, which is converted as it is read.

    Args:
        frame: An array in ``frame_format``. A YUV frame is one array of 3H/2 rows of W numbers,
            whose rows may be further apart than W. It may also be a list of its planes: Y (HxW) and
            UV (H/2 x W/2 x 2 or H/2 x W), or Y, U and V for ``i420``.
        frame_format: The format of ``frame``.

    Returns:
        HxWx3 float32 RGB in [0,1], in the frame's transfer.

    Raises:
        PictureError: The shape or the dtype does not match the format, or values are not finite or
            outside [0,1]. Height and width of a YUV frame have to be even.
    """
    if frame_format.is_yuv:
        picture = yuv_to_rgb(_planes(frame, frame_format), _coding(frame_format))
        return turned(picture, frame_format.rotation // 90, frame_format.mirror)
    return _from_rgb(_array(frame), frame_format)


def from_rgb(
    picture: Raster,
    frame_format: FrameFormat,
    out: Frame,
    side: int = WINDOW_SIDE,
    workers: int = 1,
) -> None:
    """Write a picture into a frame: the inverse of :func:`to_rgb`.

    Args:
        picture: HxWx3 float32 RGB, upright, in the frame's transfer; values are clipped to [0,1].
        frame_format: The format of ``out``.
        out: Writable array or planes in that format; the dtype decides the bit depth of RGB.
        side: Side of the windows in which the picture is read, in pixels; an even number.
        workers: Number of threads that read windows.

    Raises:
        PictureError: ``out`` has another shape or dtype, or is read-only.
    """
    quarters, mirrored = frame_format.rotation // 90, frame_format.mirror
    delivered = turned(picture, quarters if mirrored else -quarters, mirrored)
    writer = _yuv_writer if frame_format.is_yuv else _rgb_writer
    parts = windows(delivered.shape, side, side)
    for_each(parts, writer(delivered, frame_format, out), workers)


def _yuv_writer(picture: Raster, frame_format: FrameFormat, out: Frame) -> Callable[[Window], None]:
    planes = _planes(out, frame_format)
    _check_writable(planes, picture.shape[:2], planes[0].shape)
    return lambda window: rgb_to_yuv(picture, planes, _coding(frame_format), window)


def _rgb_writer(picture: Raster, frame_format: FrameFormat, out: Frame) -> Callable[[Window], None]:
    target = _array(out)
    axes = target.transpose(1, 2, 0) if frame_format.layout == "planar" else target
    _check_rgb(target, axes)
    if frame_format.is_hdr and target.dtype == np.uint8:
        raise PictureError(
            f"found uint8 for {frame_format.transfer}; expected uint16, float16 or float32"
        )
    _check_writable((axes,), picture.shape[:2], axes.shape[:2])
    channels = axes[..., ::-1] if frame_format.layout == "bgr" else axes

    def write_codes(window: Window) -> None:
        if isinstance(picture, CodedPicture) and picture.codes.dtype == target.dtype:
            np.copyto(channels[window], picture.codes[window])
            return
        if isinstance(picture, ByteWriter) and target.dtype == np.uint8:
            picture.write_bytes(window, channels)
            return
        values = planar((*sides(window), 3))
        write_raster(picture, window, values)
        if target.dtype == np.uint8:
            clipped = isinstance(picture, Computed) and picture.clipped
            write_bytes(values, channels[window], clipped)
            return
        clip_planes(values)
        if target.dtype.kind != "f":
            values *= np.float32(np.iinfo(target.dtype).max)
            np.rint(values, out=values)
        copy_planes(values, channels[window])

    return write_codes


def empty_frame(
    height: int, width: int, frame_format: FrameFormat, kind: str = "uint8"
) -> np.ndarray:
    """Return an uninitialised frame for an upright picture of ``height`` x ``width``.

    Args:
        height, width: Size of the upright picture, in pixels.
        frame_format: The format of the frame.
        kind: Name of the dtype of an RGB frame. ``uint8`` becomes ``uint16`` for PQ and HLG, for
            which 8 bits are too few.
    """
    if frame_format.is_hdr and kind == "uint8":
        kind = "uint16"
    if frame_format.rotation % 180:
        height, width = width, height
    if frame_format.is_yuv:
        return np.empty((height * 3 // 2, width), _dtype(frame_format))
    shape = (3, height, width) if frame_format.layout == "planar" else (height, width, 3)
    return np.empty(shape, kind)


def _coding(frame_format: FrameFormat) -> Coding:
    """Return how the codes of a YUV frame are to be read."""
    bits = 10 if frame_format.layout == "p010" else 8
    return Coding(frame_format.matrix, frame_format.full_range, frame_format.siting, bits)


def _dtype(frame_format: FrameFormat) -> np.dtype[np.unsignedinteger]:
    """Return the dtype of a YUV frame."""
    return np.dtype(np.uint16 if frame_format.layout == "p010" else np.uint8)


def _array(frame: Frame) -> np.ndarray:
    if not isinstance(frame, np.ndarray):
        raise PictureError(f"found {type(frame).__name__}; expected one array")
    return frame


def _from_rgb(frame: np.ndarray, frame_format: FrameFormat) -> Raster:
    planar_axes = frame_format.layout == "planar" and frame.ndim == 3
    axes = frame.transpose(1, 2, 0) if planar_axes else frame
    _check_rgb(frame, axes)
    _check_values(frame)
    channels = axes[..., ::-1] if frame_format.layout == "bgr" else axes
    channels = np.rot90(channels, -frame_format.rotation // 90)
    upright = channels[:, ::-1] if frame_format.mirror else channels
    if frame.dtype.kind != "f":
        return CodedPicture(upright)
    return Computed(upright.shape, lambda window, out: _floats(upright[window], out))


def _check_rgb(frame: np.ndarray, axes: np.ndarray) -> None:
    found = f"found {_shape(frame.shape)} {frame.dtype}"
    if axes.ndim != 3 or axes.shape[2] != 3 or frame.size == 0:
        hint = " (drop the alpha channel)" if axes.ndim == 3 and axes.shape[2] == 4 else ""
        expected = "3xHxW" if axes is not frame else "HxWx3"
        raise PictureError(f"{found}; expected {expected}{hint}")
    if frame.dtype.name not in FRAME_DTYPES:
        raise PictureError(f"{found}; expected {', '.join(FRAME_DTYPES)}")


def _check_values(frame: np.ndarray) -> None:
    if frame.dtype.kind == "f":
        low, high = float(frame.min()), float(frame.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            raise PictureError(f"found values from {low:g} to {high:g}; expected [0,1]")


def _floats(values: np.ndarray, out: np.ndarray) -> None:
    copy_planes(values, out)
    clip_planes(out)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _planes(frame: Frame, frame_format: FrameFormat) -> YuvPlanes:
    """Return Y, U and V as views into the frame's memory."""
    parts = _split(frame, frame_format) if isinstance(frame, np.ndarray) else list(frame)
    expected = 3 if frame_format.layout == "i420" else 2
    if len(parts) != expected or not all(isinstance(p, np.ndarray) for p in parts):
        raise PictureError(
            f"found {len(parts)} planes; expected {expected} for {frame_format.layout}"
        )
    if wrong := [p for p in parts if p.dtype != _dtype(frame_format)]:
        raise PictureError(
            f"found {wrong[0].dtype}; expected {_dtype(frame_format)} for {frame_format.layout}"
        )
    luma, *rest = parts
    if luma.ndim != 2 or 0 in luma.shape or luma.shape[0] % 2 or luma.shape[1] % 2:
        raise PictureError(f"found {_shape(luma.shape)} for Y; expected HxW, both even")
    half = (luma.shape[0] // 2, luma.shape[1] // 2)
    if expected == 2:
        rest = _pair(rest[0], half)
        rest = rest[::-1] if frame_format.layout == "nv21" else rest
    for plane in rest:
        if plane.shape != half:
            raise PictureError(
                f"found {_shape(plane.shape)} for a chroma plane; "
                f"expected {_shape(half)}: half of Y"
            )
    return luma, rest[0], rest[1]


def _split(frame: np.ndarray, frame_format: FrameFormat) -> list[np.ndarray]:
    layout = frame_format.layout
    if frame.ndim != 2 or frame.shape[0] % 3 or frame.shape[1] % 2 or frame.size == 0:
        raise PictureError(
            f"found {_shape(frame.shape)}; "
            f"expected 3H/2 rows of W numbers for {layout}, H and W even"
        )
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    if layout != "i420":
        return [frame[:height], frame[height:]]
    if not frame.flags.c_contiguous:
        raise PictureError(
            f"found an i420 frame of {height}x{width} with padded rows; expected its three planes"
        )
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    return [frame[:height], chroma[0], chroma[1]]


def _pair(plane: np.ndarray, half: tuple[int, int]) -> list[np.ndarray]:
    if plane.ndim == 2 and plane.shape == (half[0], 2 * half[1]):
        return [plane[:, 0::2], plane[:, 1::2]]
    if plane.ndim == 3 and plane.shape == (*half, 2):
        return [plane[..., 0], plane[..., 1]]
    raise PictureError(
        f"found {_shape(plane.shape)} for UV; expected {_shape(half)}x2 or {half[0]}x{2 * half[1]}"
    )


def _check_writable(
    planes: Sequence[np.ndarray], size: tuple[int, ...], found: tuple[int, ...]
) -> None:
    for plane in planes:
        check_strides(plane, written=True)
    if not all(p.flags.writeable for p in planes):
        raise PictureError("the output frame is read-only; expected a writable array")
    if tuple(size) != tuple(found):
        raise PictureError(
            f"the output frame is {found[0]}x{found[1]}; expected {size[0]}x{size[1]}: the "
            "picture's size, as the format turns it"
        )


def check_same(names: Sequence[str], frames: Sequence[Frame]) -> None:
    """Refuse frames that differ from each other.

    Raises:
        PictureError: The frames differ in size or dtype, or their strides are invalid.
    """
    for part in itertools.chain.from_iterable(map(_parts, frames)):
        check_strides(part)
    found = [[(part.shape, part.dtype) for part in _parts(frame)] for frame in frames]
    for name, parts in zip(names, found, strict=True):
        if parts != found[0]:
            raise PictureError(
                f"frame {name!r} is {_shape(parts[0][0])} {parts[0][1]}, frame {names[0]!r} is "
                f"{_shape(found[0][0][0])} {found[0][0][1]}; expected frames of one size and kind"
            )


def apart(frames: Sequence[Frame], out: Frame) -> list[Frame]:
    """Return the frames, copied where ``out`` lies in their memory and would overwrite them."""
    return [_copied(frame) if _overlap(frame, out) else frame for frame in frames]


def _copied(frame: Frame) -> Frame:
    return frame.copy() if isinstance(frame, np.ndarray) else [part.copy() for part in frame]


def _overlap(frame: Frame, out: Frame) -> bool:
    pairs = itertools.product(_parts(frame), _parts(out))
    return any(np.may_share_memory(part, written) for part, written in pairs)


def check_apart(frames: Sequence[Frame], out: Frame) -> None:
    """Refuse an output that lies in the memory of a frame.

    Raises:
        PictureError: ``out`` shares memory with a frame.
    """
    if any(_overlap(frame, out) for frame in frames):
        raise PictureError(
            "the output lies in the memory of a frame, which a session with memory_mb still "
            "reads while it writes; expected separate memory, or a session without memory_mb"
        )


def upright(name: str, frame: Frame, frame_format: FrameFormat) -> Raster:
    """Do as :func:`to_rgb` does, refuse tiny frames, and name the frame in errors.

    Raises:
        PictureError: The frame cannot be read, or a side is less than :data:`SMALLEST_FRAME_SIDE`.
    """
    try:
        picture = to_rgb(frame, frame_format)
    except PictureError as error:
        raise PictureError(f"frame {name!r}: {error}") from error
    if min(picture.shape[:2]) < SMALLEST_FRAME_SIDE:
        raise PictureError(
            f"frame {name!r}: found {_shape(picture.shape[:2])} pixels; "
            f"expected at least {SMALLEST_FRAME_SIDE}x{SMALLEST_FRAME_SIDE}"
        )
    return picture


def depth(frame: Frame, frame_format: FrameFormat) -> str:
    """Return the dtype of an RGB picture with the bit depth of ``frame``."""
    return (_dtype(frame_format) if frame_format.is_yuv else _parts(frame)[0].dtype).name


def frame_bytes(frame: Frame) -> int:
    """Return the number of bytes of a frame."""
    return sum(part.nbytes for part in _parts(frame))


def _parts(frame: Frame) -> list[np.ndarray]:
    if isinstance(frame, np.ndarray):
        return [frame]
    if not isinstance(frame, (list, tuple)):
        raise PictureError(f"found {type(frame).__name__}; expected an array, or planes")
    return [np.asarray(part) for part in frame]
