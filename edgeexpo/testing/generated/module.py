"""Modules drawn at random from blocks, as Python files that an export can name lines of."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from edgeexpo.testing.generated import layers, mixing, shapes

MOST_BLOCKS = 8
"""Largest number of blocks of a module."""

CHANNELS = (8, 12, 16)
"""Numbers of channels of the features, multiples of 4."""

SIDES = (32, 40, 48, 56, 64)
"""Heights and widths at which modules are exported, in pixels."""

FACTORY = "factory"
"""Name of the function of a file that makes the module."""

KINDS = (
    layers.CONVOLUTIONS,
    layers.NORMALISATIONS,
    layers.ACTIVATIONS,
    layers.PARAMETRISATIONS,
    mixing.RESIZINGS,
    mixing.POOLINGS,
    mixing.ATTENTIONS,
    shapes.SHAPES,
    shapes.ASSIGNMENTS,
)
"""The blocks of every kind. Every kind is equally likely, and so is every block of a kind."""

WIRINGS = (
    "self.b{i}(y)",
    "self.b{i}(y)",
    "y + self.b{i}(y)",
    "y{j} + self.b{i}(y)",
    "self.m{i}(torch.cat([y, self.b{i}(y)], 1))",
)
"""Ways in which a block takes its place: in the chain, beside a skip, or beside a merged skip."""

OUTPUTS = (
    "torch.clamp(x + self.gain * self.body(x), 0, 1)",
    "torch.sigmoid(4 * (x - 0.5) + 6 * self.gain * self.body(x))",
    "torch.clamp(x * (1 + 2 * self.gain * self.body(x)), 0, 1)",
)
"""Pictures that modules give: a correction is added, or multiplied."""

_FILE = '''"""{title}"""

import torch
import torch.nn as nn
import torch.nn.functional as F


{classes}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, {channels}, 3, padding=1)
{layers}
        self.tail = nn.Conv2d({channels}, 3, 3, padding=1)
        self.register_buffer("gain", torch.ones(()))

    def body(self, x):
        y = y0 = self.head(x)
{steps}
        return self.tail(y)

    def forward(self, x):
        return {output}


def {factory}():
    torch.manual_seed({seed})
    net = Net().eval()
    with torch.no_grad():  # The correction is large enough to be seen, whatever the blocks do.
        spread = net.body(torch.rand(1, 3, {side}, {side})).std()
        net.gain.fill_(0.1 / spread.clamp(min=1e-2))
    return net
'''


@dataclass(frozen=True)
class Drawn:
    """A module drawn at random.

    Attributes:
        seed: Seed of all draws.
        side: Height and width at which it is exported, in pixels.
        blocks: Kind and name of every block.
        source: Text of a Python file with a factory.
    """

    seed: int
    side: int
    blocks: tuple[str, ...]
    source: str

    def write(self, folder: Path) -> Path:
        """Write the file into ``folder`` and return its path."""
        path = folder / f"generated_{self.seed}.py"
        path.write_text(self.source, encoding="utf-8")
        return path


def draw_module(seed: int) -> Drawn:
    """Draw a module of one to :data:`MOST_BLOCKS` blocks.

    Args:
        seed: Equal seeds give equal modules.
    """
    generator = random.Random(seed)
    channels, side = generator.choice(CHANNELS), generator.choice(SIDES)
    blocks = [
        generator.choice(generator.choice(KINDS)) for _ in range(generator.randint(1, MOST_BLOCKS))
    ]
    classes, made, steps = [], [], []
    for i, block in enumerate(blocks, start=1):
        classes.append(block.source(f"Block{i}", channels, generator))
        made.append(f"        self.b{i} = Block{i}()")
        wiring = generator.choice(WIRINGS)
        if "self.m" in wiring:
            made.append(f"        self.m{i} = nn.Conv2d({2 * channels}, {channels}, 1)")
        steps.append(f"        y = y{i} = {wiring.format(i=i, j=generator.randrange(i))}")
    names = tuple(f"{block.kind} {block.name}" for block in blocks)
    source = _FILE.format(
        title=f"Generated module of seed {seed}.",
        classes="\n\n\n".join(classes),
        channels=channels,
        layers="\n".join(made),
        steps="\n".join(steps),
        output=generator.choice(OUTPUTS),
        factory=FACTORY,
        seed=seed,
        side=side,
    )
    return Drawn(seed, side, names, source)
