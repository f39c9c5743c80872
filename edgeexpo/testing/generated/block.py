"""A building block of generated networks: a template of the source of one module."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from textwrap import dedent, indent

CONVOLVED = "self.f = nn.Conv2d($c, $c, 3, padding=1)"
"""Body of ``__init__`` of a block with one convolution."""


@dataclass(frozen=True)
class Block:
    """A template of a module that keeps the size and the number of channels of its input.

    Attributes:
        kind: Kind of block, as in ``convolution``.
        name: Name among the blocks of the kind.
        forward: Body of ``forward``. Its argument is ``x``, and ``$c`` stands for the channels.
        init: Body of ``__init__`` after the call of the base class.
        choices: The values of each other name with a ``$``, of which one is drawn.
    """

    kind: str
    name: str
    forward: str
    init: str = ""
    choices: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def source(self, class_name: str, channels: int, generator: random.Random) -> str:
        """Return the source of a class, with values drawn for every choice.

        Args:
            class_name: Name of the class.
            channels: Number of channels, a multiple of 4.
            generator: Source of the draws.
        """
        drawn = {name: generator.choice(values) for name, values in self.choices.items()}
        init, forward = (
            # Twice: a drawn value may name the channels itself.
            Template(Template(dedent(part).strip()).safe_substitute(drawn)).substitute(c=channels)
            for part in (self.init, self.forward)
        )
        lines = [
            f"class {class_name}(nn.Module):  # {self.kind}: {self.name}",
            "    def __init__(self):",
            "        super().__init__()",
            *([indent(init, " " * 8)] if init else []),
            "",
            "    def forward(self, x):",
            indent(forward, " " * 8),
        ]
        return "\n".join(lines)
