"""Tonal faults: brightness, contrast, clipping, values out of range, banding.

Pictures are HxWxC float32, sRGB-encoded, [0,1], not rounded. A step is 1/255, an 8-bit code.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CODE_STEPS = 255.0
"""8-bit steps in the range of a picture."""

SMOOTH = 3 / CODE_STEPS
"""Difference of neighbours up to which a picture counts as smooth."""

_LUMA_709 = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of red, green and blue in BT.709 luma."""

_LEVELS = 4 * 255
"""Quarter steps in the range of a picture, for the staircase of :func:`banding`."""

_WINDOW = 6 * 4
"""Quarter steps on each side through which the staircase's straight line is fitted."""

_FEWEST_PIXELS, _FEWEST_LEVELS, _FEWEST_SMOOTH = 8, 32, 2000
"""Least pixels per level, least levels, and least smooth pixels for :func:`banding`."""

_OCCUPIED = 0.05
"""Share of the neighbours' mean count from which a code counts as used."""

_COARSEST = 16 / CODE_STEPS
"""Largest error of a pixel that :func:`banding` looks at."""

_LITTLE_CONTRAST, _LITTLE_COLOR = 16 / CODE_STEPS, 8 / CODE_STEPS
"""Standard deviations of the ridges of :func:`contrast_change` and :func:`color_cast`."""

_SAMPLES = 256 * 256
"""Number of pixels that :func:`sampled` keeps at most, roughly."""

_Floats = npt.NDArray[np.float64]


def sampled(picture: np.ndarray) -> np.ndarray:
    """Return a regular grid of at most about 256x256 pixels of a picture, for distributions.

    The grid's step is odd, so that the grid meets every phase of a pixel shuffle or of a stride.
    """
    step = int((picture.shape[0] * picture.shape[1] / _SAMPLES) ** 0.5)
    step += step > 1 and step % 2 == 0
    return picture[:: max(1, step), :: max(1, step)]


def luma(picture: np.ndarray) -> np.ndarray:
    """Return the BT.709 luma of the encoded values, HxW; one channel is returned unchanged."""
    result: np.ndarray = picture @ _LUMA_709 if picture.shape[2] == 3 else picture[..., 0]
    return result


