"""Lowering to Core ML: an mlprogram for iOS 17 or iOS 18 and later, made on any host."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgeexpo.coremltools_import import light_coremltools
from edgeexpo.errors import ExportError
from edgeexpo.export.coreml_images import image_form
from edgeexpo.export.coreml_operators import coreml_form
from edgeexpo.export.coreml_precision import Float32Operators
from edgeexpo.export.coreml_types import traced_types
from edgeexpo.export.real_numbers import in_real_numbers
from edgeexpo.export.refusals import at_largest_size, reason_of, refusal
from edgeexpo.program.capture import Program
from edgeexpo.replaced import replaced
from edgeexpo.silence import quiet
from edgeexpo.spec import SizeRange
from edgeexpo.writing import writing

ENUMERATED_SIDES = (64, 128, 256)
"""Sides of the square sizes, in pixels, that an artefact accepts besides the exported size.

Core ML plans memory for each enumerated size.
"""

_CONVERSION_ERRORS = (
    NotImplementedError,
    ValueError,
    RuntimeError,
    TypeError,
    KeyError,
    AssertionError,
)
"""Errors that coremltools raises for a network that it cannot convert."""


def export_coreml(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as an ``.mlpackage`` with float32 inputs and outputs.

    A program of frames gets images as inputs and output (``CVPixelBuffer``), RGB of 8 bits.

    Inside, an fp32 program computes in float32, every other program in fp16. The exact tail stays
    in float32 at every precision: for a residual network, the addition and the clip. An INT8
    program has ``quantize`` and ``dequantize`` around every quantised convolution. Its weights are
    stored as ``constexpr_affine_dequantize`` (W8A8).

    The artefact needs iOS 17, or iOS 18 if several inputs have the picture's size. Core ML
    enumerates the sizes of several inputs only from iOS 18 on.

    The converter takes some networks at one size only: coremltools 9.0 loses the factor of a
    bilinear resize to a varying size. Their artefact accepts only the largest size, and a note says
    so.

    Args:
        program: The program to lower, at any precision.
        path: Path of the ``.mlpackage``. An existing package is replaced.

    Returns:
        The sizes that the artefact accepts, enumerated.

    Raises:
        ExportError: An operator cannot be converted. The message names it and the user's line.
        OutputError: The package cannot be written.
    """
    with quiet():
        if program.takes_frames:
            program = image_form(program)
        program = in_real_numbers(program, "Core ML")
        try:
            model, sizes = _convert(program)
        except _CONVERSION_ERRORS as error:
            if not program.dynamic:
                raise _refusal(error, program) from error
            try:
                fixed = at_largest_size(program, "Core ML", reason_of(error, program))
                model, sizes = _convert(fixed)
            except _CONVERSION_ERRORS as second:
                raise _refusal(second, program) from second
        with writing(path):
            shutil.rmtree(path, ignore_errors=True)
            model.save(str(path))
    return sizes


def _convert(program: Program) -> tuple[Any, SizeRange]:
    with light_coremltools():
        import coremltools as ct

    sizes = enumerate_sizes(program)
    form = coreml_form(program.exported)
    with traced_types(), _without_collections():
        model = ct.convert(
            form,
            convert_to="mlprogram",
            minimum_deployment_target=_deployment_target(ct, program, sizes),
            compute_precision=_precision(ct, program),
            inputs=_inputs(ct, program, sizes),
            outputs=_outputs(ct, program),
            skip_model_load=True,
        )
    return model, sizes


def _without_collections() -> contextlib.AbstractContextManager[None]:
    """Leave the collection of garbage to Python.

    coremltools 9.0 asks for one after each conversion. It looks through the million objects of all
    imported libraries, which takes half a second.
    """
    entry = importlib.import_module("coremltools.converters._converters_entry")
    return replaced(entry, "gc", SimpleNamespace(collect=lambda: 0))


def _refusal(error: BaseException, program: Program) -> ExportError:
    return refusal("Core ML cannot convert the network", "coreml", reason_of(error, program))


def enumerate_sizes(program: Program) -> SizeRange:
    """Return the sizes that a Core ML artefact of ``program`` accepts.

    These are the exported size and the squares of :data:`ENUMERATED_SIDES` that are smaller than
    its shorter side and multiples of the network's ``multiple``. A program of fixed size has only
    its own size.
    """
    largest, multiple = program.sizes.largest, program.sizes.multiple
    if not program.dynamic:
        return program.sizes
    squares = [
        (side, side) for side in ENUMERATED_SIDES if side < min(largest) and side % multiple == 0
    ]
    every = (*squares, largest)
    return SizeRange(largest=largest, smallest=every[0], multiple=multiple, enumerated=every)


def _outputs(ct: Any, program: Program) -> list[Any]:
    if program.takes_frames:
        rgb = ct.colorlayout.RGB
        return [ct.ImageType(name=n, color_layout=rgb) for n in program.outputs]
    return [ct.TensorType(name=n, dtype=np.float32) for n in program.outputs]


def _inputs(ct: Any, program: Program, sizes: SizeRange) -> list[Any]:
    described = []
    for tensor in program.tensors:
        if tensor.is_frame:
            image = (1, tensor.channels, *sizes.largest)
            rgb = ct.colorlayout.RGB
            described.append(ct.ImageType(name=tensor.name, shape=image, color_layout=rgb))
            continue
        shape = (1, tensor.channels, *(tensor.size or sizes.largest))
        if len(sizes.enumerated) > 1 and tensor.size is None:
            shapes = [(1, tensor.channels, *size) for size in sizes.enumerated]
            shape = ct.EnumeratedShapes(shapes=shapes, default=shape)
        described.append(ct.TensorType(name=tensor.name, shape=shape, dtype=np.float32))
    return described


def _deployment_target(ct: Any, program: Program, sizes: SizeRange) -> Any:
    free = sum(tensor.size is None for tensor in program.tensors)
    return ct.target.iOS18 if free > 1 and len(sizes.enumerated) > 1 else ct.target.iOS17


def _precision(ct: Any, program: Program) -> Any:
    if program.precision == "fp32":
        return ct.precision.FLOAT32
    exact = Float32Operators(stages=program.takes_frames)
    return ct.transform.FP16ComputePrecision(op_selector=lambda op: not exact(op))
