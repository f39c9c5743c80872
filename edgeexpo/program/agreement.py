"""Proof that a captured program gives what the module gives, at sizes drawn at random."""

from __future__ import annotations

import numpy as np
import torch

from edgeexpo.drawn_sizes import draw_size
from edgeexpo.errors import ModuleError
from edgeexpo.program.capture import Program, check_forward
from edgeexpo.program.source import shown
from edgeexpo.silence import quiet

DRAWN, LONGEST = 3, 160
"""Number of sizes, the smallest first, and the longest side in pixels of those that are drawn."""

RELATIVE, SHARE = 1e-3, 1e-3
"""Error that counts as another value, as a share of the output's largest, and share of such values.

A module that rounds or compares may flip single values where the program sums in another order.
"""


def check_agreement(program: Program, module: torch.nn.Module) -> None:
    """Compare a program with its module in torch, on noise of several sizes.

    Args:
        program: The captured program.
        module: The module that was captured, in eval mode.

    Raises:
        ModuleError: The program gives another picture at a size that it accepts, or ``forward``
            gives different pictures for one input.
    """
    # torch traces as if no inner axis had one element. Artefacts are run on such pictures too.
    compiled = program.exported.module(check_guards=False)
    for index, size in enumerate(_sizes(program)):
        generator = torch.Generator().manual_seed(index)
        given = tuple(
            torch.rand(1, t.channels, *(t.size or size), generator=generator)
            for t in program.tensors
        )
        expected = check_forward(module, given).float()
        again = check_forward(module, given).float()
        if not _agree(expected, again):
            raise ModuleError(
                f"forward gives different pictures for one input{_random(program)}; expected the "
                "same result for every run: remove random numbers and buffers that forward changes"
            )
        with torch.no_grad(), quiet():
            found = compiled(*given).float()
        if not _agree(expected, found):
            height, width = size
            raise ModuleError(
                f"the captured program differs from the module at {height}x{width} (HxW), by up to "
                f"{float((found - expected).abs().max()):.2g}; expected the same operations at "
                "every size: replace Python numbers that are computed from shapes by tensors"
            )


def _random(program: Program) -> str:
    """Return the operators that draw random numbers in words, with the user's lines."""
    found = [
        shown(node)
        for node in program.exported.graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    ]
    return f" ({', '.join(dict.fromkeys(found))})" if found else ""


def _sizes(program: Program) -> list[tuple[int, int]]:
    sizes = program.sizes
    if not program.dynamic:
        return [sizes.largest]
    generator = np.random.default_rng(0)
    # A branch may ask for the very size that the network was made for.
    within = max(sizes.largest) <= LONGEST
    return [
        sizes.smallest,
        *([sizes.largest] if within else []),
        *(
            draw_size(generator, sizes.smallest, sizes.largest, LONGEST, sizes.multiple)
            for _ in range(DRAWN - 1)
        ),
    ]


def _agree(expected: torch.Tensor, found: torch.Tensor) -> bool:
    if expected.shape != found.shape:
        return False
    # Values that are not finite are equal if both are the same.
    finite = torch.isfinite(expected)
    if not torch.equal(finite, torch.isfinite(found)):
        return False
    bound = RELATIVE * float(expected[finite].abs().max()) if finite.any() else 0.0
    wrong = (expected - found)[finite].abs() > max(bound, RELATIVE * RELATIVE)
    return float(wrong.float().mean()) <= SHARE if wrong.numel() else True
