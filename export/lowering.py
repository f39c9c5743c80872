"""One program to one artefact, for any target."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import onnx

from edgeexpo.bundle.files import digest, size_in_bytes
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import MissingDependencyError
from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.export.executorch_export import export_executorch
from edgeexpo.export.litert_export import export_litert
from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import float_operators
from edgeexpo.spec import SUFFIXES, SizeRange

EXPORTERS: Mapping[str, Callable[[Program, Path], SizeRange]] = {
    "onnx": export_onnx,
    "executorch": export_executorch,
    "coreml": export_coreml,
    "litert": export_litert,
}
"""Target -> function that writes its artefact."""

CONVERTERS: Mapping[str, tuple[str, str]] = {"litert": ("litert_torch", "litert")}
"""Target -> the module of its converter and the extra that brings it, where that is not
``export``."""


def check_converters(targets: Iterable[str]) -> None:
    """Raise :class:`MissingDependencyError` for a target whose converter is not installed."""
    for target in targets:
        if target not in CONVERTERS:
            continue
        module, extra = CONVERTERS[target]
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError(
                f"`target={target!r}` needs {module}, which is not installed; "
                f"pip install 'edgeexpo[{extra}]'"
            )


def lower(program: Program, target: str, name: str, folder: Path) -> Artifact:
    """Lower ``program`` to ``folder/NAME.PRECISION`` with the target's suffix.

    Args:
        program: What the artefact shall mean.
        target: One of :data:`edgeexpo.spec.TARGETS`.
        name: The model's name.
        folder: An existing folder.

    Raises:
        MissingDependencyError: The target's converter is not installed.
        ExportError: The target cannot express the program.
        OutputError: The artefact cannot be written.
    """
    check_converters([target])
    file = f"{name}.{program.precision}{SUFFIXES[target]}"
    started = time.perf_counter()
    sizes = EXPORTERS[target](program, folder / file)
    return Artifact(
        file=file,
        target=target,
        precision=program.precision,
        sha256=digest(folder / file),
        bytes=size_in_bytes(folder / file),
        sizes=sizes,
        seconds=round(time.perf_counter() - started, 3),
        float_operators=_float_operators(program, target, folder / file),
    )


def _float_operators(program: Program, target: str, file: Path) -> dict[str, int]:
    if program.precision != "int8":
        return {}
    found = float_operators(program.exported.module())
    if target == "onnx":
        # ONNX Runtime has no integer kernel; on dequantised INT8 numbers the result is the same.
        transposed = sum(node.op_type == "ConvTranspose" for node in onnx.load(file).graph.node)
        found |= {"conv_transpose2d": transposed} if transposed else {}
    return found
