"""From the values of pictures to a verdict for each look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from edgeexpo.evaluation.looks.look import Look
from edgeexpo.evaluation.looks.report import LookVerdict, PictureLooks


def values_of(picture: str, looks: Iterable[Look], values: Mapping[str, float]) -> PictureLooks:
    """Return the looks of one picture, with those that fail."""
    failed = tuple(k.name for k in looks if k.name in values and not k.holds(values[k.name]))
    return PictureLooks(picture, values, failed)


def verdicts(looks: Iterable[Look], pictures: Sequence[PictureLooks]) -> list[LookVerdict]:
    """Return the verdict of each look over all pictures; the worst picture decides."""
    return [_verdict(look, pictures) for look in looks]


def _verdict(look: Look, pictures: Sequence[PictureLooks]) -> LookVerdict:
    found = [(p.values[look.name], p.picture) for p in pictures if look.name in p.values]
    # What is no number is worse than any number.
    sign = 1 if look.at_least else -1
    ranked = sorted(found, key=lambda f: -math.inf if math.isnan(f[0]) else sign * f[0])
    value, name = ranked[0] if ranked else (None, None)
    failed = sum(not look.holds(v) for v, _ in found)
    return LookVerdict(
        look=look.name,
        title=look.title,
        unit=look.unit,
        value=value,
        bound=look.bound,
        at_least=look.at_least,
        picture=name,
        pictures=len(found),
        failed=failed,
        passed=None if not found else failed == 0,
    )
