"""Proof that a captured program gives what the module gives, at sizes drawn at random."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from edgeexpo.errors import ModuleError
from edgeexpo.program.capture import Program, check_forward, example_inputs, trace_size
from edgeexpo.silence import quiet

DRAWN, LONGEST = 3, 160
"""Number of sizes that are drawn, and their longest side in pixels if sizes may vary."""

RELATIVE, SHARE = 1e-3, 1e-3
"""Error that counts as another value, as a share of the output's largest, and share of such values.

A module that rounds or compares may flip single values where the program sums in another order.
"""


def proven(program: Program, module: torch.nn.Module) -> Program:
    """Compare a program with its module in torch, on noise of several sizes.

    torch traces a network as if no axis had one element. A picture so small that an inner axis
    shrinks to one is therefore refused by the program. Such sizes are left out first.

    Args:
        program: The captured program.
        module: The module that was captured, in eval mode.

    Returns:
        The program, with the smallest size that it takes.

    Raises:
        ModuleError: The program gives another picture at a size that it accepts, or ``forward``
            gives different pictures for one input.
    """
    compiled = program.exported.module()
    program = _without_refused(program, compiled)
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
                "forward gives different pictures for one input; expected the same result for "
                "every run: remove random numbers and buffers that forward changes"
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
    return program


def _without_refused(program: Program, compiled: torch.nn.Module) -> Program:
    """Raise the smallest size until torch's guards of the program hold."""
    sizes = program.sizes
    low, traced = list(sizes.smallest), trace_size(sizes)
    for axis in (0, 1):
        while low[axis] < traced[axis]:
            size = (low[0], traced[1]) if axis == 0 else (traced[0], low[1])
            try:
                with torch.no_grad(), quiet():
                    compiled(*example_inputs(program, size))
                break
            except AssertionError:
                low[axis] += sizes.multiple
    narrowed = dataclasses.replace(sizes, smallest=(low[0], low[1]))
    return dataclasses.replace(program, sizes=narrowed)


def _sizes(program: Program) -> list[tuple[int, int]]:
    sizes = program.sizes
    if not program.dynamic:
        return [sizes.largest]
    generator = np.random.default_rng(0)
    found = []
    for _ in range(DRAWN):
        height, width = (
            int(generator.integers(low, max(low, min(high, LONGEST)) + 1))
            // sizes.multiple
            * sizes.multiple
            for low, high in zip(sizes.smallest, sizes.largest, strict=True)
        )
        found.append((height, width))
    return found


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
