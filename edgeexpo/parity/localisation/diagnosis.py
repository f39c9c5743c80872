"""Describe a layer's error in words, from its value and the program's value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgeexpo.parity.localisation.trace import Grid, rms

HALF_MAX = 65504.0
"""Largest finite fp16 number."""

EXACT_SHARE = 0.02
"""Share of the error that may remain after an explanation is taken out."""

ALIKE = 0.98
"""Correlation from which two channels count as equal."""

ONE_PIXEL_SHIFTS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
"""Shifts by one pixel as (rows, columns), in all eight directions."""


@dataclass(frozen=True)
class Evidence:
    """A faulty layer's value and the program's value.

    Attributes:
        found: The artefact's value, NCHW float32.
        expected: The program's result for the artefact's own inputs of the layer, NCHW float32.
        allowed: RMS error per channel that the layer may have.
        stored: Quantisation grid of the artefact's value; ``None`` in float.
        grid: Quantisation grid of the program's value; ``None`` in float.
        bias: The layer's bias in the program, one number per channel; ``None`` without a bias.
    """

    found: np.ndarray = field(repr=False)
    expected: np.ndarray = field(repr=False)
    allowed: np.ndarray
    stored: Grid | None = None
    grid: Grid | None = None
    bias: np.ndarray | None = None


def diagnose(evidence: Evidence) -> str:
    """Return the first explanation that holds, in one clause.

    Without an explanation the clause states the correlation of the values.
    """
    for explain in EXPLANATIONS:
        words = explain(evidence)
        if words:
            return words
    return "the values differ" + _correlation(evidence)


def _not_finite(e: Evidence) -> str | None:
    bad = ~np.isfinite(e.found)
    if not bad.any():
        return None
    count = f"{int(bad.sum())} of {bad.size} values"
    largest = float(np.abs(e.expected[bad]).max(initial=0))
    if np.isnan(e.found).any():
        return f"not a number in {count}"
    if largest > HALF_MAX:
        return f"fp16 overflow: infinite in {count}; the program reaches {largest:.4g}, fp16 65504"
    return f"overflow: infinite in {count}, where the program has at most {largest:.4g}"


def _grid(e: Evidence) -> str | None:
    if e.stored is None or e.grid is None or e.stored.is_like(e.grid):
        return None
    ratio = e.stored.scale / e.grid.scale
    low, high = e.stored.limits
    wanted_low, wanted_high = e.grid.limits
    ranges = (
        f"stored range {low:.4g}..{high:.4g}, the program's {wanted_low:.4g}..{wanted_high:.4g}"
    )
    steps = round((low - wanted_low) / e.grid.scale)
    if abs(ratio - 1) < 2e-3:
        return f"the zero point is off by {abs(steps)} steps ({ranges})"
    shifted = abs(low - ratio * wanted_low) > 0.5 * e.stored.scale
    also = " and the zero point" if shifted else ""
    return f"the scale{also} is off by a factor of {ratio:.4g} ({ranges})"


def _constant(e: Evidence) -> str | None:
    if float(np.ptp(e.found)) == 0 and float(np.ptp(e.expected)) > 0:
        return f"every value is {float(e.found.flat[0]):.4g}"
    return None


def _layout(e: Evidence) -> str | None:
    if e.found.ndim != 4 or min(e.found.shape[2:]) < 2:
        return None
    turned = {
        "rows are mirrored": e.expected[:, :, ::-1],
        "columns are mirrored": e.expected[:, :, :, ::-1],
        "rows and columns are transposed": e.expected.swapaxes(2, 3),
        "NHWC data is read as NCHW": e.expected.transpose(0, 2, 3, 1).reshape(e.found.shape),
        "NCHW data is read as NHWC": _from_nhwc(e.expected),
    }
    for words, value in turned.items():
        if value.shape == e.found.shape and _explained(e, value):
            return f"layout: {words}"
    return None


def _channels(e: Evidence) -> str | None:
    """Explain channels in another order, if each is equal to exactly one of the program's."""
    if e.found.ndim != 4 or e.found.shape[1] < 2 or e.found[0, 0].size < 4:
        return None
    found, expected = (_normal(v) for v in (e.found, e.expected))
    alike = found @ expected.T
    source = alike.argmax(axis=1)
    moved = [c for c, s in enumerate(source) if s != c and alike[c, s] > ALIKE > alike[c, c]]
    if len(moved) < 2 or sorted(source[moved]) != moved:
        return None
    if len(moved) == 2:
        return f"channels {moved[0]} and {moved[1]} are swapped"
    return f"{len(moved)} channels are in another order"


