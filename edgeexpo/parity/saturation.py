"""Saturation: values of a picture beyond the ranges that calibration or training gave to INT8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SAID = 1e-3
"""Share of a layer's values in a picture above which export and parity say that it saturates."""

NAMED_LAYERS = 3
"""Number of layers that a line names."""


@dataclass(frozen=True)
class Saturation:
    """The values of one layer that a picture drives beyond their range.

    Attributes:
        layer: Name of the operator in the program.
        picture: Name of the picture.
        share: Share of the layer's values that are clipped, in (0, 1].
        reach: Largest value as a multiple of the end of the range on its side.
    """

    layer: str
    picture: str
    share: float
    reach: float


def worst_by_layer(found: Iterable[Saturation]) -> tuple[Saturation, ...]:
    """Return for every layer the picture that it clips most, in order of the clipped shares."""
    worst: dict[str, Saturation] = {}
    for entry in found:
        if entry.layer not in worst or entry.share > worst[entry.layer].share:
            worst[entry.layer] = entry
    return tuple(sorted(worst.values(), key=lambda entry: -entry.share))


def saturation_line(found: Iterable[Saturation], sources: Mapping[str, str]) -> str:
    """Return a line that names the layers that saturate most, or ``""``.

    Args:
        found: The worst picture of every layer, of :func:`worst_by_layer`.
        sources: ``file:line`` by layer, from the manifest.
    """
    said = [entry for entry in found if entry.share > SAID]
    layers = [
        f"{entry.layer}{f' at {sources[entry.layer]}' if entry.layer in sources else ''} "
        f"({entry.share:.1%} of its values in {entry.picture}, up to {entry.reach:.2g} times the "
        "range)"
        for entry in said[:NAMED_LAYERS]
    ]
    more = f" and {len(said) - NAMED_LAYERS} more" if len(said) > NAMED_LAYERS else ""
    return f"INT8 saturates in {', '.join(layers)}{more}" if layers else ""
