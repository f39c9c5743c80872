"""What an exporter gets that compiles for one chip, and what compilation gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeexpo.chips import Chip


@dataclass(frozen=True)
class Compilation:
    """The chip that a program is compiled for, and pictures that show the ranges of its values.

    Attributes:
        chip: The chip.
        pictures: Inputs of the program at its largest size: 1xCxHxW float32 by name.
    """

    chip: Chip
    pictures: Sequence[Mapping[str, np.ndarray]] = field(default=(), repr=False)


@dataclass(frozen=True)
class Compiled:
    """What was compiled of an artefact for a chip.

    Attributes:
        file: Name of the compiled file beside the artefact. ``None`` if it could not be made.
        operators: Operators that the chip's NPU takes, with their counts.
    """

    file: str | None = None
    operators: Mapping[str, int] = field(default_factory=dict)
