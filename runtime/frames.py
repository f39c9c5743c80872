"""Frames as cameras deliver and take them: RGB in any order, and YUV 4:2:0 of 8 and 10 bits.

Everything becomes HxWx3 RGB in [0,1], display-encoded, upright; and back. Matrices and ranges are
those of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance); the transfer is not touched:
what a camera encodes for the display is what networks were trained on, and BT.2020's primaries
stay.

Work is done in strips of rows: nothing but the result has the size of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from edgeexpo.errors import PictureError, UsageError

LAYOUTS = ("rgb", "bgr", "planar", "nv12", "nv21", "i420", "p010")
MATRICES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
)
"""Weights of red and blue in luma."""

SITINGS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {"left": (False, True), "center": (False, False), "topleft": (True, True)}
)
"""Where a chroma sample lies: on a luma sample's row, on its column; else half way to the next."""

KINDS = ("uint8", "uint16", "float16", "float32")
_ROWS = 64
_Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class FrameFormat:
    """How the numbers of a frame are to be read.

    Attributes:
        layout: ``rgb`` and ``bgr`` are HxWx3, ``planar`` is 3xHxW (RGB): uint8, uint16, or float16
            and float32 in [0,1]. The others are 4:2:0, with even height and width: ``nv12`` (Y,
            then U and V in turn), ``nv21`` (V before U), ``i420`` (Y, U, V), ``p010`` (as nv12, ten
            bits in the upper bits of uint16).
        matrix: ``bt601``, ``bt709`` or ``bt2020``, for YUV.
        full_range: 0 to 255 for Y, U and V; else 16 to 235 and 16 to 240.
        siting: Where chroma samples lie: ``left`` (MPEG-2, H.264), ``center`` (JPEG) or
            ``topleft`` (BT.2020).
        rotation: Degrees clockwise that turn the frame upright: 0, 90, 180 or 270.
        mirror: The upright frame is mirrored left to right (front cameras).

    Raises:
        UsageError: An unknown name or angle.
    """

    layout: str = "rgb"
    matrix: str = "bt709"
    full_range: bool = False
    siting: str = "left"
    rotation: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("layout", LAYOUTS),
            ("matrix", tuple(MATRICES)),
            ("siting", tuple(SITINGS)),
            ("rotation", (0, 90, 180, 270)),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name} of a frame is {getattr(self, name)!r}; "
                    f"expected {', '.join(map(str, allowed))}"
                )

    @property
    def is_yuv(self) -> bool:
        """True for 4:2:0 layouts."""
        return self.layout in ("nv12", "nv21", "i420", "p010")

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Kind of a YUV frame's numbers."""
        return np.dtype(np.uint16 if self.layout == "p010" else np.uint8)


Frame = np.ndarray | Sequence[np.ndarray]
"""One array, or the planes of a YUV frame, each with strides of its own."""


