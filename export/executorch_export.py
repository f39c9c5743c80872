"""Lowering to ExecuTorch: a ``.pte`` file with all convolutions in the XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.fx import GraphModule

from edgeexpo.errors import ExportError
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.program.source import blame, node_source
from edgeexpo.runtime.engines.executorch import bindings
from edgeexpo.silence import quiet
from edgeexpo.spec import SizeRange
from edgeexpo.writing import write_file


def export_executorch(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as an ExecuTorch program for XNNPACK.

    Args:
        program: The program to lower, at any precision.
        path: Path of the ``.pte`` file.

    Returns:
        The sizes that the artefact accepts: those of the program.

    Raises:
        ExportError: An operator cannot be lowered or has no kernel, or a weighted operator stays
            outside the delegate. The message names it and the user's line.
        OutputError: The file cannot be written.
    """
    with quiet():
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
        from executorch.exir.error import ExportError as EdgeError
        from executorch.exir.error import InternalError

        from edgeexpo.export.xnnpack_partitioner import partitioner

        try:
            edge = to_edge_transform_and_lower(
                program.exported,
                partitioner=[partitioner()],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            _check_delegated(edge.exported_program().graph_module)
            lowered = edge.to_executorch()
            _check_kernels(lowered.executorch_program, program)
            data = lowered.buffer
        except (EdgeError, InternalError, RuntimeError, NotImplementedError, ValueError) as error:
            reason = _reason(error, program)
            raise ExportError(f"ExecuTorch cannot lower the network: {reason}") from error
    write_file(path, data)
    return program.sizes


def _check_delegated(module: GraphModule) -> None:
    left = [n for n in module.graph.nodes if is_weighted(n)]
    if left:
        names = ", ".join(
            f"{node.target} at {node_source(node) or 'an unknown line'}" for node in left[:3]
        )
        raise ExportError(
            f"ExecuTorch leaves {len(left)} convolution(s) outside the XNNPACK delegate ({names}); "
            "use groups, strides and data types that XNNPACK supports"
        )


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
        raise ExportError(
            f"ExecuTorch has no kernel for {', '.join(missing)}{f' ({culprit})' if culprit else ''}"
        )


def _reason(error: Exception, program: Program) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (lines or [type(error).__name__])[0][:300]
    culprit = blame(text, program.exported.graph_module)
    return f"{text}{f' ({culprit})' if culprit else ''}"
