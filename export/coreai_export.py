"""Lowering to Apple's Core AI: an ``.aimodel`` folder, made and run on Linux or macOS."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from edgeexpo.errors import ExportError
from edgeexpo.export.coreai_quantized import register_codes
from edgeexpo.export.real_numbers import in_real_numbers
from edgeexpo.export.refusals import (
    at_largest_size,
    is_fixed_by_lowering,
    reason_of,
    refusal,
)
from edgeexpo.program.capture import Program
from edgeexpo.replaced import replaced
from edgeexpo.silence import muted, quiet
from edgeexpo.spec import SizeRange
from edgeexpo.writing import writing

_CONVERSION_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    AssertionError,
    NotImplementedError,
)
"""Errors that coreai-torch raises for a network that it cannot convert."""


def _exponential_unit(
    x: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Tensor:
    """Return ``elu``, which Core AI has no lowering for."""
    below = torch.expm1(torch.clamp(x, max=0.0) * input_scale) * (alpha * scale)
    return torch.where(x > 0, x * scale, below)


PLAIN: Mapping[Any, Callable[..., Tensor]] = MappingProxyType(
    {torch.ops.aten.elu.default: _exponential_unit}
)
"""Operators without a lowering that are not left to torch's decompositions, by replacement."""


def export_coreai(program: Program, path: Path) -> SizeRange:
    """Write ``program`` as an ``.aimodel`` folder for Apple's Core AI.

    The program keeps its precision, operator by operator: the casts of an fp16 program are part of
    it. An INT8 program keeps its codes, and ``quantize`` and ``dequantize`` stand around its
    operators. An operator without a lowering is replaced by torch's own decomposition.

    Some networks convert at one size only. Their artefact accepts only the largest size, and a note
    says so.

    Args:
        program: The program to lower.
        path: Path of the ``.aimodel`` folder. An existing one is replaced.

    Returns:
        The sizes that the artefact accepts.

    Raises:
        ExportError: An operator cannot be converted. The message names it and the user's line.
        OutputError: The folder cannot be written.
    """
    program = in_real_numbers(program, "Core AI")
    with quiet(), muted():
        try:
            made = converted(program)
        except _CONVERSION_ERRORS as error:
            if not program.dynamic:
                raise _refusal(error, program) from error
            try:
                program = at_largest_size(program, "Core AI", reason_of(error, program))
                made = converted(program)
            except _CONVERSION_ERRORS as second:
                raise _refusal(second, program) from second
        with writing(path):
            shutil.rmtree(path, ignore_errors=True)
            made.save_asset(path).update_metadata(_undated)
    return program.sizes


def converted(program: Program) -> Any:
    """Return Core AI's own form of a program, a ``coreai.authoring.AIProgram``.

    Raises:
        ValueError: An operator has no lowering, or a decomposition fixes the size of the inputs.
            coreai-torch 0.4.3 also raises other errors, of its own checks and of MLIR.
    """
    with warnings.catch_warnings():
        # coreai-torch 0.4.3 takes torch 2.13.0+cpu for a later version than 2.13.0.
        warnings.simplefilter("ignore")
        from coreai_torch import TorchConverter

    form = coreai_form(program.exported)
    if is_fixed_by_lowering(form, program):
        raise ValueError("a decomposition fixes the size of the inputs")
    converter = TorchConverter(mode=TorchConverter.Mode.RELEASE)
    register_codes(converter, form)
    converter.add_exported_program(
        form, input_names=list(program.inputs), output_names=list(program.outputs)
    )
    with _counted_names():
        return converter.to_coreai()


def coreai_form(exported: ExportedProgram) -> ExportedProgram:
    """Return ``exported`` with every operator decomposed that Core AI has no lowering for.

    Operators that Core AI takes stay whole. An operator that torch cannot decompose also stays, and
    the converter then reports it.
    """
    from coreai_torch import get_decomp_table
    from coreai_torch._aten_to_core import _aten_to_core_resolver

    known = {**torch._decomp.decomposition_table, **PLAIN}
    chosen = {**get_decomp_table()}  # torch's own type of table ignores ``|=``
    while True:
        exported = exported.run_decompositions(chosen)
        lacking = {
            node.target
            for node in exported.graph.nodes
            if isinstance(node.target, torch._ops.OpOverload)
            and node.target.namespace == "aten"
            and _name_of(node.target) not in _aten_to_core_resolver
        }
        new = {op: known[op] for op in lacking - chosen.keys() if op in known}
        if not new:
            return exported
        chosen |= new


def _name_of(operator: torch._ops.OpOverload) -> str:
    return str(operator).removeprefix("aten.")


def _undated(metadata: Any) -> None:
    """Drop the date of creation, so that equal exports are equal bytes."""
    metadata.creation_date = None


@contextlib.contextmanager
def _counted_names() -> Iterator[None]:
    """Number the functions of a file, which coreai-core 1.0.0b3 names by random letters."""
    from coreai.authoring import func, graph_builder

    numbers = itertools.count()

    def counted(name: str) -> str:
        return f"{name}_{next(numbers)}"

    with (
        replaced(func, "_randomize_fn_name", counted),
        replaced(graph_builder, "_randomize_fn_name", counted),
    ):
        yield


def _refusal(error: BaseException, program: Program) -> ExportError:
    return refusal("Core AI cannot convert the network", "coreai", reason_of(error, program))
