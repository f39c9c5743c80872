"""The camera's settings of a shot as EXIF data tell them, and exposures compared by them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_EXPOSURE_TIME, _SHUTTER_VALUE = 33434, 37377
_F_NUMBER, _APERTURE_VALUE = 33437, 37378
_SENSITIVITIES = (34855, 34866, 34867, 34865)
"""Tags of the sensitivity, the usual one first."""

_LARGEST_SENSITIVITY = 65535
"""Value of the first tag that refers to the other ones, because it holds 16 bits only."""

_BIAS = 37380
_TIMES = ((36867, 37521), (36868, 37522), (306, 37520))
"""Tags of a time and of its fraction of a second: of the exposure, of its digital form, any."""


@dataclass(frozen=True)
class Settings:
    """Settings of one shot. Each of them is ``None`` when the EXIF data do not tell it.

    A lens without electronic contacts leaves the f-number out, or gives 0.

    Attributes:
        time: Exposure time, in seconds.
        aperture: f-number.
        iso: ISO sensitivity.
        bias: Exposure bias that the camera was set to, in EV.
    """

    time: float | None = None
    aperture: float | None = None
    iso: float | None = None
    bias: float | None = None

    @property
    def exposure(self) -> float | None:
        """Exposure in EV, ``log2(t * ISO / 100 / N^2)``, or ``None`` when a setting is unknown."""
        if self.time is None or self.aperture is None or self.iso is None:
            return None
        return math.log2(self.time * self.iso / 100 / self.aperture**2)


def settings_of(exif: Mapping[int, Any]) -> Settings:
    """Return the settings that EXIF data tell, by the plain tags or else by the APEX values.

    Args:
        exif: Values of the EXIF directory by tag number.
    """
    return Settings(
        _positive(exif.get(_EXPOSURE_TIME)) or _power(exif.get(_SHUTTER_VALUE), -1),
        _positive(exif.get(_F_NUMBER)) or _f_number(exif.get(_APERTURE_VALUE)),
        _sensitivity(exif),
        _number(exif.get(_BIAS)),
    )


def exposures(shots: Sequence[Settings]) -> list[float] | None:
    """Compare the exposures of shots by the settings that all of them tell.

    A setting that no shot tells counts as the same for all, as the aperture of a lens without
    contacts. Where no shot tells its exposure time, the exposure biases are compared.

    Returns:
        Exposures in EV, larger is brighter, of which only the differences have a meaning. The
        result is ``None`` when the shots cannot be compared.
    """
    times = [shot.time for shot in shots]
    if not any(times):
        biases = [shot.bias for shot in shots]
        return None if None in biases else [bias for bias in biases if bias is not None]
    total = np.zeros(len(shots))
    apertures, sensitivities = [s.aperture for s in shots], [s.iso for s in shots]
    for power, found in ((1, times), (-2, apertures), (1, sensitivities)):
        known = [value for value in found if value is not None]
        if known and len(known) < len(shots):
            return None
        if known:
            total += power * np.log2(known)
    return [float(ev) for ev in total]


def taken(exif: Mapping[int, Any], main: Mapping[int, Any]) -> datetime.datetime | None:
    """Return when a picture was taken: local time, with its fraction of a second where given.

    Args:
        exif: Values of the EXIF directory by tag number.
        main: Values of the file's main directory by tag number.
    """
    for tag, fraction in _TIMES:
        text = _text((main if tag == 306 else exif).get(tag))
        try:
            time = datetime.datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        digits = _text(exif.get(fraction))
        part = float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0
        return time + datetime.timedelta(seconds=part)
    return None


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")


def _number(value: Any) -> float | None:
    try:
        number = float(np.ravel(value)[0])
    except (IndexError, TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _power(value: Any, sign: float) -> float | None:
    """Return 2 to the power of an APEX value, which cameras keep far below 100."""
    number = _number(value)
    return None if number is None or abs(number) > 100 else 2.0 ** (sign * number)


def _f_number(value: Any) -> float | None:
    """Return the f-number of an APEX aperture value. Values up to 0 stand for an unknown one."""
    number = _positive(value)
    return None if number is None else _power(number, 0.5)


def _sensitivity(exif: Mapping[int, Any]) -> float | None:
    usual, *others = (_positive(exif.get(tag)) for tag in _SENSITIVITIES)
    if usual is not None and usual < _LARGEST_SENSITIVITY:
        return usual
    return next((iso for iso in others if iso is not None), usual)
