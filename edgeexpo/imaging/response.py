"""Camera response functions (CRF), which turn scene radiance into pixel codes.

A response is held as a *table*, the inverse response of each code and channel, (256, 3) float64.
The table increases strictly from 0 at code 0 to 1 at code 255: ``table[code] = Finv(code / 255)``.
Its values are linear radiance relative to the radiance that just saturates.

Realistic responses come from the empirical model (EMoR) of M. D. Grossberg and S. K. Nayar,
"Modeling the space of camera response functions", IEEE TPAMI 26(10), 2004. The model is a mean
curve plus a few basis curves. This module contains our own fit of these curves:
``sqrt(E) * (1 - sqrt(E))`` times a Chebyshev series of degree 7 in ``2 sqrt(E) - 1``, added to
``sqrt(E)`` for the mean. The largest error against the published curves is 0.0006 for the mean and
0.0001, 0.0016, 0.0019 for the basis. The basis curves are unit vectors over 1024 samples, so that
their root mean square is 0.031 each.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import UsageError
from edgeexpo.imaging.mapping import CODES, codes, matched_codes
from edgeexpo.imaging.raster import Raster
from edgeexpo.imaging.scratch import interp, scope, scratch_array

ResponseTable = npt.NDArray[np.float64]
"""A table of an inverse response, (256, 3) float64, or another float64 array of the fit."""

COEFFICIENT_STD = np.array([2.0, 0.7, 0.3, 0.15])
"""Standard deviation of each basis coefficient, by our choice.

