"""The main job: one network in, one verified bundle out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from edgeexpo import artifact as bundles
from edgeexpo.artifact import Bundle, Manifest
from edgeexpo.errors import UsageError
from edgeexpo.export.half import half
from edgeexpo.export.lowering import lower
from edgeexpo.export.program import Program, capture
from edgeexpo.export.source import graph_sources
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.models import foreign, zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.parity.check import check_parity
from edgeexpo.parity.gates import default_gates
from edgeexpo.parity.probes import extremes
from edgeexpo.parity.reference import (
    ProgramReference,
    choose_device,
    describe,
    record_golden,
)
from edgeexpo.parity.report import REPORT, write_report
from edgeexpo.progress import status, track
from edgeexpo.quantization.ptq import quantize
from edgeexpo.runtime.stages import front
from edgeexpo.runtime.tiling import fits_whole
from edgeexpo.spec import PRECISIONS, TARGETS, Gate, ModelSpec, Recipe

TOOLS = ("torch", "torchao", "executorch", "coremltools", "onnx", "onnxscript", "onnxsim", "numpy")
"""Libraries whose versions a manifest records."""

CALIBRATION_SIDE = 256
"""Calibration pictures are at most this high and wide: histograms need pixels, not resolution."""

GOLDEN_PICTURES = 3

SIDE = 512
"""Default height and width of artefacts of a network that says none."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A module with its spec and size, ready to be captured."""

    module: torch.nn.Module
    spec: ModelSpec
    size: tuple[int, int]
    weights: Path | None


