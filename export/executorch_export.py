"""Lowering to ExecuTorch: a ``.pte`` file for the XNNPACK delegate and portable kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.fx import Node

from edgeexpo.errors import ExportError
from edgeexpo.export.real_numbers import in_real_numbers
from edgeexpo.export.refusals import (
    at_largest_size,
    is_fixed_by_lowering,
    reason_of,
    refusal,
)
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.program.multiplications import multiplication_share
from edgeexpo.program.outside import Outside, tell
from edgeexpo.program.source import blame, node_source
from edgeexpo.program.values import tensor_of
from edgeexpo.progress import note
from edgeexpo.runtime.engines.executorch import bindings
from edgeexpo.silence import quiet
from edgeexpo.spec import SizeRange
from edgeexpo.writing import write_file

NAMED = 3
"""Number of operators outside the delegate that a note names."""

PORTABLE_RANKS = (3, 4)
"""Ranks of the tensors that ExecuTorch's portable convolution takes."""


def export_executorch(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as an ExecuTorch program for XNNPACK.

    Convolutions and matrix products that XNNPACK does not take run on ExecuTorch's portable
    kernels, which are slow. A note names them, with their share of the multiplications.

    Some networks lower at one size only, for example with a resize to a computed size. Their
    artefact accepts only the largest size, and a note says so.

    Args:
        program: The program to lower, at any precision.
        path: Path of the ``.pte`` file.

    Returns:
        The sizes that the artefact accepts.

    Raises:
        ExportError: An operator cannot be lowered or has no kernel. The message names it and the
            user's line.
        OutputError: The file cannot be written.
    """
    with quiet():
        program = in_real_numbers(program, "ExecuTorch")
        try:
            made = _lowered(program)
        except ExportError as error:
            if not program.dynamic:
                raise
            program = at_largest_size(program, "ExecuTorch", error)
            made = _lowered(program)
    if made.portable:
        note(f"edgeexpo: {made.portable}")
    tell(made.outside)
    write_file(path, made.data)
    return program.sizes


@dataclass(frozen=True)
class _Lowered:
    """The contents of a ``.pte`` file, and what it computes outside the delegate.

    ``portable`` is a sentence about weighted operators, or ``""`` without any.
    """

    data: bytes
    portable: str
    outside: tuple[Outside, ...]


def _lowered(program: Program) -> _Lowered:
    """Lower a program to the contents of a ``.pte`` file.

    Raises:
        ExportError: An operator cannot be lowered or has no kernel.
    """
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    from edgeexpo.export.executorch_decompositions import executorch_form
    from edgeexpo.export.executorch_retraces import changed_graphs_alone_are_traced
    from edgeexpo.export.xnnpack_layouts import repaired_layouts
    from edgeexpo.export.xnnpack_means import exact_means
    from edgeexpo.export.xnnpack_pads import repaired_pads
    from edgeexpo.export.xnnpack_partitioner import partitioner

    try:
        with repaired_layouts(), repaired_pads(), changed_graphs_alone_are_traced():
            edge = to_edge_transform_and_lower(
                executorch_form(program.exported),
                transform_passes=[exact_means],
                partitioner=[partitioner()],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
        if is_fixed_by_lowering(edge.exported_program(), program):
            raise ExportError("a decomposition fixes the size of the inputs")
        nodes = list(edge.exported_program().graph_module.graph.nodes)
        left = [n for n in nodes if is_weighted(n)]
        _check_ranks(left)
        portable = _portable(left, program)
        outside = _outside(nodes, program)
        lowered = edge.to_executorch()
        _check_kernels(lowered.executorch_program, program)
        return _Lowered(lowered.buffer, portable, outside)
    except ExportError:
        raise
    except Exception as error:  # executorch 1.5.1 raises plain exceptions from its passes
        raise refusal(
            "ExecuTorch cannot lower the network", "executorch", reason_of(error, program)
        ) from error


def _check_ranks(left: Sequence[Node]) -> None:
    """Raise :class:`ExportError` for a convolution that no kernel of ExecuTorch computes."""
    for node in left:
        x = tensor_of(node.args[0])
        if "convolution" in str(node.target) and x is not None and x.dim() not in PORTABLE_RANKS:
            raise ExportError(
                f"ExecuTorch has no kernel for a convolution over {x.dim() - 2} axes"
                f"{_at(node)}; expected one over 1 or 2: move an axis into the channels"
            )


def _portable(left: Sequence[Node], program: Program) -> str:
    """Return a sentence about weighted operators outside the delegate, or ``""`` without any."""
    if not left:
        return ""
    share = multiplication_share(left, program.exported.graph)
    names = ", ".join(f"{_name(node)}{_at(node)}" for node in left[:NAMED])
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return (
        f"XNNPACK does not take {names}{more}: {share:.0%} of the multiplications run on "
        "ExecuTorch's portable kernels, which are slow"
    )


def _outside(nodes: Sequence[Node], program: Program) -> tuple[Outside, ...]:
    """Return the operators on tensors that no delegate computes."""
    from executorch.exir.dialects.edge._ops import EdgeOpOverload

    graph = program.exported.graph
    return tuple(
        Outside(_name(node), node_source(node), multiplication_share([node], graph))
        for node in nodes
        if node.op == "call_function"
        and isinstance(node.target, EdgeOpOverload)
        and tensor_of(node) is not None
    )


def _name(node: Node) -> str:
    return str(node.target).partition(":")[2].partition(">")[0].strip() or str(node.target)


def _at(node: Node) -> str:
    place = node_source(node)
    return f" at {place}" if place else ""


def _check_kernels(executable: Any, program: Program) -> None:
    """Raise :class:`ExportError` for operators without a kernel.

    They lower without an error and would fail only when an app loads the file.
    """
    known = set(bindings()._get_operator_names())
    wanted = {
        f"{operator.name}.{operator.overload}" if operator.overload else operator.name
        for plan in executable.execution_plan
        for operator in plan.operators
    }
    missing = sorted(wanted - known)
    if missing:
        culprit = blame(missing[0], program.exported.graph_module)
        named = f"{', '.join(missing)}{f' ({culprit})' if culprit else ''}"
        raise refusal("ExecuTorch has no kernel for an operator", "executorch", named)