Gammas from 1.2 to 3, projected on the basis, spread by 2.1, 0.5, 0.23 and 0.14. Our values are
wider where responses that are not gammas differ most."""

_STEP = 1e-3
_IDENTITY = np.eye(5)

_SAMPLES = 1024
_MEAN = (-0.1004, 0.5770, -0.1660, 0.0098, -0.0037, 0.0253, -0.0169, 0.0055)
_BASIS = (
    (-0.1347, -0.0698, 0.0326, -0.0002, -0.0092, 0.0023, 0.0022, -0.0019),
    (-0.0612, 0.3134, 0.0311, -0.0827, -0.0013, 0.0245, -0.0177, 0.0007),
    (-0.2768, 0.0934, -0.2862, -0.0699, 0.1223, -0.0051, -0.0402, 0.0387),
    (0.0065, 0.4693, 0.1512, 0.0347, 0.3008, -0.2771, 0.1536, 0.0107),
)


def srgb() -> ResponseTable:
    """Return the (256, 3) table of a camera whose response is the sRGB encoding."""
    from edgeexpo.imaging.color import srgb_to_linear

    return _three(np.asarray(srgb_to_linear(codes()), np.float64))


def gamma(exponent: float) -> ResponseTable:
    """Return the (256, 3) table of the response ``F(E) = E ** (1 / exponent)``.

    Raises:
        UsageError: ``exponent`` is not positive.
    """
    if not exponent > 0:
        raise UsageError(f"gamma is {exponent}; expected a positive number such as 2.2")
    return _three(codes() ** exponent)


def emor(coefficients: npt.ArrayLike) -> ResponseTable:
    """Return the (256, 3) table of the empirical model's response with these basis coefficients.

    Args:
        coefficients: Up to four numbers. ``()`` or zeros give the mean response.

    Raises:
        UsageError: The response does not increase strictly, or there are more than four
            coefficients.
    """
    curve = _curve(np.atleast_1d(np.asarray(coefficients, np.float64)))
    if np.min(np.diff(curve)) <= 0:
        raise UsageError(f"EMoR coefficients {coefficients!r} give a response that decreases")
    return _three(_invert(curve))


def random_response(rng: np.random.Generator) -> ResponseTable:
    """Draw the (256, 3) table of a realistic response.

    Coefficients are normal with :data:`COEFFICIENT_STD`. Draws that do not increase are rejected.
    """
    while True:
        curve = _curve(rng.normal(size=len(_BASIS)) * COEFFICIENT_STD)
        if np.min(np.diff(curve)) > 1e-5:
            return _three(_invert(curve))


def checked(table: npt.ArrayLike) -> ResponseTable:
    """Return ``table`` as float64, scaled to 1 at code 255 and strictly increasing.

    Args:
        table: (256, 3) inverse response of each code and channel, linear radiance of any scale.

    Returns:
        (256, 3) float64, from 0 at code 0 to 1 at code 255.

    Raises:
        UsageError: The shape is wrong, a value is not finite, or the values do not rise.
    """
    values = np.asarray(table, np.float64)
    if values.shape != (CODES, 3):
        raise UsageError(f"response table has shape {values.shape}; expected (256, 3)")
    if not np.all(np.isfinite(values)) or not np.all(values[-1] > values[0]):
        raise UsageError("response table does not rise; expected linear radiance by code")
    return _strictly(values)


def render(radiance: npt.NDArray[np.floating], table: ResponseTable) -> npt.NDArray[np.float32]:
    """Apply a response to radiance, clipped at both ends.

    Args:
        radiance: HxWx3, linear. Radiance 1 just saturates.
        table: (256, 3) inverse response.

    Returns:
        HxWx3 float32 in [0, 1], encoded by the response, not quantised.
    """
    out = np.empty(radiance.shape, np.float32)
    for c in range(3):
        out[..., c] = np.interp(radiance[..., c], table[:, c], codes())
    return out


def fit_response(under: Raster, over: Raster, ev: float | None) -> tuple[ResponseTable, float]:
    """Fit the empirical model to two exposures of one scene, from their histograms alone.

    Equal quantiles of the two frames show equal radiance, so no registration is needed.
    Gauss-Newton iterations find the basis coefficients, and the EV when it is unknown. They make
    the quantiles of both frames agree at the exposure half way between the frames. The spread of
    the coefficients serves as the prior.

    Args:
        under: HxWx3 float32 in [0, 1], display-encoded, the shorter exposure.
        over: HxWx3 float32 in [0, 1], of the same encoding, the longer exposure.
        ev: log2 of the exposure ratio, or ``None`` when unknown. When unknown, radiance is
            determined up to a power, which leaves the exposure half way unchanged.

    Returns:
        The (256, 3) table, equal for all channels, and the given or fitted EV.
    """
    codes_under, codes_over, weight = matched_codes(under, over)
    prior = _Prior(ev)
    if codes_under.size == 0:
        return _three(_invert(_curve(np.zeros(4)))), prior.ev(np.zeros(5))
    parameters = _gauss_newton(codes_under, codes_over, weight, prior)
    table = _three(_invert(_curve(_monotone(parameters[:4]))))
    return table, prior.ev(parameters)


def estimate_ev(under: Raster, over: Raster, table: ResponseTable) -> float:
    """Estimate log2 of the exposure ratio of two frames under a known response.

    Only the histograms of the frames are used.

    Args:
        under: HxWx3 float32 in [0, 1], the shorter exposure, encoded by the response.
        over: HxWx3 float32 in [0, 1], the longer exposure, encoded by the response.
        table: (256, 3) inverse response.

    Returns:
        The weighted median over matched codes, clipped to [0.01, 16]. The result is 4.0 when no
        code is well exposed in both frames.
    """
    codes_under, codes_over, weight = matched_codes(under, over)
    if codes_under.size == 0:
        return 4.0
    curve = table.mean(axis=1)
    ratio = np.interp(codes_over, codes(), curve) / np.interp(codes_under, codes(), curve)
    order = np.argsort(ratio)
    middle = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return float(np.clip(np.log2(ratio[order][min(middle, len(order) - 1)]), 0.01, 16))


class _Prior:
    """Prior that keeps the parameters near the model's mean, and an unknown EV near 4."""

    def __init__(self, ev: float | None) -> None:
        self.known = ev

    def ev(self, parameters: ResponseTable) -> float:
        """Return the known EV, or the EV that the fifth parameter stands for."""
        return float(4.0 + 1.5 * parameters[4]) if self.known is None else float(self.known)

    def residuals(self, parameters: ResponseTable) -> ResponseTable:
        """Return the five parameters in units of their standard deviation."""
        return np.append(parameters[:4] / COEFFICIENT_STD, parameters[4])


