"""Fault injection: a clean picture passes every look, and each planted fault trips its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from edgeexpo.evaluation.looks.look import Look, Seen
from edgeexpo.evaluation.looks.planes import box_mean
from edgeexpo.evaluation.looks.table import LOOKS, look_named, looks_for
from tests.support.looks_pictures import HEIGHT, WIDTH, coded, corrected, fused

KINDS = {"fusion": (2, fused), "correction": (1, corrected)}
PLANTED: dict[str, Callable[[Seen], Seen]] = {}


def _planted(name: str) -> Callable[[Callable[[np.ndarray], np.ndarray]], object]:
    """Register a function from a picture to the picture with the fault of one look."""

    def register(fault: Callable[[np.ndarray], np.ndarray]) -> object:
        PLANTED[name] = lambda seen: dataclasses.replace(
            seen, picture=coded(fault(seen.picture.copy()))
        )
        return fault

    return register


@_planted("crushed")
def _black_and_white(picture: np.ndarray) -> np.ndarray:
    return (picture - 0.45) * 3 + 0.5


def _fog(picture: np.ndarray) -> np.ndarray:
    return 0.35 * box_mean(picture, 9) + 0.5


_planted("structure")(_fog)
_planted("contrast")(_fog)


@_planted("hue")
def _red_for_blue(picture: np.ndarray) -> np.ndarray:
    picture[HEIGHT // 2 :] = picture[HEIGHT // 2 :, :, [2, 0, 1]]
    return picture


@_planted("halos")
def _unsharp_mask(picture: np.ndarray) -> np.ndarray:
    return picture + 0.7 * (picture - box_mean(picture, 17))


@_planted("false_colour")
def _speckles(picture: np.ndarray) -> np.ndarray:
    picture[::9, ::9] *= (1.3, 0.6, 1.0)
    return picture


@_planted("borders")
def _grey_border(picture: np.ndarray) -> np.ndarray:
    inside = picture[5:-5, 5:-5].copy()
    picture = 0.6 * picture + 0.4 * 0.5
    picture[5:-5, 5:-5] = inside
    return picture


@_planted("weave")
def _pattern_of_eight(picture: np.ndarray) -> np.ndarray:
    across = np.cos(2 * np.pi * np.arange(WIDTH) / 8)
    down = np.cos(2 * np.pi * np.arange(HEIGHT) / 8)
    return picture + 3 / 255 * np.outer(down, across)[..., None]


@_planted("flat")
def _olive_centre(picture: np.ndarray) -> np.ndarray:
    picture[40:-40, 40:-40] -= np.array((0.0, 0.0, 0.02))
    return picture


PLANTED["neutral"] = lambda seen: dataclasses.replace(
    seen, grey=coded(seen.picture * 0 + 0.5 + np.array((0.02, 0.0, -0.02)))
)
PLANTED["monotone"] = lambda seen: dataclasses.replace(
    seen, lighter=(*seen.lighter, coded(seen.lighter[-1] - 4 / 255))
)


def _flat(seen: Seen) -> Seen:
    return dataclasses.replace(seen, picture=coded(np.full_like(seen.picture, 0.5)))


CASES = [
    pytest.param(look, *KINDS[scope], id=f"{look.name}-{scope}")
    for look in LOOKS
    for scope in KINDS
    if look.scope in ("all", scope)
]


@pytest.mark.parametrize(("look", "count", "see"), CASES)
def test_a_clean_picture_passes_and_the_fault_trips(
    look: Look, count: int, see: Callable[[], Seen]
) -> None:
    assert look in looks_for(count)
    clean = _flat(see()) if look.name == "flat" else see()
    value = look.measure(clean)
    assert value is not None
    assert look.holds(value), (look.name, value)
    faulty = look.measure(PLANTED[look.name](clean))
    assert faulty is not None
    assert not look.holds(faulty), (look.name, faulty)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_network_has_each_look_once(count: int) -> None:
    names = [look.name for look in looks_for(count)]
    assert len(names) == len(set(names))
    assert ("structure" in names) == (count > 1)
    assert ("contrast" in names) == (count == 1)
    assert set(names) <= set(PLANTED)


def test_every_look_says_what_it_is_and_why() -> None:
    for look in LOOKS:
        assert all((look.title, look.unit, look.definition, look.reason)), look.name
        assert not look.holds(float("nan"))
        assert look_named(look.name, [look]) is look
