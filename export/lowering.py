"""Lowering of one program to one artefact, for any target."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeexpo.bundle.files import digest, size_in_bytes
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import MissingDependencyError
from edgeexpo.export.compilation import Compilation, Compiled
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import float_operators
from edgeexpo.program.stages import stage
from edgeexpo.spec import SizeRange
from edgeexpo.targets import Target, resolve, target_named

ADVICE = "replace this operator, or export to another `target` or `precision`"
"""What a user can do about an operator that a converter does not take."""


def check_converters(targets: Iterable[str]) -> None:
    """Check that the converter of every target is installed.

    Args:
        targets: Names of targets in :data:`edgeexpo.targets.TARGETS`.

    Raises:
        MissingDependencyError: A converter is not installed.
        UsageError: A target is unknown.
    """
    for record in map(target_named, targets):
        if record.converter and importlib.util.find_spec(record.converter) is None:
            raise MissingDependencyError(
                f"`target={record.name!r}` needs {record.converter}, which is not installed; "
                f"pip install 'edgeexpo[{record.converter_extra}]'"
            )


def lower(
    program: Program,
    target: str,
    name: str,
    folder: Path,
    soc: str | None = None,
    pictures: Sequence[Mapping[str, np.ndarray]] = (),
) -> Artifact:
    """Lower ``program`` to ``folder/NAME.PRECISION`` with the target's suffix.

    Args:
        program: Program that the artefact has to compute.
        target: Name of a target in :data:`edgeexpo.targets.TARGETS`.
        name: Name of the model.
        folder: An existing folder.
        soc: Name of the chip for a target that compiles for one. ``None`` for the default chip.
        pictures: Inputs at the program's largest size, 1xCxHxW float32 by name, for a target that
            compiles for a chip. They show the ranges of what the quantised program has in float.

    Returns:
        The artefact's entry for the manifest, with its digest, sizes and seconds of lowering.

    Raises:
        MissingDependencyError: The target's converter is not installed.
        ExportError: The target cannot express the program, or its converter fails. The folder is
            then as it was.
        OutputError: The artefact cannot be written.
    """
    check_converters([target])
    record = target_named(target)
    file = f"{name}.{program.precision}{record.suffix}"
    started = time.perf_counter()
    doing = f"lowering to {record.title} at {program.precision}"
    with _whole(folder / file), stage(doing, ADVICE, program.exported.graph_module):
        chip = None if record.chips is None else resolve(record.chips)(soc)
        more = () if chip is None else (Compilation(chip, pictures),)
        sizes: SizeRange = resolve(record.exporter)(program, folder / file, *more)
        compiled = Compiled()
        if record.compiler is not None:
            compiled = resolve(record.compiler)(folder / file, chip)
        return Artifact(
            file=file,
            target=target,
            precision=program.precision,
            sha256=digest(folder / file),
            bytes=size_in_bytes(folder / file),
            sizes=sizes,
            seconds=round(time.perf_counter() - started, 3),
            soc=None if chip is None else chip.name,
            compiled=compiled.file,
            npu_operators=compiled.operators,
            float_operators=_float_operators(program, record, folder / file),
        )


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Remove what the block has written at ``path`` if the block fails."""
    try:
        yield
    except BaseException:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        raise


def _float_operators(program: Program, record: Target, file: Path) -> dict[str, int]:
    if program.precision != "int8" or record.compiler is not None:
        return {}  # a compiler's own count says where everything runs
    found = float_operators(program.exported.module())
    if record.float_operators is not None:
        found |= resolve(record.float_operators)(file)
    return found
