"""The report's view of one picture: both versions, their difference, a crop and histograms."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CROP_SIDE = 64
"""Height and width of the crop that is shown pixel by pixel."""

AMPLIFICATIONS = (64, 16, 4)
"""Factors of difference maps |artefact - reference|; the largest readable factor is used."""

_BINS = 64


@dataclass(frozen=True)
class Shrink:
    """Settings for smaller pictures on the page: longest side in pixels, WebP quality."""

    side: int
    quality: int


def picture_facts(
    reference: np.ndarray, candidate: np.ndarray, shrink: Shrink
) -> Mapping[str, Any]:
    """Return everything that the page shows of one picture.

    Args:
        reference: HxWxC float32, sRGB in [0,1], of one or three channels.
        candidate: The artefact's picture in the same form; NaN and -inf show as black, inf as
            white.
        shrink: Settings for the pictures and the difference; the crops keep every pixel.
    """
    finite = np.nan_to_num(candidate, nan=0.0, posinf=1.0, neginf=0.0)
    error = np.where(np.isfinite(candidate), np.abs(finite - reference), 1.0)
    gain = amplification(error)
    top, left = worst_corner(error)
    crop = (slice(top, top + CROP_SIDE), slice(left, left + CROP_SIDE))
    shown = _codes(_reduced(reference, shrink.side))
    return {
        "reference": _webp(shown, shrink.quality),
        "artefact": _webp(_codes(_reduced(finite, shrink.side)), shrink.quality),
        "difference": _webp(_codes(_reduced(error, shrink.side, peaks=True) * gain), 60),
        "width": shown.shape[1],
        "height": shown.shape[0],
        "amplification": gain,
        "crops": [
            {"caption": "reference", "uri": _png(_codes(reference[crop]))},
            {"caption": "artefact", "uri": _png(_codes(finite[crop]))},
            {
                "caption": f"difference \N{MULTIPLICATION SIGN}{gain}",
                "uri": _png(_codes(error[crop] * gain)),
            },
        ],
        "crop_side": min(CROP_SIDE, *reference.shape[:2]),
        "crop_row": top,
        "crop_column": left,
        "full_height": reference.shape[0],
        "full_width": reference.shape[1],
        "histograms": list(_histograms(reference, finite)),
    }


def amplification(error: np.ndarray) -> int:
    """Return the largest of :data:`AMPLIFICATIONS` at which 99% of the values do not clip."""
    large = float(np.percentile(error, 99))
    return next((gain for gain in AMPLIFICATIONS if large * gain <= 1), AMPLIFICATIONS[-1])


def worst_corner(error: np.ndarray) -> tuple[int, int]:
    """Return row and column of the :data:`CROP_SIDE` window with the largest mean error.

    Windows lie on a grid of 8 pixels.
    """
    plane = error.max(axis=2)
    height, width = plane.shape
    total = np.pad(plane.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    tops = np.arange(0, max(1, height - CROP_SIDE + 1), 8)
    lefts = np.arange(0, max(1, width - CROP_SIDE + 1), 8)
    bottoms, rights = np.minimum(tops + CROP_SIDE, height), np.minimum(lefts + CROP_SIDE, width)
    sums = (
        total[np.ix_(bottoms, rights)]
        - total[np.ix_(tops, rights)]
        - total[np.ix_(bottoms, lefts)]
        + total[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(tops[row]), int(lefts[column])


def _reduced(picture: np.ndarray, side: int, peaks: bool = False) -> np.ndarray:
    """Reduce a picture to ``side`` by averaging blocks of pixels, or by their largest value."""
    step = -(-max(picture.shape[:2]) // side)
    if step == 1:
        return picture
    height, width = (max(1, n // step) for n in picture.shape[:2])
    blocks = picture[: height * step, : width * step]
    if blocks.shape[0] < height * step or blocks.shape[1] < width * step:
        return picture[::step, ::step]
    blocks = blocks.reshape(height, step, width, step, -1)
    reduced: np.ndarray = blocks.max(axis=(1, 3)) if peaks else blocks.mean(axis=(1, 3))
    return reduced


def _codes(picture: np.ndarray) -> np.ndarray:
    codes = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return np.repeat(codes, 3, axis=2) if codes.shape[2] == 1 else codes


def _webp(codes: np.ndarray, quality: int) -> str:
    return _uri(codes, "webp", quality=quality, method=4)


def _png(codes: np.ndarray) -> str:
    return _uri(codes, "png", optimize=True)


def _uri(codes: np.ndarray, kind: str, **options: Any) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(codes).save(stream, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _histograms(reference: np.ndarray, candidate: np.ndarray) -> Iterator[Mapping[str, str]]:
    """Yield a filled path and a line per channel, 64 units wide and 40 high."""
    channels = ("red", "green", "blue") if reference.shape[2] == 3 else ("grey",)
    for index, channel in enumerate(channels):
        counts = [
            np.sqrt(np.histogram(np.clip(p[..., index], 0, 1), _BINS, (0, 1))[0])
            for p in (reference, candidate)
        ]
        top = max(float(c.max()) for c in counts)
        first, second = (40 - 39 * c / top for c in counts)
        yield {
            "channel": channel,
            "reference": f"M0 40{_steps(first)}V40Z",
            "artefact": f"M0 {second[0]:.1f}{_steps(second)}",
        }


def _steps(heights: np.ndarray) -> str:
    return "".join(f"V{y:.1f}H{x + 1}" for x, y in enumerate(heights))
