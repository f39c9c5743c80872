"""Lowering to LiteRT: a ``.tflite`` file for LiteRT's XNNPACK delegate."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeexpo.errors import ExportError
from edgeexpo.export.litert_program import litert_form
from edgeexpo.program.capture import Program, at_one_size, example_inputs
from edgeexpo.program.source import blame
from edgeexpo.progress import note
from edgeexpo.runtime.engines.litert import runner
from edgeexpo.silence import muted, quiet
from edgeexpo.spec import SizeRange
from edgeexpo.writing import write_file

SIGNATURE = "serving_default"
"""Signature name under which LiteRT's interpreters look for a file's inputs and outputs."""

FURTHER = 2.0
"""Factor by which a file's error at another size may exceed its error at the converted size."""

EQUAL_WITHIN = 1e-5
"""Tolerance for equal results: RMS difference, for values in [0,1].

Differences from the order of summation alone stay below it.
"""

_CONVERSION_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AssertionError,
    NotImplementedError,
)
"""Errors that litert-torch raises for a network that it cannot convert."""

_ILLEGAL = re.compile(r'"(\w+)"\)+: (failed to legalize operation \'[\w.]+\')')


def export_litert(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as a ``.tflite`` file.

    The program is converted at its largest size. Interpreters can resize the file's inputs. The
    results are then wrong if the converter has written a size into an operator, such as a resize or
    a reshape. The file is therefore run at another size and compared with the program. If the
    results differ, the artefact accepts only the converted size, and a note says so.

    Args:
        program: The program to lower, ``fp32`` or ``int8``.
        path: Path of the ``.tflite`` file.

    Returns:
        The sizes that the artefact accepts: those of the program, or only its largest, enumerated.

    Raises:
        ExportError: The program is fp16, or an operator cannot be converted. The message names the
            operator and the user's line.
        OutputError: The file cannot be written.
    """
    if program.precision == "fp16":
        raise ExportError(
            "LiteRT's CPU kernels compute fp16 networks in fp32; export --precision fp32 or int8"
        )
    fixed = litert_form(program)
    with quiet(), muted():
        try:
            data = _converted(fixed)
        except _CONVERSION_ERRORS as error:
            reason = _reason(error, program)
            raise ExportError(f"LiteRT cannot convert the network: {reason}") from error
    write_file(path, data)
    if not program.dynamic or _takes_other_sizes(path, program):
        return program.sizes
    only = program.sizes.largest
    note(f"edgeexpo: the LiteRT artefact takes {only[0]}x{only[1]} alone")
    return dataclasses.replace(at_one_size(program).sizes, enumerated=(only,))


def _converted(program: Program) -> bytes:
    """Run the stages of ``litert_torch.convert`` (0.10.0) with its strict QDQ mode.

    ``litert_torch.convert`` itself has no option for that mode. Without the mode, the converter
    turns inputs that are quantised at once into INT8 inputs.
    """
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    from litert_converter.mlir import passmanager
    from litert_converter.mlir._mlir_libs import converter_api_ext as api
    from litert_torch import backend, fx_infra
    from litert_torch._convert import core
    from litert_torch.backend.inline_consts import InlineConstsContext

    exported = fx_infra.graph_utils.reset_from_node_meta(program.exported)
    exported = fx_infra.safe_run_decompositions(
        exported, fx_infra.decomp.pre_convert_decomp(), can_skip=False
    )
    exported = core._run_convert_passes(exported)
    for node in exported.graph.nodes:  # otherwise tensors are named after the user's classes
        node.meta["nn_module_stack"] = {"": ("", node.name)}
        node.meta.pop("stack_trace", None)
    context = backend.export_utils.create_ir_context()
    lowered = backend.export.exported_program_to_mlir(
        exported,
        ir_context=context,
        lowering_context_plugins=[InlineConstsContext(enable_resource_constants=False)],
    )
    api.set_signature(
        lowered.module.operation,
        signature_name=SIGNATURE,
        input_names=list(program.inputs),
        output_names=list(program.outputs),
    )
    module = api.merge_modules([lowered.module])
    with context:
        api.run_convert_to_tfl_passes(
            module, passmanager.PassManager(), _config(api, program.precision == "int8")
        )
    return bytes(api.export_flatbuffer_to_bytes(module.operation))


def _config(api: Any, integer: bool) -> Any:
    config = api.ConvertToTFLConfig()
    config.model_origin_framework = "PYTORCH"
    config.enable_x64 = False
    config.canonicalizing_inf_as_min_max_float = False
    if integer:
        config.qdq_conversion_mode = "STATIC"
        config.strict_qdq_mode = True
    return config


def _takes_other_sizes(path: Path, program: Program) -> bool:
    """Return true if the file with resized inputs is as near to the program as at its own size."""
    largest, smallest = program.sizes.largest, program.sizes.smallest
    step = program.sizes.multiple
    other = tuple(
        max(low, side * share // 8 // step * step)
        for low, side, share in zip(smallest, largest, (5, 7), strict=True)
    )
    run = runner(path)
    near = _error(run, program, largest)
    try:
        return _error(run, program, (other[0], other[1])) <= max(FURTHER * near, EQUAL_WITHIN)
    except (RuntimeError, ValueError, AssertionError):  # from the file, or a guard of the program
        return False


def _error(run: Any, program: Program, size: tuple[int, int]) -> float:
    """Return the RMS difference between the results of file and program on smooth noise in [0,1].

    Results of different shapes give infinity.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for example in example_inputs(program, size):
        coarse = torch.rand(1, example.shape[1], 9, 9, generator=generator)
        inputs.append(torch.nn.functional.interpolate(coarse, example.shape[2:], mode="bilinear"))
    with torch.no_grad():
        expected = program.exported.module()(*inputs).numpy()
    named = {n: value.numpy() for n, value in zip(program.inputs, inputs, strict=True)}
    found = run(**named)[program.outputs[0]]
    if found.shape != expected.shape:
        return float("inf")
    return float(np.sqrt(np.mean(np.square(found - expected, dtype=np.float64))))


def _reason(error: BaseException, program: Program) -> str:
    """Return the error's first line, with the operator and the user's line."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if illegal := _ILLEGAL.search(text):
        text = f"{illegal[2]} of {illegal[1]}"
    culprit = blame(text, program.exported.graph_module)
    return f"{text[:240]}{f' ({culprit})' if culprit else ''}"
