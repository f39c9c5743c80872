"""Real numbers for targets that have no complex ones."""

from __future__ import annotations

from edgeexpo.export.refusals import at_largest_size
from edgeexpo.program.capture import Program
from edgeexpo.program.real_form import has_complex, real_form, transforms_varying_sides


def in_real_numbers(program: Program, artifact: str) -> Program:
    """Return ``program`` without complex numbers, at one size if a transform's length varies.

    Args:
        program: The program to lower.
        artifact: The artefact in words, such as ``Core ML``.

    Raises:
        ExportError: An operator on complex numbers has no real form.
    """
    if not has_complex(program):
        return program
    if transforms_varying_sides(program):
        program = at_largest_size(program, artifact, "a Fourier transform needs a fixed length")
    return real_form(program)
