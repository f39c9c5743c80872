"""Geometric faults: a shifted, mirrored or transposed picture, exchanged channels, borders.

Pictures are HxWxC float32, sRGB-encoded, [0,1].
"""

from __future__ import annotations

import itertools

import numpy as np

from edgeexpo.parity.metrics.tones import CODE_STEPS, luma, sampled

ORIENTATIONS = (
    "upright",
    "rotated by 90 degrees",
    "rotated by 180 degrees",
    "rotated by 270 degrees",
    "mirrored left to right",
    "transposed",
    "mirrored top to bottom",
    "transposed over the other diagonal",
)
"""Orientations by the index that :func:`orientation` returns.

First come quarter turns of the picture, then quarter turns of its mirror image.
"""

CHANNEL_ORDERS = tuple(itertools.permutations(range(3)))
"""Channel orders by the index that :func:`channel_order` returns.

An order lists, for each channel, the reference's channel in its place.
"""

RING = 4
"""Width of the border that :func:`border_excess` measures, in pixels."""

_SMALLEST, _LARGEST = 48, 192
"""Smallest and largest side of the corners that are registered, in pixels."""

_TEXTURE = 4 / CODE_STEPS
"""Standard deviation of luma below which a corner has no texture."""

_HIGHEST, _MOVED = 0.25, 0.25
"""Highest frequency whose phase counts, in cycles per pixel.

``_MOVED`` is the share of the difference's power from which a displacement counts.
"""

_THUMBNAIL = 32
"""Height and width of the thumbnails that :func:`orientation` compares, in pixels."""


