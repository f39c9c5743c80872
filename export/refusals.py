"""Refusals: errors for a network that a target cannot express."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgeexpo.errors import ExportError
from edgeexpo.program.capture import Program, placeholders
from edgeexpo.program.source import blame

LONGEST_REASON = 240
"""Largest number of characters of a converter's message that a refusal quotes."""


def reason_of(error: BaseException, program: Program) -> str:
    """Return the deepest cause of a converter's error in one line, with the operator that it names.

    The operator comes with the user's line where both are known.
    """
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    lines = [line.strip() for line in str(causes[-1]).splitlines() if line.strip()]
    text = lines[0] if lines else f"its own check failed ({type(causes[-1]).__name__})"
    module = program.exported.graph_module
    culprit = next(filter(None, (blame(str(cause), module) for cause in reversed(causes))), "")
    return f"{text[:LONGEST_REASON]}{f' ({culprit})' if culprit else ''}"


def check_free_sizes(lowered: ExportedProgram, program: Program) -> None:
    """Check that a program has kept its varying sizes while a converter decomposed it.

    torch 2.13 fixes the sizes without a word where a decomposition branches on them, as that of an
    adaptive pooling does.

    Raises:
        ExportError: All inputs of ``lowered`` have one size, and those of ``program`` do not.
    """
    if program.dynamic and not any(
        isinstance(side, torch.SymInt)
        for node in placeholders(lowered)
        for side in node.meta["val"].shape
    ):
        raise ExportError("a decomposition fixes the size of the inputs")


def refusal(what: str, target: str, reason: str) -> ExportError:
    """Return an error that says what failed, why, and what to do.

    Args:
        what: What a converter cannot do, such as ``Core ML cannot convert the network``.
        target: Name of the target.
        reason: The cause (:func:`reason_of`).
    """
    return ExportError(
        f"{what}: {reason}; write that line with other operators, or leave out the target {target}"
    )