def export_bundle(
    model: str = "lrl",
    *,
    targets: Sequence[str] = ("coreml",),
    precision: str | Sequence[str] = "int8",
    calibration: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    inputs: Sequence[str] = (),
    gates: Sequence[Gate] = (),
    output: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Bundle:
    """Export a network, prove every artefact against the float reference, write a bundle.

    Args:
        model: A name of the zoo, or ``path/to/net.py:factory``.
        targets: Any of ``coreml``, ``executorch``, ``onnx``; ``("all",)`` for all.
        precision: One or several of ``fp32``, ``fp16``, ``int8`` (weights and activations).
        calibration: Folder of photographs or brackets; the embedded photographs by default.
        images: Folder of photographs or brackets to verify on; the embedded ones by default.
        size: Largest (height, width) of the artefacts in pixels; by default what the network was
            made for, or 512x512.
        weights: A ``.safetensors`` or ``.pth`` file; the shipped weights by default.
        inputs: ``NAME=1x3xHxW`` for every input of a foreign module.
        gates: Bounds that replace the default ones of the same metric.
        output: The bundle's folder; ``dist/MODEL`` by default.
        force: Replace an existing bundle.

    Returns:
        The bundle; its manifest's ``status`` is ``verified``, ``unverified`` or ``failed``.

    Raises:
        UsageError: Bad arguments, pictures, weights or module.
        ExportError: A conversion failed; nothing was written.
        OutputError: The bundle cannot be written.
    """
    chosen = TARGETS if tuple(targets) == ("all",) else _known(targets, TARGETS, "target")
    precisions = _known(
        (precision,) if isinstance(precision, str) else precision, PRECISIONS, "precision"
    )
    network = _network(model, size, weights, inputs)
    destination = Path(output) if output is not None else Path("dist") / network.spec.name
    bundles.check_destination(destination, force)
    verification = _pictures(network, None if images is None else Path(images))
    with status("Capturing the network"):
        program = capture(
            network.module,
            network.spec.inputs,
            network.spec.outputs,
            network.size,
            network.spec.multiple,
        )
    pictures = _calibration(network, program, None if calibration is None else Path(calibration))
    with bundles.staged(destination, force) as staging:
        programs = _programs(network.spec, program, precisions, pictures)
        artifacts = [
            lower(programs[p], target, network.spec.name, staging)
            for p, target in track([(p, t) for p in precisions for t in chosen], "Lowering")
        ]
        recipe = Recipe(
            model=model,
            targets=tuple(chosen),
            precisions=tuple(precisions),
            size=network.size,
            calibration="embedded photographs" if calibration is None else str(calibration),
            calibration_pictures=tuple(s.name for s in pictures),
            gates=_gates(network.spec, precisions, gates),
            weights=None if network.weights is None else network.weights.name,
        )
        manifest = Manifest(
            model=network.spec,
            recipe=recipe,
            artifacts=tuple(artifacts),
            files=_save_programs(programs, staging),
            tools=tool_versions(),
            weights_sha256=None if network.weights is None else bundles.digest(network.weights),
            sources=graph_sources(programs["fp32"].exported.graph_module),
        )
        _verify(staging, manifest, verification)
    return Bundle.open(destination)


def tool_versions() -> dict[str, str]:
    """Installed versions of :data:`TOOLS` and of edgeexpo itself."""
    return {name: importlib.metadata.version(name) for name in ("edgeexpo", *TOOLS)}


def _known(values: Sequence[str], allowed: Sequence[str], what: str) -> tuple[str, ...]:
    for value in values:
        if value not in allowed:
            raise UsageError(f"unknown {what} {value!r}; expected {', '.join(allowed)}")
    return tuple(dict.fromkeys(values))


def _network(
    model: str,
    size: tuple[int, int] | None,
    weights: str | os.PathLike[str] | None,
    inputs: Sequence[str],
) -> Network:
    given = None if weights is None else Path(weights)
    if foreign.is_foreign(model):
        if not inputs:
            raise UsageError(f"{model} needs its inputs; give --input NAME=1x3xHxW for each")
        if size is not None:
            raise UsageError("--size is for models of the zoo; a foreign module takes --input")
        module = foreign.load_factory(model)
        if given is not None:
            load_weights(module, read_weights(given), str(given))
        spec, side = foreign.describe(module, model, [foreign.parse_input(i) for i in inputs])
        return Network(module, spec, side, given)
    if inputs:
        raise UsageError(f"--input is for foreign modules; {model} takes --size H,W")
    entry = zoo.get(model)
    path = given or entry.weights
    if path is None:
        raise UsageError(f"{entry.name} ships without weights; give --weights, or train it first")
    module = entry.build()
    load_weights(module, read_weights(path), str(path))
    longest = entry.spec.longest or SIDE
    return Network(deployable(module), entry.spec, size or (longest, longest), path)


def _calibration(network: Network, program: Program, source: Path | None) -> list[Sample]:
    height, width = network.size
    if program.dynamic or len(network.spec.fixed_inputs) == len(network.spec.inputs):
        step = network.spec.multiple
        height, width = (max(step, min(s, CALIBRATION_SIDE) // step * step) for s in network.size)
    frames = len(network.spec.frames)
    photographs = samples(frames, source, (height, width), seed=1)
    if network.spec.residual is not None:  # where features saturate, the picture itself remains
        return photographs
    return [*photographs, *extremes(frames, (height, width))]


def _pictures(network: Network, source: Path | None) -> list[Sample]:
    return samples(len(network.spec.frames), source, network.size, seed=0)


def _programs(
    spec: ModelSpec, program: Program, precisions: Sequence[str], pictures: Sequence[Sample]
) -> dict[str, Program]:
    programs = {"fp32": program}
    if "fp16" in precisions:
        programs["fp16"] = half(program)
    if "int8" in precisions:
        fed = track(pictures, "Calibrating")
        programs["int8"] = quantize(program, _network_inputs(spec, fed))
    return programs


def _network_inputs(
    spec: ModelSpec, pictures: Sequence[Sample] | Iterator[Sample]
) -> Iterator[dict[str, np.ndarray]]:
    return (front(spec, sample.frames, sample.ev) for sample in pictures)


def _save_programs(programs: Mapping[str, Program], staging: Path) -> dict[str, str]:
    files = {}
    for precision, name in (("fp32", "reference.pt2"), ("int8", "quantized.pt2")):
        if precision in programs:
            with bundles.writing(staging / name):
                torch.export.save(programs[precision].exported, staging / name)
            files[name] = bundles.digest(staging / name)
    return files


def _gates(
    spec: ModelSpec, precisions: Sequence[str], overrides: Sequence[Gate]
) -> dict[str, tuple[Gate, ...]]:
    replaced = {(gate.metric, gate.reference) for gate in overrides}
    return {
        precision: (
            *(
                gate
                for gate in default_gates(precision, residual=spec.residual is not None)
                if (gate.metric, gate.reference) not in replaced
            ),
            *overrides,
        )
        for precision in precisions
    }


def _record_golden(staging: Path, manifest: Manifest, pictures: Sequence[Sample]) -> dict[str, str]:
    """Reference outputs on a few crops, for hosts that cannot run the reference."""
    device = choose_device("auto")
    run = ProgramReference(Bundle(staging, manifest), "reference.pt2", device)
    crops = {
        sample.name: front(manifest.model, [_crop(f, manifest) for f in sample.frames], sample.ev)
        for sample in pictures[:GOLDEN_PICTURES]
    }
    outputs = {name: run(inputs) for name, inputs in crops.items()}
    return record_golden(staging, crops, outputs, describe(device))


def _crop(frame: np.ndarray, manifest: Manifest) -> np.ndarray:
    """The middle of a frame, or all of it where an artefact does not take the crop whole."""
    whole = (fits_whole(CALIBRATION_SIDE, CALIBRATION_SIDE, a.sizes) for a in manifest.artifacts)
    if manifest.model.halo is None and (
        CALIBRATION_SIDE % manifest.model.multiple or not all(whole)
    ):
        return frame
    top, left = (max(0, (side - CALIBRATION_SIDE) // 2) for side in frame.shape[:2])
    return frame[top : top + CALIBRATION_SIDE, left : left + CALIBRATION_SIDE]


def _verify(staging: Path, manifest: Manifest, pictures: Sequence[Sample]) -> None:
    """Run the parity lab on the staged bundle and write what it found into the manifest."""
    report = check_parity(Bundle(staging, manifest), samples=pictures)
    golden = _record_golden(staging, manifest, pictures)
    write_report(report, staging / REPORT)
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
    files = {**manifest.files, **golden, REPORT: bundles.digest(staging / REPORT)}
    bundles.write_manifest(
        staging,
        dataclasses.replace(
            manifest,
            artifacts=judged,
            files=files,
            noise_floor=report.noise_floor,
            parity=report.to_dict(),
        ),
    )
