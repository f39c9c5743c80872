"""Lowering to an ONNX file that Qualcomm's QNN provider compiles for the NPU of a chip."""

from __future__ import annotations

from pathlib import Path

import onnx
from torch.fx import GraphModule

from edgeexpo.chips import Chip
from edgeexpo.errors import ExportError
from edgeexpo.export.compilation import Compilation
from edgeexpo.export.onnx_export import onnx_model
from edgeexpo.export.onnx_sixteen import sixteen_bits
from edgeexpo.export.refusals import at_largest_size
from edgeexpo.program.capture import Program
from edgeexpo.program.source import blame, shown
from edgeexpo.runtime.engines.qnn import CHIP_KEY, htp_assignment
from edgeexpo.spec import SizeRange
from edgeexpo.writing import write_file

OPSET = 21
"""Version of the ONNX operator set, the first with codes of 16 bits."""


def export_qnn(program: Program, path: Path, compilation: Compilation) -> SizeRange:
    """Write ``program`` as one self-contained ONNX file of fixed shapes, checked for a chip.

    The file is portable: Qualcomm's provider compiles it on the device, for any chip. The check
    asks the provider's emulation of the named chip whether its HTP takes every operator.

    What the program leaves in float gets 16-bit codes (:mod:`edgeexpo.export.onnx_sixteen`), if
    there are pictures for its ranges and the HTP takes it so. Else it stays in float.

    Args:
        program: The quantised program.
        path: Path of the ``.qnn.onnx`` file.
        compilation: The chip and the pictures.

    Returns:
        The only size that the artefact accepts.

    Raises:
        ExportError: An operator has no ONNX form or no kernel on the HTP. The message names it and
            the user's line.
        MissingDependencyError: onnxruntime-qnn does not load on this host.
        OutputError: The file cannot be written.
    """
    if program.dynamic:
        program = at_largest_size(program, "Hexagon", "the HTP compiles networks of fixed shapes")
    chip = compilation.chip
    model, sizes = onnx_model(program, OPSET)
    model.metadata_props.add(key=CHIP_KEY, value=chip.name)
    spans = {t.name: t.value_range for t in program.tensors}
    left: set[str] = set()
    while True:
        rounded = onnx.ModelProto()
        rounded.CopyFrom(model)
        changed = sixteen_bits(rounded, compilation.pictures, spans, left)
        written = rounded.SerializeToString()
        refused = htp_assignment(written, chip).elsewhere
        if not refused:
            write_file(path, written)
            return sizes
        # A float operator that has no kernel for 16 bits may have one for fp16.
        again = set(changed) & refused.keys()
        if not again:
            raise ExportError(_refusal(model, refused, program.exported.graph_module, chip))
        left |= again


def _refusal(
    model: onnx.ModelProto, refused: dict[str, str], module: GraphModule, chip: Chip
) -> str:
    """Return the operators without a kernel in one line, with the user's lines."""
    places = {
        place for node in model.graph.node if node.name in refused if (place := _at(node, module))
    }
    listed = sorted(places) or sorted(set(refused.values()))
    return (
        f"the HTP of {chip} has no kernel for {len(refused)} of {len(model.graph.node)} operators: "
        f"{', '.join(listed[:4])}{', ...' if len(listed) > 4 else ''}; replace them, or export to "
        "another `target`"
    )


def _at(node: onnx.NodeProto, module: GraphModule) -> str:
    """Return the operator of the program that an ONNX node computes, with the user's line."""
    own = {n.name: n for n in module.graph.nodes if n.op == "call_function"}
    named = next((own[name] for name in node.output if name in own), None)
    return shown(named) if named is not None else blame(node.op_type, module)
