"""Dry run of an export: everything but the verification and the bundle."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from edgeexpo.bundle.files import check_free
from edgeexpo.errors import EngineError, MissingDependencyError, OutputError
from edgeexpo.export.lowering import lower
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.inspection.census import take_census
from edgeexpo.models.foreign import Inputs
from edgeexpo.parity.gates import Gates
from edgeexpo.program.capture import Program
from edgeexpo.program.outside import heard
from edgeexpo.progress import kept_notes
from edgeexpo.targets import DEFAULT_EXPORT_TARGET
from edgeexpo.workflows.arguments import optional_path
from edgeexpo.workflows.attempts import Attempts
from edgeexpo.workflows.calibration_pictures import picture_size
from edgeexpo.workflows.export_programs import captured, made_of_each, prepared_programs
from edgeexpo.workflows.export_request import ExportRequest, open_request
from edgeexpo.workflows.networks import Network
from edgeexpo.workflows.plan_lines import (
    float_lines,
    integer_share,
    merged,
    outside_lines,
    refused_lines,
)
from edgeexpo.workflows.plan_result import ExportPlan, PlannedArtifact, PlannedLine

PICTURES = 1
"""Number of pictures that rough ranges are taken from. The ranges are of no artefact."""

PICTURE_SIDE = 64
"""Largest side of those pictures in pixels, where the network takes other sizes than its own."""


def plan_export(
    model: str | torch.nn.Module = "lrl",
    *,
    targets: str | Sequence[str] = (DEFAULT_EXPORT_TARGET,),
    precision: str | Sequence[str] = "int8",
    calibration: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    weights_key: str | None = None,
    inputs: Inputs = (),
    int8: str | os.PathLike[str] | None = None,
    prune: float | None = None,
    keep_float: str | Sequence[str] | None = None,
    gates: Gates = (),
    output_range: tuple[float, float] | None = None,
    apply_at_full_size: bool = False,
    full_size_form: str | None = None,
    output_name: str | None = None,
    frame_format: FrameFormat | None = None,
    output_format: FrameFormat | None = None,
    output: str | os.PathLike[str] | None = None,
    force: bool = False,
    soc: str | None = None,
) -> ExportPlan:
    """Say what :func:`edgeexpo.export_bundle` would do with the same arguments. Nothing is written.

    The network is captured, prepared for every precision and lowered to every target in a
    temporary folder, with rough INT8 ranges. Nothing is verified.

    Args:
        model: As for :func:`edgeexpo.export_bundle`, like all other arguments.
        targets: Names of targets.
        precision: One or several precisions.
        calibration: Folder of photographs. The first is read.
        images: Folder of photographs. The first is read.
        size: Largest (height, width) in pixels.
        weights: File of float weights.
        weights_key: Key of the weights in a checkpoint.
        inputs: The shape of every input of a module that is not of the zoo.
        int8: INT8 weights.
        prune: Share of the multiply-accumulates to remove.
        keep_float: Operators that INT8 leaves in float.
        gates: Bounds that replace default ones. They are checked for their form.
        output_range: Values of a foreign module's output that are black and white.
        apply_at_full_size: True if the network sees a small copy of the picture.
        full_size_form: Form in which a small result is applied at full size.
        output_name: Output that is the picture, of several.
        frame_format: Format of the app's frames.
        output_format: Format of the pictures that the app gets.
        output: Folder of the bundle.
        force: Replace an existing bundle.
        soc: Chip that a target compiles for.

    Returns:
        The plan. It is false if something would be refused.

    Raises:
        UsageError: An argument, a picture or a weight cannot be used.
        ModuleError: ``forward`` fails or cannot be traced.
        MissingDependencyError: A target's converter is not installed.

    Example:
        >>> plan = edgeexpo.plan_export(
        ...     network, inputs={"input": (1, 3, 64, 64)}, targets="onnx", precision="fp32"
        ... )
        >>> bool(plan), plan.footprint.halo
        (True, 2)
        >>> [planned.artifact.file for planned in plan.artifacts]
        ['Sequential.fp32.onnx']
    """
    started = time.perf_counter()
    attempts = Attempts()
    with kept_notes() as notes:
        request = open_request(
            model,
            targets=targets,
            precision=precision,
            calibration=calibration,
            size=size,
            weights=weights,
            weights_key=weights_key,
            inputs=inputs,
            int8=int8,
            prune=prune,
            keep_float=keep_float,
            gates=gates,
            output_range=output_range,
            apply_at_full_size=apply_at_full_size,
            full_size_form=full_size_form,
            output_name=output_name,
            frame_format=frame_format,
            output_format=output_format,
            output=output,
            soc=soc,
        )
        blocked = _blocked(request.destination, force)
        program = captured(request)
        pictures = _pictures(request.network, program, optional_path(calibration))
        if images is not None:
            _pictures(request.network, program, Path(images))
        programs = prepared_programs(request, program, pictures, attempts, strength=None)
        artifacts, lines = _lowered(request, programs, attempts)
        attempts.tell()
    spec, quantized = request.network.spec, programs.get("int8")
    if quantized is not None:
        lines += float_lines(program, quantized)
    return ExportPlan(
        model=spec.name,
        size=request.network.size,
        inputs=spec.inputs,
        outputs=spec.outputs,
        footprint=spec.footprint,
        tiled=spec.halo is not None,
        applied_at_full_size=spec.halo is None and spec.longest is not None,
        artifacts=artifacts,
        refused=attempts.refused,
        lines=merged([*refused_lines(attempts.refused), *lines]),
        integer_share=None if quantized is None else integer_share(quantized),
        notes=_plain(notes),
        blocked=blocked,
        seconds=round(time.perf_counter() - started, 1),
    )


def _blocked(destination: Path, force: bool) -> str | None:
    """Return why a bundle could not be written to its folder."""
    try:
        check_free(destination, force)
    except OutputError as error:
        return str(error)
    return None


def _pictures(network: Network, program: Program, source: Path | None) -> list[Sample]:
    """Return few small pictures, embedded or from a user's folder."""
    size = picture_size(network, program, PICTURE_SIDE)
    return samples(len(network.spec.frames), source, size, seed=1, most=PICTURES)


def _lowered(
    request: ExportRequest, programs: dict[str, Program], attempts: Attempts
) -> tuple[tuple[PlannedArtifact, ...], list[PlannedLine]]:
    """Lower every program in a temporary folder, and return what came of it."""
    lines: list[PlannedLine] = []
    with tempfile.TemporaryDirectory(prefix="edgeexpo-dry-run-") as folder:

        def make(program: Program, target: str) -> PlannedArtifact:
            with kept_notes() as notes, heard() as outside:
                artifact = lower(
                    program, target, request.network.spec.name, Path(folder), request.soc
                )
            lines.extend(outside_lines(outside, f"{target} {program.precision}"))
            integer, floating = _counted(target, Path(folder) / artifact.file)
            share = sum(operator.share for operator in outside)
            return PlannedArtifact(artifact, integer, floating, share, _plain(notes))

        with kept_notes():  # those of what is refused say nothing about an artefact
            artifacts = made_of_each(request, programs, make, attempts)
    return tuple(artifacts), lines


def _counted(target: str, file: Path) -> tuple[int | None, int | None]:
    """Count what the target's engine computes on integers and in float, if it can be counted."""
    with contextlib.suppress(EngineError, MissingDependencyError):
        census = take_census(target, file)
        if census is not None:
            return census.integer_weighted, census.float_weighted
    return None, None


def _plain(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.removeprefix("edgeexpo: ") for text in notes)
