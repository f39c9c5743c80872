"""Programs of each precision, and what is made of them for each target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from edgeexpo.export.lowering import ADVICE
from edgeexpo.export.searches import searches_kept
from edgeexpo.imaging.samples import Sample
from edgeexpo.program.capture import Program
from edgeexpo.program.half import half
from edgeexpo.progress import status, track
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.a16w8 import a16w8_program
from edgeexpo.quantization.equalization import STRENGTH
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.workflows.attempts import Attempts
from edgeexpo.workflows.export_request import ExportRequest

PREPARATION_ADVICE = "replace this operator, or export with `precision='fp32'`"
"""What a user can do about a network that cannot be prepared for a precision."""

_T = TypeVar("_T")


def captured(request: ExportRequest) -> Program:
    """Capture the network of a request.

    Raises:
        ModuleError: ``forward`` fails or cannot be traced.
    """
    with status("Capturing the network"):
        return request.network.capture()


def prepared_programs(
    request: ExportRequest,
    program: Program,
    pictures: Sequence[Sample],
    attempts: Attempts,
    strength: float | None = STRENGTH,
) -> dict[str, Program]:
    """Return the program of each precision that can be prepared. ``fp32`` is always among them.

    Args:
        request: What is asked for.
        program: The captured program.
        pictures: Pictures to calibrate INT8 on.
        attempts: What cannot be prepared is kept here.
        strength: Strength of the equalisation of channels. ``None`` leaves it out.
    """
    graph, programs = program.exported.graph_module, {"fp32": program}
    makers: Mapping[str, Callable[[], Program]] = {
        "fp16": partial(half, program),
        "int8": partial(_int8, request, program, pictures, strength),
        "a16w8": lambda: a16w8_program(
            programs["int8"], network_inputs(request.network.spec, pictures)
        ),
    }
    for precision in _prepared_in_turn(request.precisions):
        doing = f"preparing the network for {precision}"
        with attempts.at(request.targets, precision, doing, PREPARATION_ADVICE, graph):
            if precision == "a16w8" and "int8" not in programs:
                programs["int8"] = makers["int8"]()
            programs[precision] = makers[precision]()
    return programs


def _prepared_in_turn(precisions: Sequence[str]) -> list[str]:
    """Return the precisions that are prepared; A16W8 is made of the program of INT8."""
    return sorted((p for p in precisions if p != "fp32"), key=lambda p: p == "a16w8")


def made_of_each(
    request: ExportRequest,
    programs: Mapping[str, Program],
    make: Callable[[Program, str], _T],
    attempts: Attempts,
) -> list[_T]:
    """Make something of every program for every target, and return what could be made.

    Args:
        request: What is asked for.
        programs: The programs by precision.
        make: Function of a program and a target.
        attempts: What cannot be made is kept here.
    """
    made = []
    prepared = [(p, t) for p in request.precisions if p in programs for t in request.targets]
    with searches_kept():
        for precision, target in track(prepared, "Lowering"):
            with attempts.at([target], precision, f"lowering to {target}", ADVICE):
                made.append(make(programs[precision], target))
    return made


def _int8(
    request: ExportRequest, program: Program, pictures: Sequence[Sample], strength: float | None
) -> Program:
    """Return the INT8 program by the INT8 weights of the request, or else by calibration."""
    if request.learnt is not None:
        return int8_weights.quantized_by(program, int8_weights.read_int8_weights(request.learnt))
    inputs = network_inputs(request.network.spec, track(pictures, "Calibrating"))
    return quantize_program(program, inputs, request.kept, strength)
