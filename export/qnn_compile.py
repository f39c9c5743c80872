"""Compilation of a portable ONNX file to Qualcomm's context binary for one chip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgeexpo.chips import Chip
from edgeexpo.errors import EngineError
from edgeexpo.export.compilation import Compiled
from edgeexpo.progress import note
from edgeexpo.runtime.engines.qnn import htp_context
from edgeexpo.writing import write_file


def compile_qnn(path: Path, chip: Chip) -> Compiled:
    """Write the context binary of an artefact beside it, for one chip.

    ``net.int8.qnn.onnx`` gets ``net.int8.qnn.sm8550.context.onnx``, which ONNX Runtime loads on
    that chip without compiling. If Qualcomm's library cannot make it, a note says so.

    Args:
        path: The ``.qnn.onnx`` file.
        chip: The chip.

    Raises:
        MissingDependencyError: onnxruntime-qnn does not load on this host.
        OutputError: The file cannot be written.
    """
    try:
        context, found = htp_context(path.read_bytes(), chip)
    except EngineError as error:
        note(f"edgeexpo: {path.name} has no context binary beside it: {error}")
        return Compiled()
    beside = path.with_name(f"{path.stem}.{chip.name}.context.onnx")
    write_file(beside, context)
    return Compiled(beside.name, dict(Counter(found.htp.values()).most_common()))
