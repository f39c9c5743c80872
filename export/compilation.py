"""What an exporter gets that compiles for one chip."""

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
