"""Export: turn one network into one verified bundle."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import check_destination, digest, staged
from edgeexpo.bundle.manifest import (
    Artifact,
    InnerNetwork,
    Manifest,
    engine_versions,
    write_manifest,
)
from edgeexpo.export.lowering import lower
from edgeexpo.export.standalone.program import (
    check_standalone,
    standalone_program,
    standalone_spec,
)
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.models.foreign import Inputs
from edgeexpo.parity.cases import WEIGHTS_PROGRAM
from edgeexpo.parity.check import check_parity
from edgeexpo.parity.gates import Gates, gates_of_model, overridden
from edgeexpo.parity.golden import write_golden
from edgeexpo.parity.recording import record
from edgeexpo.parity.reference import choose_device
from edgeexpo.parity.report.html import REPORT, write_report
from edgeexpo.parity.verdict import ParityReport
from edgeexpo.program.capture import Program
from edgeexpo.program.source import graph_sources
from edgeexpo.program.stages import stage
from edgeexpo.progress import note
from edgeexpo.quantization.a16w8 import float_activations
from edgeexpo.spec import ExportRecipe, Gate, ModelSpec
from edgeexpo.targets import DEFAULT_EXPORT_TARGET, target_named, usual_targets
from edgeexpo.workflows.attempts import Attempts
from edgeexpo.workflows.calibration_pictures import calibration_samples, whole_inputs
from edgeexpo.workflows.export_programs import captured, made_of_each, prepared_programs
from edgeexpo.workflows.export_request import ExportRequest, open_request
from edgeexpo.workflows.export_sizes import on_grid
from edgeexpo.workflows.spared_operators import Spared, spared
from edgeexpo.writing import writing

TOOLS = ("edgeexpo", "torch", "torchao", "numpy")
"""Libraries whose versions every manifest records, in addition to those of the usual targets."""

GOLDEN_PICTURES = 3
"""Number of photographs whose reference outputs a bundle records."""

_UNKNOWN_ADVICE = "report this with the module"


def export_bundle(
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
    standalone: tuple[int, int] | None = None,
    frame_format: FrameFormat | None = None,
    output_format: FrameFormat | None = None,
    output: str | os.PathLike[str] | None = None,
    force: bool = False,
    soc: str | None = None,
) -> Bundle:
    """Export a network, prove every artefact against the float reference, and write a bundle.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, ``net.pt2`` of
            ``torch.export.save``, or a module in memory. The module stays unchanged, and the
            manifest's recipe names its class as ``model``.
        targets: Names of :data:`edgeexpo.targets.TARGETS`. ``all`` stands for the usual targets.
        precision: One or several of ``fp32``, ``fp16``, ``int8`` (weights and activations) and, for
            NPUs, ``a16w8`` (the same weights and activations of 16 bits).
        calibration: Folder of photographs or brackets to calibrate INT8 on. By default, the INT8
            weights that ship with the network are used. A network without such weights is
            calibrated on the embedded photographs.
        images: Folder of photographs or brackets to verify on. By default, the embedded ones.
        size: Largest (height, width) of the artefacts in pixels. By default, the size that the
            network was made for, or 512x512.
        weights: A ``.safetensors`` or ``.pth`` file. By default, the shipped weights or the
            module's own.
        weights_key: Key or prefix of the weights in a checkpoint that holds several sets, such as
            ``params``. By default, averaged weights (``params_ema``) come first, and a note says
            so.
        inputs: The shape of every input of a module that is not of the zoo, such as
            ``{"picture": (1, 3, 512, 512)}`` or ``"picture=1x3x512x512"``.
        int8: INT8 weights that :func:`edgeexpo.quantize` wrote.
        prune: Share of the multiply-accumulates to remove first by structured pruning, above 0 and
            below 1.
        keep_float: Operators (nodes of the program) that INT8 leaves in float. The others are
            calibrated, even if INT8 weights ship with the network. By default, calibrated INT8
            that fails its gates leaves up to four operators in float, if it then passes. A note
            names them. An empty list leaves none.
        gates: Bounds that replace the default bounds of the same metric, such as ``"psnr>=45"``.
        output_range: Values of a foreign module's output that are black and white, such as
            ``(-1, 1)``. By default, they are measured, and a note says so.
        apply_at_full_size: True if a foreign module changes tone and looks at the whole picture. It
            then sees a copy of at most the exported size, and its result is applied to the picture.
        full_size_form: Form in which a small result is applied at full size, ``"render"`` or
            ``"guided"``. ``lrl`` takes ``"render"`` or ``"fusion"``, of the whole frames. By
            default, the form of the network, and ``"guided"`` for a foreign one.
        output_name: Output of a foreign module that is the picture, of several: a key, a field, or
            a place counted from 0. By default, the only output that is a picture.
        standalone: (height, width) of the app's frames in pixels. The artefacts then hold the
            stages: they take frames, uint8 HxWx3, and give the picture. By default, the artefacts
            are the network alone, and the runtime computes the stages.
        frame_format: Format of the app's frames, for the manifest. By default, HxWx3 RGB.
        output_format: Format of the pictures that the app gets. By default, ``frame_format``.
        output: Folder of the bundle. By default, ``dist/MODEL``.
        force: Replace an existing bundle.
        soc: Chip that a target compiles for, such as ``sm8650``
            (:data:`edgeexpo.chips.CHIPS`). By default, :data:`edgeexpo.chips.DEFAULT_CHIP`.

    Returns:
        The bundle. The ``status`` of its manifest is ``verified``, ``unverified`` or ``failed``.
        The ``refused`` of its manifest lists the targets and precisions that could not be made,
        with the reasons.

    Raises:
        UsageError: An argument, picture, weight or module cannot be used.
        WeightsError: ``int8`` was made from other float weights, or a checkpoint does not fit.
        ModuleError: ``forward`` fails or cannot be traced.
        ExportError: No artefact could be made. Nothing was written.
        MissingDependencyError: A target's converter is not installed. Nothing was written.
        OutputError: The bundle cannot be written.

    Example:
        With ``network`` a module of two convolutions, and two folders:

        >>> bundle = edgeexpo.export_bundle(
        ...     network,
        ...     inputs={"input": (1, 3, 64, 64)},
        ...     targets="onnx",
        ...     precision="fp32",
        ...     images=photographs,
        ...     output=folder / "net",
        ... )
        >>> bundle.manifest.status
        'verified'
        >>> bundle.manifest.recipe.model
        'Sequential'
    """
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
    network = request.network
    check_destination(request.destination, force)
    if standalone is not None:
        check_standalone(network.spec, standalone, request.targets)
    frame_size = standalone or network.spec.frame_size(network.size)
    verification = samples(
        len(network.spec.frames), None if images is None else Path(images), frame_size, seed=0
    )
    program = captured(request)
    source = None if calibration is None else Path(calibration)
    pictures = (
        calibration_samples(network, program, source)
        if request.calibrates or "a16w8" in request.precisions
        else []
    )
    attempts = Attempts()
    with staged(request.destination, force) as staging:
        programs = prepared_programs(request, program, pictures, attempts)
        lowered = programs
        if standalone is not None:
            lowered = {
                precision: standalone_program(programs[precision], network.spec, standalone)
                for precision in request.precisions
                if precision in programs
            }
        make = partial(
            lower,
            name=network.spec.name,
            folder=staging,
            soc=request.soc,
            pictures=whole_inputs(network, program, source) if request.compiles else (),
        )
        artifacts = made_of_each(request, lowered, make, attempts)
        if not artifacts:
            raise attempts.error()
        attempts.tell()
        shown = network.spec
        if standalone is not None:
            shown = standalone_spec(network.spec, standalone)
        recipe = ExportRecipe(
            model=model if isinstance(model, str) else network.spec.name,
            targets=request.targets,
            precisions=request.precisions,
            size=standalone or network.size,
            calibration=_calibration_of(request.learnt, calibration),
            calibration_pictures=tuple(s.name for s in pictures),
            gates=_gates(shown, request.precisions, request.bounds),
            sparsity=prune or 0.0,
            weights=None if network.weights is None else network.weights.name,
            keep_float=tuple(sorted(request.kept)),
        )
        manifest = Manifest(
            model=shown,
            recipe=recipe,
            artifacts=tuple(artifacts),
            files=_save_programs(programs, artifacts, staging),
            tools=tool_versions(request.targets),
            weights_sha256=None if network.weights is None else digest(network.weights),
            sources=graph_sources(programs["fp32"].exported.graph_module),
            frames=request.formats.frames,
            output=request.formats.output,
            refused=attempts.refused,
            network=InnerNetwork(network.spec, program.sizes) if standalone is not None else None,
            engines=engine_versions(request.targets),
        )
        with stage("verifying the artefacts", _UNKNOWN_ADVICE, program.exported.graph_module):
            report = check_parity(Bundle(staging, manifest), samples=verification)
            searches = request.calibrates and "int8" in request.precisions
            if searches and keep_float is None and standalone is None and not report.passed:
                found = spared(request, program, pictures, manifest, report.cases)
                if found is not None:
                    programs["int8"] = found.program
                    manifest = _with_int8(manifest, found, request, programs, make, staging)
                    report = check_parity(Bundle(staging, manifest), samples=verification)
            _record(staging, manifest, report, verification)
    return Bundle.open(request.destination)


def _calibration_of(learnt: Path | None, source: str | os.PathLike[str] | None) -> str:
    if learnt is not None:
        return f"INT8 weights {learnt.name}"
    return "embedded photographs" if source is None else str(source)


def tool_versions(targets: Collection[str] = ()) -> dict[str, str]:
    """Return the installed versions of :data:`TOOLS` and of the libraries that write artefacts.

    The libraries are those of the usual targets and of ``targets``.

    Raises:
        importlib.metadata.PackageNotFoundError: A library is not installed.
    """
    of_targets = [n for t in (*usual_targets(), *targets) for n in target_named(t).tools]
    return {name: importlib.metadata.version(name) for name in (*TOOLS, *of_targets)}


def _save_programs(
    programs: Mapping[str, Program], artifacts: Sequence[Artifact], staging: Path
) -> dict[str, str]:
    """Save the programs that the artefacts are compared with."""
    precisions = {a.precision for a in artifacts}
    saved = {"reference.pt2": programs["fp32"]}
    if "int8" in precisions:
        saved["quantized.pt2"] = programs["int8"]
    if "a16w8" in precisions:
        saved[WEIGHTS_PROGRAM] = float_activations(programs["int8"])
    for name, program in saved.items():
        with writing(staging / name), stage(f"saving {name}", _UNKNOWN_ADVICE):
            torch.export.save(program.exported, staging / name)
    compiled = [a.compiled for a in artifacts if a.compiled]
    return {name: digest(staging / name) for name in (*saved, *compiled)}


def _gates(
    spec: ModelSpec, precisions: Sequence[str], overrides: Sequence[Gate]
) -> dict[str, tuple[Gate, ...]]:
    return {p: overridden(gates_of_model(p, spec), overrides) for p in precisions}


def _with_int8(
    manifest: Manifest,
    found: Spared,
    request: ExportRequest,
    programs: Mapping[str, Program],
    make: Callable[[Program, str], Artifact],
    staging: Path,
) -> Manifest:
    """Lower another INT8 program, and return the manifest with its artefacts."""
    integer, attempts = dataclasses.replace(request, precisions=("int8",)), Attempts()
    made = made_of_each(integer, programs, make, attempts)
    attempts.tell()
    artifacts = (*(a for a in manifest.artifacts if a.precision != "int8"), *made)
    return dataclasses.replace(
        manifest,
        recipe=dataclasses.replace(manifest.recipe, keep_float=tuple(sorted(found.operators))),
        artifacts=artifacts,
        files=_save_programs(programs, artifacts, staging),
        refused=(*(r for r in manifest.refused if r.precision != "int8"), *attempts.refused),
    )


def _record(
    staging: Path, manifest: Manifest, report: ParityReport, pictures: Sequence[Sample]
) -> None:
    """Write the result of the parity check into the staged bundle."""
    bound = on_grid(manifest, report)
    if bound is not None:
        again = check_parity(Bundle(staging, bound), samples=pictures)
        before = {row.file: row.status for row in report.artifacts}
        mended = [r.file for r in again.artifacts if before[r.file] == "failed" != r.status]
        for file in mended:
            note(
                f"edgeexpo: {file} shows what the network shows at multiples of "
                f"{manifest.model.footprint.cell} pixels alone; other sizes are refused"
            )
        if mended:
            manifest, report = bound, again
    bundle = Bundle(staging, manifest)
    golden = record(bundle, choose_device("auto"), pictures[:GOLDEN_PICTURES])
    recorded = write_golden(staging, golden)
    write_report(report, staging / REPORT, bundle)
    results = {row.file: row for row in report.artifacts}
    judged = tuple(
        dataclasses.replace(
            a,
            status=results[a.file].status,
            verified_by=results[a.file].verified_by,
            error=results[a.file].error,
        )
        for a in manifest.artifacts
    )
    files = {**manifest.files, **recorded, REPORT: digest(staging / REPORT)}
    write_manifest(
        staging,
        dataclasses.replace(
            manifest,
            artifacts=judged,
            files=files,
            noise_floor=report.noise_floor,
            parity=report.to_dict(),
        ),
    )
