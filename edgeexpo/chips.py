"""Chips with a Hexagon NPU, by the names that Qualcomm gives them.

The numbers are those of Qualcomm's SDK: ``soc_model`` is the chip, and ``htp_arch`` the version of
its Hexagon Tensor Processor (HTP). ExecuTorch's Qualcomm backend publishes the same table
(``executorch/backends/qualcomm/serialization/qc_schema.py``, version 1.5.1).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeexpo.errors import UsageError


@dataclass(frozen=True)
class Chip:
    """A chip with a Hexagon NPU.

    Attributes:
        name: Qualcomm's name in lower case, such as ``sm8550``.
        soc_model: Number of the chip in Qualcomm's SDK.
        htp_arch: Version of the HTP, such as 73.
        title: Name for people. Empty where the chip has no other.
    """

    name: str
    soc_model: int
    htp_arch: int
    title: str = ""

    def __str__(self) -> str:
        known = f"{self.title}, " if self.title else ""
        return f"{self.name} ({known}HTP v{self.htp_arch})"


CHIPS: Mapping[str, Chip] = MappingProxyType(
    {
        chip.name: chip
        for chip in (
            Chip("sm8350", 30, 68, "Snapdragon 888"),
            Chip("sm8450", 36, 69, "Snapdragon 8 Gen 1"),
            Chip("sm8475", 42, 69, "Snapdragon 8+ Gen 1"),
            Chip("sm8550", 43, 73, "Snapdragon 8 Gen 2"),
            Chip("sm8650", 57, 75, "Snapdragon 8 Gen 3"),
            Chip("sm8750", 69, 79, "Snapdragon 8 Elite"),
            Chip("sm8845", 97, 81),
            Chip("sm8850", 87, 81, "Snapdragon 8 Elite Gen 5"),
            Chip("sc8380xp", 60, 73, "Snapdragon X"),
            Chip("qcm6490", 93, 68),
            Chip("qcs9100", 77, 73),
            Chip("sa8255", 52, 73),
            Chip("sa8295", 39, 68),
            Chip("sa8797", 72, 81),
            Chip("sar2230p", 95, 81),
            Chip("ssg2115p", 46, 73),
            Chip("ssg2125p", 58, 73),
            Chip("sw6100", 96, 81),
            Chip("sxr1230p", 45, 73),
            Chip("sxr2230p", 53, 69),
            Chip("sxr2330p", 75, 79),
        )
    }
)
"""Chips by name."""

DEFAULT_CHIP = "sm8550"
"""Chip of an export that names none. Its HTP v73 is the first that every later one follows."""


def chip_named(name: str | None) -> Chip:
    """Return the chip of a name, in upper or lower case, or the default chip for ``None``.

    Raises:
        UsageError: No chip has this name. The message names those with the nearest names.
    """
    if name is None:
        return CHIPS[DEFAULT_CHIP]
    chip = CHIPS.get(name.lower())
    if chip is None:
        near = difflib.get_close_matches(name.lower(), CHIPS, n=3, cutoff=0.0)
        raise UsageError(
            f"unknown chip {name!r}; the nearest names are {', '.join(near)} "
            f"(all: {', '.join(CHIPS)})"
        )
    return chip
