"""The share of the error that a metric's kind of fault explains.

It tells whether a metric names the fault or only fails along with it. A blurred picture also has
less contrast, but a change of contrast does not explain it. Pictures are HxWxC float32,
sRGB-encoded, [0,1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from edgeexpo.parity.metrics.geometry import RING, shift_explains
from edgeexpo.parity.metrics.tones import CODE_STEPS, banding, sampled

NAMES_IT = 0.4
"""Share of the error's power from which a metric names the fault.

INT8 adds about as much power by rounding.
"""

_CLEARLY = 0.2
"""Share of the error's power by which a colour matrix has to explain more than a tone curve."""

_Floats = npt.NDArray[np.float64]


def explained(metric: str, reference: np.ndarray, candidate: np.ndarray, value: float) -> float:
    """Return the share of the error's power, 0 to 1, that a fault of this kind explains.

    The share is 1 for metrics that no other fault moves (``orientation``), and for metrics of the
    error as a whole.

    Args:
        metric: One of :data:`edgeexpo.parity.metrics.pictures.ALL`.
        reference: HxWxC float32.
        candidate: The same shape; finite.
        value: The metric's value for this pair.
    """
    if metric == "flicker":
        return _of_power(value, reference, candidate)
    share = _SHARES.get(metric)
    return 1.0 if share is None else share(reference, candidate)


def _of_power(steps: float, reference: np.ndarray, candidate: np.ndarray) -> float:
    power = float(np.mean(np.square(candidate - reference), dtype=np.float64))
    return min(1.0, (steps / CODE_STEPS) ** 2 / power) if power > 0 else 0.0


def _shift(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the share of a displacement if it explains more than a tone curve does.

    On a ramp both explain the error.
    """
    share = shift_explains(reference, candidate)
    return share if share > _tone(reference, candidate) else 0.0


def _banding(reference: np.ndarray, candidate: np.ndarray) -> float:
    # The share is doubled, because rounding noise of INT8 is as strong as the banding of seven
    # bits.
    return 2 * _of_power(banding(reference, candidate), reference, candidate)


def _border(reference: np.ndarray, candidate: np.ndarray) -> float:
    square = np.square(candidate - reference)
    total = float(square.sum(dtype=np.float64))
    inside = float(square[RING:-RING, RING:-RING].sum(dtype=np.float64))
    return 1 - inside / total if total > 0 else 0.0


def _clipping(reference: np.ndarray, candidate: np.ndarray) -> float:
    x, y = sampled(reference), sampled(candidate)
    square = np.square(y - x)
    clipped = (y <= 0.5 / CODE_STEPS) | (y >= 1 - 0.5 / CODE_STEPS)
    total = float(square.sum(dtype=np.float64))
    return float(square[clipped].sum(dtype=np.float64)) / total if total > 0 else 0.0


def _tone(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the share that one cubic curve for all channels explains."""
    x, error = _flat(reference, candidate)
    values = x.reshape(-1)
    return _fitted(np.stack([values**n for n in range(4)], axis=1), error.reshape(-1, 1))


def _cast(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the share of a colour matrix with offsets, if it clearly exceeds a tone curve's."""
    x, error = _flat(reference, candidate)
    share = _fitted(np.concatenate([x, np.ones_like(x[:, :1])], axis=1), error)
    return share if share > _tone(reference, candidate) + _CLEARLY else 0.0


def _flat(reference: np.ndarray, candidate: np.ndarray) -> tuple[_Floats, _Floats]:
    x, y = (sampled(p).reshape(-1, p.shape[2]).astype(np.float64) for p in (reference, candidate))
    return x, y - x


def _fitted(terms: _Floats, error: _Floats) -> float:
    power = float(np.square(error).sum())
    if power <= 0:
        return 0.0
    ridge = 1e-9 * len(terms) * np.eye(terms.shape[1])
    weights = np.linalg.solve(terms.T @ terms + ridge, terms.T @ error)
    return 1 - float(np.square(error - terms @ weights).sum()) / power


_SHARES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = MappingProxyType(
    {
        "pixel_shift": _shift,
        "banding": _banding,
        "border_excess": _border,
        "clipped_change": _clipping,
        "color_cast": _cast,
        "contrast_change": _tone,
        "luminance_shift": _tone,
    }
)
"""Functions that compute the share, by metric; other metrics have the share 1."""