def pixel_shift(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the displacement of the candidate in pixels: the larger one of two opposite corners.

    Phase correlation of luma (C. Kuglin, D. Hines, 1975) finds the nearest pixel. The slope of the
    remaining phase over frequency gives the fraction (H. Stone et al., "A fast direct Fourier-based
    algorithm for subpixel registration of images", IEEE TGRS 39(10), 2001). Opposite corners also
    reveal a change of scale (``align_corners``), which leaves the centre in place.

    A shift that removes less than a quarter of the difference's power does not count as a
    displacement. The result is 0 if the reference has no texture in the corner (standard deviation
    under 4 steps). A shift of a tenth of a pixel softens edges when the result is merged with the
    other frames.
    """
    return max(d for d, share in [*_corners(reference, candidate), (0.0, 1.0)] if share > _MOVED)


def shift_explains(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the share of a corner's difference that shifting back removes, 0 to 1, in power.

    The corner is the one with the larger displacement.
    """
    return max(_corners(reference, candidate))[1]


def orientation(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the candidate's index in :data:`ORIENTATIONS` of the reference; 0 is upright.

    Thumbnails are correlated. Another orientation counts only if its correlation is high (0.8) and
    clearly higher (by 0.05), so that symmetric pictures are upright.
    """
    x, y = (_square(p) for p in (reference, candidate))
    views = [np.rot90(v, turns) for v in (x, x[:, ::-1]) for turns in range(4)]
    scores = [_correlation(view, y) for view in views]
    best = int(np.argmax(scores))
    return float(best) if scores[best] > max(0.8, scores[0] + 0.05) else 0.0


def channel_order(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the candidate's index in :data:`CHANNEL_ORDERS` of the reference; 0 is RGB, 5 is BGR.

    The mean absolute difference over :func:`~.tones.sampled` pixels decides. Another order counts
    only if it halves the difference and reduces it by a step, so that grey pictures are in order.
    """
    x, y = (sampled(p) for p in (reference, candidate))
    errors = [float(np.abs(x[..., order] - y).mean()) for order in CHANNEL_ORDERS]
    best = int(np.argmin(errors))
    clear = errors[best] < errors[0] / 2 and errors[0] - errors[best] > 1 / CODE_STEPS
    return float(best) if clear else 0.0


def border_excess(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the RMS error within 4 pixels of the border minus that inside, in 8-bit steps.

    It reveals another kind of padding, or a border that was not computed.
    """
    error = candidate - reference
    square = np.einsum("hwc,hwc->hw", error, error) / error.shape[2]
    inside = square[RING:-RING, RING:-RING]
    if not inside.size:
        return 0.0
    around = (square.sum(dtype=np.float64) - inside.sum(dtype=np.float64)) / (
        square.size - inside.size
    )
    return float(np.sqrt(max(around, 0.0)) - np.sqrt(inside.mean(dtype=np.float64))) * CODE_STEPS


def _corners(reference: np.ndarray, candidate: np.ndarray) -> list[tuple[float, float]]:
    height, width = (
        min(side, max(_SMALLEST, min(_LARGEST, side * 3 // 8))) for side in reference.shape[:2]
    )
    first = (slice(None, height), slice(None, width))
    last = (slice(-height, None), slice(-width, None))
    corners = [first] if reference.shape[:2] == (height, width) else [first, last]
    return [_displacement(luma(reference[c]), luma(candidate[c])) for c in corners]


def _displacement(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the distance in pixels and the share of the difference's power that it explains."""
    window = np.outer(*(np.hanning(side).astype(np.float32) for side in x.shape))
    x, y = ((p - np.average(p, weights=window)) * window for p in (x, y))
    if float(np.sqrt((x**2).sum() / (window**2).sum())) < _TEXTURE:
        return 0.0, 0.0
    fx, fy = np.fft.rfft2(x), np.fft.rfft2(y)
    cross = fy * np.conj(fx)
    magnitude = np.abs(cross)
    # The spectrum is half whitened. With full whitening, the noise of frequencies that the picture
    # lacks would dominate.
    peaks = np.fft.irfft2(cross / np.sqrt(np.maximum(magnitude, 1e-12)), x.shape)
    best = divmod(int(np.argmax(peaks)), peaks.shape[1])
    # A shift by a period leaves a periodic picture unchanged, so no shift is preferred.
    whole = (0, 0) if peaks[0, 0] >= 0.95 * peaks[best] else best
    dy, dx = (int((p + n // 2) % n - n // 2) for p, n in zip(whole, x.shape, strict=True))
    v, u = np.fft.fftfreq(x.shape[0])[:, None], np.fft.rfftfreq(x.shape[1])[None, :]
    phase = np.angle(cross * np.exp(2j * np.pi * (u * dx + v * dy)))
    weight = magnitude * ((np.abs(u) < _HIGHEST) & (np.abs(v) < _HIGHEST))
    axes = [np.broadcast_to(-2 * np.pi * f, phase.shape) for f in (v, u)]
    normal = np.array([[float((weight * a * b).sum()) for b in axes] for a in axes])
    # A picture that varies only along one axis does not determine its position along the other.
    normal += np.eye(2) * (1e-3 * np.trace(normal) + 1e-12)
    fraction = np.linalg.solve(normal, [float((weight * a * phase).sum()) for a in axes])
    dy, dx = dy + fraction[0], dx + fraction[1]
    left = np.square(np.abs(fy - fx * np.exp(-2j * np.pi * (u * dx + v * dy)))).sum()
    power = np.square(np.abs(fy - fx)).sum()
    return float(np.hypot(dy, dx)), float(1 - left / power) if power > 0 else 0.0


def _square(picture: np.ndarray) -> np.ndarray:
    height, width = (max(1, side // _THUMBNAIL) for side in picture.shape[:2])
    rows, columns = picture.shape[0] // height * height, picture.shape[1] // width * width
    cells = picture[:rows, :columns].reshape(rows // height, height, columns // width, width, -1)
    small = cells.mean(axis=(1, 3))
    index = [np.linspace(0, n - 1, _THUMBNAIL).round().astype(int) for n in small.shape[:2]]
    result: np.ndarray = small[np.ix_(*index)]
    return result


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(axis=(0, 1)), y - y.mean(axis=(0, 1))
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / scale if scale > 1e-9 else 0.0
