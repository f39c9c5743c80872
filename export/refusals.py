"""Refusals of a network that a target cannot express, at all or at a varying size."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edgeexpo.errors import ExportError
from edgeexpo.program.capture import Program, at_one_size, placeholders, recapture
from edgeexpo.program.source import blame, shown
from edgeexpo.progress import note

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


def is_fixed_by_lowering(lowered: ExportedProgram, program: Program) -> bool:
    """Return true if a decomposition has fixed the varying sizes of ``program``.

    torch 2.13 fixes them without a word where a decomposition branches on sizes, as that of an
    adaptive pooling does.
    """
    sides = [side for node in placeholders(lowered) for side in node.meta["val"].shape]
    return program.dynamic and not any(
        isinstance(side, torch.SymInt) and side.node.expr.free_symbols for side in sides
    )


def uneven_pooling(program: Program) -> str:
    """Return an adaptive max pooling of windows that differ from size to size, with its line.

    Return ``""`` if there is none. torch 2.13 decomposes such pooling for the size of the example.
    The check that the grid divides every size becomes a guard that converters ignore. Averages are
    rewritten at capture (:mod:`edgeexpo.program.adaptive_pooling`).
    """
    for node in program.exported.graph.nodes:
        if node.target != torch.ops.aten.adaptive_max_pool2d.default:
            continue
        sides = node.args[0].meta["val"].shape[-len(node.args[1]) :]
        for side, windows in zip(sides, node.args[1], strict=True):
            if isinstance(side, torch.SymInt) and not statically_known_true(side % windows == 0):
                return shown(node)
    return ""


def at_largest_size(program: Program, artifact: str, reason: object) -> Program:
    """Return ``program`` captured again at its largest size alone, and say so in a note.

    Guards and checks of the inputs are left out, because a failed lowering may have fixed other
    sizes in them.

    Args:
        program: A program of varying size.
        artifact: The artefact in words, such as ``Core ML``.
        reason: Why it takes one size alone.
    """
    size = "x".join(map(str, program.sizes.largest))
    note(f"edgeexpo: the {artifact} artefact takes {size} alone: {reason}")
    guarded = program.exported.module(check_guards=False)
    assert isinstance(guarded, GraphModule)
    module = GraphModule(guarded, guarded.graph)
    return recapture(at_one_size(program), module, program.precision)


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