def to_rgb(frame: Frame, frame_format: FrameFormat) -> np.ndarray:
    """A frame as an upright picture.

    Args:
        frame: An array as :class:`FrameFormat` says; YUV as one array of 3H/2 rows of W numbers
            (rows may be further apart than W), or as its planes: Y (HxW) and UV (H/2 x W/2 x 2 or
            H/2 x W), or Y, U and V for ``i420``.
        frame_format: How to read it.

    Returns:
        HxWx3 float32 RGB in [0,1], contiguous.

    Raises:
        PictureError: Another shape or kind, values that are not finite or outside [0,1], or an odd
            size where chroma has half of it.
    """
    if frame_format.is_yuv:
        picture = _from_yuv(_planes(frame, frame_format), frame_format)
    else:
        picture = _from_rgb(_array(frame), frame_format.layout)
    turned = np.rot90(picture, -frame_format.rotation // 90)
    return np.ascontiguousarray(turned[:, ::-1] if frame_format.mirror else turned)


def from_rgb(picture: np.ndarray, frame_format: FrameFormat, out: Frame) -> None:
    """Write a picture into a frame: the inverse of :func:`to_rgb`.

    Args:
        picture: HxWx3 float32 RGB in [0,1], upright; what is outside is clipped.
        frame_format: What to write.
        out: Writable array or planes of that format, whose kind decides the bit depth of RGB.

    Raises:
        PictureError: ``out`` has another shape or kind, or is read-only.
    """
    turned = picture[:, ::-1] if frame_format.mirror else picture
    turned = np.rot90(turned, frame_format.rotation // 90)
    if frame_format.is_yuv:
        planes = _planes(out, frame_format)
        _check_writable(planes, turned.shape[:2], planes[0].shape)
        _write_yuv(turned, planes, frame_format)
        return
    target = _array(out)
    axes = target.transpose(1, 2, 0) if frame_format.layout == "planar" else target
    _check_rgb(target, axes)
    _check_writable((axes,), turned.shape[:2], axes.shape[:2])
    channels = axes[..., ::-1] if frame_format.layout == "bgr" else axes
    for top in range(0, len(turned), _ROWS):
        rows = slice(top, top + _ROWS)
        channels[rows] = _codes(np.clip(turned[rows], 0, 1), target.dtype)


def empty(height: int, width: int, frame_format: FrameFormat, kind: str = "uint8") -> np.ndarray:
    """A frame to write an upright ``height`` x ``width`` picture into.

    Args:
        height, width: Of the upright picture, pixels.
        frame_format: The format.
        kind: Of RGB's numbers.
    """
    if frame_format.rotation % 180:
        height, width = width, height
    if frame_format.is_yuv:
        return np.empty((height * 3 // 2, width), frame_format.dtype)
    shape = (3, height, width) if frame_format.layout == "planar" else (height, width, 3)
    return np.empty(shape, kind)


def _array(frame: Frame) -> np.ndarray:
    if not isinstance(frame, np.ndarray):
        raise PictureError(f"found {type(frame).__name__}; expected one array")
    return frame


def _from_rgb(frame: np.ndarray, layout: str) -> np.ndarray:
    axes = frame.transpose(1, 2, 0) if layout == "planar" and frame.ndim == 3 else frame
    _check_rgb(frame, axes)
    picture = _floats(axes)
    return picture[..., ::-1] if layout == "bgr" else picture


def _check_rgb(frame: np.ndarray, axes: np.ndarray) -> None:
    found = f"found {_shape(frame)} {frame.dtype}"
    if axes.ndim != 3 or axes.shape[2] != 3 or frame.size == 0:
        hint = " (drop the alpha channel)" if axes.ndim == 3 and axes.shape[2] == 4 else ""
        expected = "3xHxW" if axes is not frame else "HxWx3"
        raise PictureError(f"{found}; expected {expected}{hint}")
    if frame.dtype.name not in KINDS:
        raise PictureError(f"{found}; expected {', '.join(KINDS)}")


def _floats(frame: np.ndarray) -> np.ndarray:
    if frame.dtype.kind == "f":
        low, high = float(frame.min()), float(frame.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            raise PictureError(f"found values from {low:g} to {high:g}; expected [0,1]")
        return np.clip(frame.astype(np.float32), 0, 1)
    return frame.astype(np.float32) / np.float32(np.iinfo(frame.dtype).max)


def _shape(frame: np.ndarray) -> str:
    return "x".join(map(str, frame.shape)) or "a scalar"


def _codes(picture: np.ndarray, kind: np.dtype) -> np.ndarray:
    if kind.kind == "f":
        return picture.astype(kind, copy=False)
    codes: np.ndarray = np.rint(picture * np.float32(np.iinfo(kind).max))
    return codes.astype(kind)


def _planes(frame: Frame, frame_format: FrameFormat) -> _Planes:
    """Y, U and V as views into the frame's memory."""
    parts = _split(frame, frame_format) if isinstance(frame, np.ndarray) else list(frame)
    expected = 3 if frame_format.layout == "i420" else 2
    if len(parts) != expected or not all(isinstance(p, np.ndarray) for p in parts):
        raise PictureError(
            f"found {len(parts)} planes; expected {expected} for {frame_format.layout}"
        )
    if wrong := [p for p in parts if p.dtype != frame_format.dtype]:
        raise PictureError(
            f"found {wrong[0].dtype}; expected {frame_format.dtype} for {frame_format.layout}"
        )
    luma, *rest = parts
    if luma.ndim != 2 or 0 in luma.shape or luma.shape[0] % 2 or luma.shape[1] % 2:
        raise PictureError(f"found {_shape(luma)} for Y; expected HxW with even height and width")
    half = (luma.shape[0] // 2, luma.shape[1] // 2)
    if expected == 2:
        rest = _pair(rest[0], half)
        rest = rest[::-1] if frame_format.layout == "nv21" else rest
    for plane in rest:
        if plane.shape != half:
            raise PictureError(
                f"found {_shape(plane)} for a chroma plane; expected {half[0]}x{half[1]}: half of Y"
            )
    return luma, rest[0], rest[1]


def _split(frame: np.ndarray, frame_format: FrameFormat) -> list[np.ndarray]:
    layout = frame_format.layout
    if frame.ndim != 2 or frame.shape[0] % 3 or frame.shape[1] % 2 or frame.size == 0:
        raise PictureError(
            f"found {_shape(frame)}; expected 3H/2 rows of W numbers for {layout}, H and W even"
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
        f"found {_shape(plane)} for UV; expected {half[0]}x{half[1]}x2 or {half[0]}x{2 * half[1]}"
    )


def _check_writable(
    planes: Sequence[np.ndarray], size: tuple[int, ...], found: tuple[int, ...]
) -> None:
    if not all(p.flags.writeable for p in planes):
        raise PictureError("the output frame is read-only; expected a writable array")
    if tuple(size) != tuple(found):
        raise PictureError(
            f"the output frame is {found[0]}x{found[1]}; expected {size[0]}x{size[1]}: the "
            "picture's size, as the format turns it"
        )


def _scale(frame_format: FrameFormat) -> tuple[float, float, float, float, int]:
    """Black and span of Y, zero and span of chroma, in codes; and bits to shift codes by."""
    bits, shift = (10, 6) if frame_format.layout == "p010" else (8, 0)
    if frame_format.full_range:
        top = float(2**bits - 1)
        return 0.0, top, float(2 ** (bits - 1)), top, shift
    unit = float(2 ** (bits - 8))
    return 16 * unit, 219 * unit, 128 * unit, 224 * unit, shift


def _from_yuv(planes: _Planes, frame_format: FrameFormat) -> np.ndarray:
    red, blue = MATRICES[frame_format.matrix]
    green = 1 - red - blue
    black, span, zero, chroma_span, shift = _scale(frame_format)
    luma, *chroma = planes
    height, width = luma.shape
    picture = np.empty((height, width, 3), np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        y = ((luma[rows] >> shift).astype(np.float32) - np.float32(black)) / np.float32(span)
        u, v = (
            _doubled(plane, rows, shift, zero, chroma_span, SITINGS[frame_format.siting])
            for plane in chroma
        )
        strip = picture[rows]
        strip[..., 0] = y + np.float32(2 * (1 - red)) * v
        strip[..., 2] = y + np.float32(2 * (1 - blue)) * u
        strip[..., 1] = (
            y
            - np.float32(2 * blue * (1 - blue) / green) * u
            - np.float32(2 * red * (1 - red) / green) * v
        )
        np.clip(strip, 0, 1, out=strip)
    return picture


def _doubled(
    plane: np.ndarray,
    rows: slice,
    shift: int,
    zero: float,
    span: float,
    sited: tuple[bool, bool],
) -> np.ndarray:
    """Chroma of ``rows`` of the picture, centred on 0, at the picture's size: bilinear."""
    indices = np.arange(rows.start // 2 - 1, rows.stop // 2 + 1)
    part = plane[np.clip(indices, 0, len(plane) - 1)] >> shift
    centred = (part.astype(np.float32) - np.float32(zero)) / np.float32(span)
    tall = _interpolated(centred, 0, sited[0])
    wide = np.concatenate([tall[:, :1], tall, tall[:, -1:]], axis=1)
    return _interpolated(wide, 1, sited[1])


def _interpolated(samples: np.ndarray, axis: int, on_sample: bool) -> np.ndarray:
    """Twice as many samples along ``axis``; the first and the last only have neighbours."""
    moved = samples.swapaxes(0, axis)
    before, middle, after = moved[:-2], moved[1:-1], moved[2:]
    out = np.empty((2 * len(middle), *middle.shape[1:]), np.float32)
    if on_sample:
        out[0::2] = middle
        out[1::2] = (middle + after) * np.float32(0.5)
    else:
        out[0::2] = middle * np.float32(0.75) + before * np.float32(0.25)
        out[1::2] = middle * np.float32(0.75) + after * np.float32(0.25)
    return out.swapaxes(0, axis)


def _write_yuv(picture: np.ndarray, planes: _Planes, frame_format: FrameFormat) -> None:
    red, blue = MATRICES[frame_format.matrix]
    weights = np.array([red, 1 - red - blue, blue], np.float32)
    black, span, zero, chroma_span, shift = _scale(frame_format)
    top_code = 1023 if frame_format.layout == "p010" else 255
    on_row, on_column = SITINGS[frame_format.siting]

    def write(plane: np.ndarray, values: np.ndarray) -> None:
        codes = np.clip(np.rint(values), 0, top_code).astype(plane.dtype)
        plane[...] = codes << shift if shift else codes

    height = len(picture)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        # One row more above, for chroma that lies on rows.
        rgb = np.clip(picture[max(top - 1, 0) : bottom], 0, 1)
        y = rgb @ weights
        rows = slice(top, bottom)
        own = y[-(bottom - top) :]
        write(planes[0][rows], own * np.float32(span) + np.float32(black))
        for channel, share, plane in ((2, blue, planes[1]), (0, red, planes[2])):
            full = (rgb[..., channel] - y) * np.float32(0.5 / (1 - share))
            if top == 0:
                full = np.concatenate([full[:1], full])
            low = _halved(full, 0, on_row)
            small = _halved(np.concatenate([low[:, :1], low], axis=1), 1, on_column)
            part = plane[top // 2 : bottom // 2]
            write(part, small * np.float32(chroma_span) + np.float32(zero))


def _halved(samples: np.ndarray, axis: int, on_sample: bool) -> np.ndarray:
    """Half as many samples along ``axis``: (1 2 1)/4 on samples, else means of two.

    The first of ``samples`` lies before the stretch.
    """
    moved = samples.swapaxes(0, axis)
    before, even, odd = moved[0:-1:2], moved[1::2], moved[2::2]
    half, quarter = np.float32(0.5), np.float32(0.25)
    out = before * quarter + even * half + odd * quarter if on_sample else (even + odd) * half
    return np.asarray(out.swapaxes(0, axis))
