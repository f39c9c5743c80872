"""Lowering to ONNX by the dynamo exporter and onnxsim, with QDQ pairs that ONNX Runtime fuses."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import onnx
import torch

from edgeexpo.errors import ExportError
from edgeexpo.export.onnx_qdq import fusible
from edgeexpo.export.onnx_relu import relu_codes
from edgeexpo.export.onnx_transposed import split_transposed_onnx
from edgeexpo.export.refusals import (
    at_largest_size,
    is_fixed_by_lowering,
    refusal,
    uneven_pooling,
)
from edgeexpo.program.capture import Program, example_inputs
from edgeexpo.program.source import blame
from edgeexpo.silence import quiet
from edgeexpo.spec import QUANTIZED, SizeRange
from edgeexpo.writing import write_file

OPSET = 18
"""Version of the ONNX operator set that is exported."""

_NODE = re.compile(r"(?:translating node|While executing) %(\w+)")


def export_onnx(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as one self-contained ONNX file.

    Args:
        program: The program to lower, at any precision.
        path: Path of the ``.onnx`` file.

    Returns:
        The sizes that the artefact accepts.

    Raises:
        ExportError: As :func:`onnx_model` does.
        OutputError: The file cannot be written.
    """
    model, sizes = onnx_model(program)
    write_file(path, model.SerializeToString())
    return sizes


def onnx_model(program: Program, opset: int = OPSET) -> tuple[onnx.ModelProto, SizeRange]:
    """Return ``program`` as an ONNX model, with the sizes that it accepts.

    The exporter takes some networks at one size only. Their model accepts only the largest size,
    and a note says so.

    Args:
        program: The program to lower, at any precision.
        opset: Version of the ONNX operator set.

    Raises:
        ExportError: An operator has no ONNX form, onnxsim fails, or the ONNX checker refuses the
            result. For an operator, the message names it and the user's line.
    """
    pooling = uneven_pooling(program) if program.dynamic else ""
    if pooling:
        program = at_largest_size(program, "ONNX", f"the exporter fixes the windows of {pooling}")
    converted = _convert(program, opset)
    if is_fixed_by_lowering(program.exported, program):
        program = at_largest_size(program, "ONNX", "the exporter fixes the size")
        converted = _convert(program, opset)
    model = _simplify(converted)
    if program.precision in QUANTIZED:
        split_transposed_onnx(model)
        fusible(model)
        relu_codes(model)
    _strip(model)
    _name_dimensions(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX checker refuses the result: {error}") from error
    return model, program.sizes


def _convert(program: Program, opset: int) -> onnx.ModelProto:
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        try:
            exported = torch.onnx.export(
                program.exported,
                example_inputs(program, program.sizes.largest),
                dynamo=True,
                external_data=False,
                optimize=True,
                opset_version=opset,
                input_names=list(program.inputs),
                output_names=list(program.outputs),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = _reason(error, program)
            raise refusal("ONNX cannot express the network", "onnx", reason) from error
    if exported is None:
        raise ExportError("the ONNX exporter returned nothing; report this with the module")
    return exported.model_proto


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    with quiet():
        simplified, valid = onnxsim.simplify(model, check_n=0)
    if not valid:
        raise ExportError("onnxsim changed the meaning of the network; report this with the module")
    return simplified


def _strip(model: onnx.ModelProto) -> None:
    """Remove source paths and the exporter's other metadata, 40 kB that no application needs."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "edgeexpo", ""
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{index}"


def _name_dimensions(model: onnx.ModelProto) -> None:
    """Name the free axes ``height`` and ``width`` instead of the tracer's symbols."""
    for value in (*model.graph.input, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for axis, name in ((2, "height"), (3, "width")):
            if len(dimensions) == 4 and dimensions[axis].dim_param:
                dimensions[axis].dim_param = name


def _reason(error: BaseException, program: Program) -> str:
    """Return the deepest cause of the error in one line, with the operator and the user's line."""
    texts = [str(error)]
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
        texts.append(str(cause))
    lines = [line.strip() for line in texts[-1].splitlines() if line.strip()]
    node = _NODE.search(" ".join(reversed(texts)))
    culprit = blame(node[1] if node else texts[-1], program.exported.graph_module)
    return f"{(lines or [type(cause).__name__])[0][:240]}{f' ({culprit})' if culprit else ''}"