def _border(e: Evidence) -> str | None:
    if e.found.ndim != 4 or min(e.found.shape[2:]) < 8:
        return None
    error = np.abs(e.found - e.expected)
    for width in (1, 2, 4):
        inner = error[:, :, width:-width, width:-width]
        if inner.size and rms(inner) <= EXACT_SHARE * rms(error):
            return f"padding: only the outer {width} pixel{'s' * (width > 1)} differ"
    return None


def _shift(e: Evidence) -> str | None:
    if e.found.ndim != 4 or min(e.found.shape[2:]) < 8:
        return None
    for y, x in ONE_PIXEL_SHIFTS:
        moved = np.roll(e.expected, (y, x), axis=(2, 3))
        for value, words in ((moved, "a pixel"), ((moved + e.expected) / 2, "half a pixel")):
            if _explained(e, value, inner=2):
                return f"shifted by {words} ({_direction(y, x)})"
    return None


def _few_channels(e: Evidence) -> str | None:
    if e.found.ndim != 4 or e.found.shape[1] < 2:
        return None
    error = np.sqrt(np.mean(np.square(e.found - e.expected), axis=(0, 2, 3)))
    bad = np.flatnonzero(error > e.allowed)
    if not 0 < len(bad) <= max(1, e.found.shape[1] // 4):
        return None
    names = ", ".join(map(str, bad[:4]))
    which = f"output channel{'s' * (len(bad) > 1)} {names} alone"
    gains = [_line(e.found[:, c], e.expected[:, c]) for c in bad]
    if all(left < EXACT_SHARE and abs(gain - 1) < EXACT_SHARE for gain, _, left in gains):
        return f"{which}: the bias differs by {gains[0][1]:.3g}"
    if all(left < EXACT_SHARE for _, _, left in gains):
        return f"{which}: the weights' scale is off by a factor of {gains[0][0]:.4g}"
    return f"{which}: the weights differ"


def _activation(e: Evidence) -> str | None:
    low, high = float(e.expected.min()), float(e.expected.max())
    if _explained(e, None, clipped=(low, high)):
        found = f"{float(e.found.min()):.4g}..{float(e.found.max()):.4g}"
        return f"the activation is missing: values {found}, the program clips at {low:.4g}"
    low, high = float(e.found.min()), float(e.found.max())
    if _explained(e, np.clip(e.expected, low, high)):
        share = float(np.mean((e.expected < low) | (e.expected > high)))
        return f"saturation: {share:.1%} of the values stand at the limits {low:.4g}..{high:.4g}"
    return None


def _bias(e: Evidence) -> str | None:
    if e.bias is None or e.found.ndim != 4 or len(e.bias) != e.found.shape[1]:
        return None
    shape = (1, -1, 1, 1)
    inside = _active(e.found, e.expected)
    if not inside.any():
        return None
    without = e.expected - e.bias.reshape(shape)
    error = (e.found - e.expected)[inside]
    if rms((e.found - without)[inside]) < 10 * EXACT_SHARE * rms(error):
        return "the bias is missing"
    return None


def _offset_or_gain(e: Evidence) -> str | None:
    gain, offset, left = _line(e.found, e.expected)
    if left > EXACT_SHARE:
        return None
    spread = float(e.expected.std()) or 1.0
    if abs(gain - 1) * spread < 0.1 * abs(offset):
        steps = f" ({offset / e.grid.scale:.3g} steps)" if e.grid is not None else ""
        return f"a constant of {offset:.4g}{steps} is added, as by a wrong zero point"
    if abs(offset) < 0.1 * abs(gain - 1) * spread:
        return f"the scale is off by a factor of {gain:.4g}"
    return f"value = {gain:.4g} x the program's {offset:+.4g}"


def _per_channel(e: Evidence) -> str | None:
    if e.found.ndim != 4 or e.found.shape[1] < 2:
        return None
    lines = [_line(e.found[:, c], e.expected[:, c]) for c in range(e.found.shape[1])]
    if np.median([left for _, _, left in lines]) > EXACT_SHARE:
        return None
    gains = np.array([gain for gain, _, _ in lines])
    if np.abs(gains - 1).max() < EXACT_SHARE:
        return "another constant is added to every channel, as by another bias"
    if float(np.ptp(gains)) < EXACT_SHARE:
        return f"the weights are off by a factor of {np.median(gains):.4g}, the bias is not"
    return f"every channel has a scale of its own, {gains.min():.3g}..{gains.max():.3g} times right"


Explanation = Callable[[Evidence], str | None]
"""Function that returns the error in words, or ``None`` if its explanation does not hold."""

EXPLANATIONS: tuple[Explanation, ...] = (
    _not_finite,
    _grid,
    _constant,
    _layout,
    _channels,
    _few_channels,
    _bias,
    _offset_or_gain,
    _activation,
    _border,
    _shift,
    _per_channel,
)
"""Explanations in the order of trial; the most certain explanations come first."""


def _explained(
    e: Evidence,
    value: np.ndarray | None,
    inner: int = 0,
    clipped: tuple[float, float] | None = None,
) -> bool:
    """Return true when ``value`` (or clipping ``found``) leaves almost nothing of the error."""
    found, expected, wanted = e.found, e.expected, e.expected
    if clipped is not None:
        found = np.clip(found, *clipped)
    elif value is not None:
        wanted = value
    if inner:
        cut = (slice(None), slice(None), slice(inner, -inner), slice(inner, -inner))
        found, wanted = found[cut], wanted[cut]
    return rms(found - wanted) <= EXACT_SHARE * rms(e.found - expected)


def _line(found: np.ndarray, expected: np.ndarray) -> tuple[float, float, float]:
    """Return gain and offset of ``found = gain * expected + offset``, and the remaining error.

    The error is relative to the error before. Values at an activation's or a type's limits are left
    out.
    """
    inside = _active(found, expected)
    x, y = expected[inside].astype(np.float64), found[inside].astype(np.float64)
    error = rms(y - x)
    if len(x) < 8 or error == 0:
        return 1.0, 0.0, 1.0
    spread = x.std()
    gain = float(((x - x.mean()) * (y - y.mean())).mean() / spread**2) if spread else 1.0
    offset = float(y.mean() - gain * x.mean())
    return gain, offset, rms(y - gain * x - offset) / error


def _active(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    low = max(float(found.min()), float(expected.min()))
    high = min(float(found.max()), float(expected.max()))
    edge = 1e-6 * (high - low)
    inside: np.ndarray = np.ones(found.shape, bool)
    for value in (found, expected):
        inside &= (value > low + edge) & (value < high - edge)
    return inside


def _normal(value: np.ndarray) -> np.ndarray:
    rows = value[0].reshape(value.shape[1], -1).astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    normal: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return normal


def _from_nhwc(value: np.ndarray) -> np.ndarray:
    n, c, h, w = value.shape
    return value.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def _direction(y: int, x: int) -> str:
    down = {-1: "up", 1: "down"}.get(y, "")
    right = {-1: "left", 1: "right"}.get(x, "")
    return " and ".join(word for word in (down, right) if word)


def _correlation(e: Evidence) -> str:
    x, y = e.expected.astype(np.float64).ravel(), e.found.astype(np.float64).ravel()
    spread = x.std() * y.std()
    if not spread:
        return ""
    return f" (correlation {float(((x - x.mean()) * (y - y.mean())).mean() / spread):.3f})"