def luminance_shift(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the candidate's mean luma minus the reference's, in 8-bit steps, signed.

    Noise averages out, so the metric resolves a systematic error of a fraction of a step. 2.5 steps
    are one unit of L*, which is about visible side by side.
    """
    difference = (candidate - reference).reshape(-1, reference.shape[2])
    mean = np.full(len(difference), 1 / len(difference), np.float32) @ difference
    return float(luma(mean[None, None])[0, 0]) * CODE_STEPS


def contrast_change(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the slope of the candidate's luma over the reference's minus one, in percent, signed.

    The slope is fitted by least squares with an offset, on the pixels of :func:`sampled`. It
    reveals a gain, a narrowed range (16-235 gives -14) or a second normalisation, whatever the
    noise.

    A ridge with a standard deviation of 16 steps draws the slope to one, because a change of little
    contrast is invisible. In a picture with 16 steps of contrast half of the change counts.
    """
    x, y = (luma(sampled(p)).astype(np.float64) for p in (reference, candidate))
    x -= x.mean()
    return 100 * float((x * (y - y.mean() - x)).mean() / ((x * x).mean() + _LITTLE_CONTRAST**2))


def clipped_change(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the percentage of pixels that are clipped and clearly were not in the reference.

    A pixel is clipped when a channel shows as code 0 or 255. It is clearly not clipped when it is
    two codes away from that, so that rounding noise at the border does not count. No later edit can
    restore lost highlights and shadows. The pixels are those of :func:`sampled`.
    """
    x, y = (sampled(p) for p in (reference, candidate))
    changed = (y <= 0.5 / CODE_STEPS) & (x > 2.5 / CODE_STEPS)
    changed |= (y >= 1 - 0.5 / CODE_STEPS) & (x < 1 - 2.5 / CODE_STEPS)
    return 100 * float(changed.any(axis=2).mean())


def color_cast(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the distance from grey of the colour matrix that explains the candidate, in percent.

    The 3x3 matrix with offset maps the reference's RGB to the candidate's. It is fitted by least
    squares on the pixels of :func:`sampled`. A ridge with a standard deviation of 8 steps draws it
    to the identity: a few percent of little colour are a fraction of a step.

    The result is the largest of three numbers: an element off the diagonal, the difference of a
    diagonal element from their mean, and the difference of a channel's offset from the mean offset.
    A common gain and offset of all channels gives 0, BT.601 for BT.709 about 10, a white balance
    that is off by 3 % gives 3.
    """
    x, y = (sampled(p).reshape(-1, 3).astype(np.float64) for p in (reference, candidate))
    mean = x.mean(axis=0)
    shift = y.mean(axis=0) - mean
    x -= mean
    change = y - mean - shift - x
    moments = x.T @ x / len(x) + np.eye(3) * _LITTLE_COLOR**2
    matrix = np.linalg.solve(moments, x.T @ change / len(x))
    gain = np.trace(matrix) / 3
    matrix -= np.eye(3) * gain
    shift -= gain * mean
    return 100 * max(float(np.abs(matrix).max()), float(np.abs(shift - shift.mean()).max()))


def overshoot(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return how far values leave [0,1] (or the reference's wider range) at most, in 8-bit steps.

    It reveals a missing clamp. Later stages turn such values into black or a false colour.

    A reference that leaves [0,1] has no clamp that could be missing. Rounding moves its extremes,
    so that the candidate may leave [0,1] twice as far.
    """
    low, high = min(0.0, 2 * float(reference.min())), max(1.0, 2 * float(reference.max()) - 1)
    return max(0.0, low - float(candidate.min()), float(candidate.max()) - high) * CODE_STEPS


def banding(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the RMS of steps of tone that the reference does not have, in 8-bit steps.

    Only smooth parts of the reference count: neighbours within 3 steps, on :func:`sampled` pixels.
    The candidate has to be within 16 steps there, which is more than the error of four bits. Two
    signs are measured in each channel, and the larger one counts.

    *Staircase*: the mean error per quarter step of the reference's value. Any quantisation of tones
    makes it a sawtooth. A straight line through the levels within 6 steps is subtracted, and so is
    the power of the remaining noise.

    *Gaps*: ``sqrt((g^2 - 1) / 12)`` where the candidate skips codes that the reference uses and
    leaves a distance of ``g`` codes.

    A picture of 6 bits has 1.1, of 7 bits 0.5, of 8 bits 0; noise alone has 0. The result is 0 if
    the smooth parts have too few levels (32) or pixels.
    """
    x, y = sampled(reference), sampled(candidate)
    smooth = _smooth(x) & (np.abs(y - x) <= _COARSEST).all(axis=2)
    values, shown = x[smooth].T, y[smooth].T
    return max(
        (max(_staircase(v, s), _gaps(v, s)) for v, s in zip(values, shown, strict=True)),
        default=0.0,
    )


def _smooth(picture: np.ndarray) -> np.ndarray:
    smooth = np.ones(picture.shape[:2], bool)
    for axis in (0, 1):
        calm = (np.abs(np.diff(picture, axis=axis)) <= SMOOTH).all(axis=2)
        index = (slice(None),) * axis
        smooth[(*index, slice(1, None))] &= calm
        smooth[(*index, slice(None, -1))] &= calm
    return smooth


def _staircase(values: np.ndarray, shown: np.ndarray) -> float:
    levels = np.rint(np.clip(values, 0, 1) * _LEVELS).astype(np.int64)
    errors = (shown - values).astype(np.float64) * CODE_STEPS
    count = np.bincount(levels, minlength=_LEVELS + 1).astype(np.float64)
    known = count >= _FEWEST_PIXELS
    if known.sum() < _FEWEST_LEVELS:
        return 0.0
    mean, square = (
        np.divide(np.bincount(levels, e, _LEVELS + 1), count, out=np.zeros_like(count), where=known)
        for e in (errors, errors**2)
    )
    noise = np.divide(square - mean**2, count, out=np.zeros_like(count), where=known)
    weight = np.where(known, np.minimum(count, 100), 0)  # a blown sky must not outweigh the rest
    left = mean - _local_line(weight, mean)
    power = float((weight * (left**2 - noise)).sum() / weight.sum())
    return float(np.sqrt(max(0.0, power)))


def _gaps(values: np.ndarray, shown: np.ndarray) -> float:
    expected, _ = _used(values)
    used, count = _used(shown)
    levels = np.flatnonzero(used)
    if len(values) < _FEWEST_SMOOTH or expected.sum() < _FEWEST_LEVELS or len(levels) < 3:
        return 0.0
    # A code that neither picture uses is not a gap of the candidate.
    position = np.cumsum(expected | used)[levels]
    weight = count[levels[1:]]
    power = float((weight * (np.diff(position) ** 2 - 1)).sum() / weight.sum() / 12)
    return float(np.sqrt(power))


def _used(values: np.ndarray) -> tuple[npt.NDArray[np.bool_], _Floats]:
    """Return which codes, without black and white, a picture uses, and how often."""
    count = np.bincount(np.rint(np.clip(values, 0, 1) * CODE_STEPS).astype(np.int64), minlength=256)
    inner = count[1:-1].astype(np.float64)
    around = _box(inner, 6) / _box(np.ones_like(inner), 6)
    return (inner > _OCCUPIED * around) & (around >= _FEWEST_PIXELS), inner


def _local_line(weight: _Floats, mean: _Floats) -> _Floats:
    """Return the value at each level of a weighted least-squares line over the levels around it."""
    x = np.arange(len(mean), dtype=np.float64) - len(mean) / 2
    w, wx, wxx, wy, wxy = (
        _box(weight * term, _WINDOW) for term in (np.ones_like(x), x, x * x, mean, x * mean)
    )
    safe = np.maximum(w, 1e-12)
    middle, height = wx / safe, wy / safe
    spread = wxx / safe - middle**2
    slope = np.divide(
        wxy / safe - middle * height, spread, out=np.zeros_like(x), where=spread > 1e-6
    )
    return np.asarray(height + slope * (x - middle))


def _box(values: _Floats, radius: int) -> _Floats:
    """Return sums over the neighbours within ``radius``."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    stop = np.minimum(index + radius + 1, len(values))
    return np.asarray(total[stop] - total[np.maximum(index - radius, 0)])