def _gauss_newton(
    codes_under: ResponseTable,
    codes_over: ResponseTable,
    weight: ResponseTable,
    prior: _Prior,
    steps: int = 12,
) -> ResponseTable:
    value, tried = _doubles(len(weight) + 5), _doubles(len(weight) + 5)
    scale, slopes = _doubles(len(weight)), scratch_array((5, len(value)), np.float64)
    np.multiply(weight, len(weight) / weight.sum(), out=scale)
    np.sqrt(scale, out=scale)
    scale *= CODES - 1

    def residuals(parameters: ResponseTable, out: ResponseTable) -> None:
        with scope():
            curve = _strictly(_curve(parameters[:4]))
            ratio = 2.0 ** (prior.ev(parameters) / 2)
            up, down = (
                interp(codes_under, curve, _radiance()),
                interp(codes_over, curve, _radiance()),
            )
            up *= ratio
            down /= ratio
            np.subtract(
                interp(up, _radiance(), curve), interp(down, _radiance(), curve), out=out[:-5]
            )
        out[:-5] *= scale
        out[-5:] = prior.residuals(parameters)

    parameters = np.zeros(5)
    residuals(parameters, value)
    damping = 1.0
    for _ in range(steps):
        for step, slope in zip(_STEP * _IDENTITY, slopes, strict=True):
            residuals(parameters + step, slope)
        slopes -= value
        slopes /= _STEP
        normal, descent = slopes @ slopes.T, slopes @ value
        for _ in range(6):
            damped = normal + (damping * normal + 1e-9) * _IDENTITY
            trial = parameters - np.linalg.solve(damped, descent)
            residuals(trial, tried)
            if tried @ tried < value @ value:
                parameters, value, tried, damping = trial, tried, value, damping / 10
                break
            damping *= 5
        else:
            break
    return parameters


def _monotone(coefficients: ResponseTable) -> ResponseTable:
    """Pull coefficients towards the mean response until their response rises everywhere."""
    for _ in range(40):
        if _rises(_curve(coefficients)):
            return coefficients
        coefficients = coefficients * 0.9
    return np.zeros_like(coefficients)


def _curve(coefficients: ResponseTable) -> ResponseTable:
    """Return the forward response at radiance ``t**2`` for t uniform in [0, 1]."""
    if len(coefficients) > len(_BASIS):
        raise UsageError(f"{len(coefficients)} EMoR coefficients; expected at most {len(_BASIS)}")
    mean, basis = _shapes()
    curve = _doubles(_SAMPLES)
    np.matmul(coefficients, basis[: len(coefficients)], out=curve)
    curve += mean
    return curve


@functools.cache
def _shapes() -> tuple[ResponseTable, ResponseTable]:
    t = np.linspace(0.0, 1.0, _SAMPLES)
    series = np.polynomial.chebyshev.chebvander(2 * t - 1, 7) * (t * (1 - t))[:, None]
    return t + series @ np.array(_MEAN), np.array(_BASIS) @ series.T


@functools.cache
def _radiance() -> ResponseTable:
    return np.asarray(np.linspace(0.0, 1.0, _SAMPLES) ** 2)


@functools.cache
def _ramp(length: int) -> ResponseTable:
    return np.linspace(0.0, 1e-6, length)


def _rises(curve: ResponseTable) -> bool:
    with scope():
        step = np.subtract(curve[1:], curve[:-1], out=_doubles(len(curve) - 1))
        return bool(step.min() > 0)


def _invert(curve: ResponseTable) -> ResponseTable:
    return interp(codes(), curve, _radiance())


def _three(inverse: ResponseTable) -> ResponseTable:
    table = scratch_array((CODES, 3), np.float64)
    table[...] = inverse[:, None]
    return checked(table)


def _strictly(values: ResponseTable) -> ResponseTable:
    rising = scratch_array(values.shape, np.float64)
    np.maximum.accumulate(values, axis=0, out=rising)
    lowest = rising[0].copy()
    span = rising[-1] - lowest
    rising -= lowest
    rising /= span
    ramp = _ramp(len(rising))
    rising += ramp[:, None] if rising.ndim == 2 else ramp
    rising /= 1 + 1e-6
    return rising


def _doubles(length: int) -> ResponseTable:
    return scratch_array((length,), np.float64)
