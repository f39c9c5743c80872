"""Lowering to ExecuTorch: a ``.pte`` whose convolutions all run in the XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path

from edgeexpo.artifact import write_file
from edgeexpo.errors import ExportError
from edgeexpo.export.noise import quiet
from edgeexpo.export.program import Program
from edgeexpo.export.source import node_source
from edgeexpo.quantization.exact import is_weighted
from edgeexpo.spec import SizeRange


def export_executorch(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as an ExecuTorch program for XNNPACK.

    Returns:
        The sizes that the artefact accepts: those of the program.

    Raises:
        ExportError: An operator has no kernel, or a convolution was left outside the delegate;
            the message names it and the user's line.
        OutputError: The file cannot be written.
    """
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
        from executorch.exir.error import ExportError as EdgeError
        from executorch.exir.error import InternalError

        try:
            edge = to_edge_transform_and_lower(
                program.exported,
                partitioner=[XnnpackPartitioner()],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            _check_delegated(edge.exported_program().graph_module)
            data = edge.to_executorch().buffer
        except (EdgeError, InternalError, RuntimeError, NotImplementedError, ValueError) as error:
            raise ExportError(f"ExecuTorch cannot lower the network: {_reason(error)}") from error
    write_file(path, data)
    return program.sizes


def _check_delegated(module: object) -> None:
    left = [n for n in module.graph.nodes if is_weighted(n)]  # type: ignore[attr-defined]
    if left:
        names = ", ".join(
            f"{node.target} at {node_source(node) or 'an unknown line'}" for node in left[:3]
        )
        raise ExportError(
            f"ExecuTorch leaves {len(left)} convolution(s) outside the XNNPACK delegate ({names}); "
            "use groups, strides and data types that XNNPACK supports"
        )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
