"""The parity check: every artefact of a bundle against the reference, on pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.artifact import Artifact, Bundle
from edgeexpo.errors import EngineError, MissingDependencyError, UsageError
from edgeexpo.imaging.guided import decode, encode
from edgeexpo.imaging.samples import Sample
from edgeexpo.imaging.samples import samples as pictures
from edgeexpo.parity.metrics import BEST_PSNR, measure, psnr, total_correction_snr, worst
from edgeexpo.parity.mil import MilEngine
from edgeexpo.parity.probes import SIDE, probes
from edgeexpo.parity.reference import (
    Device,
    ProgramReference,
    choose_device,
    describe,
    read_golden,
)
from edgeexpo.progress import track
from edgeexpo.runtime.engine import Engine, open_engine
from edgeexpo.runtime.stages import back, front, gives_picture
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import Gate, ModelSpec

PHOTOGRAPH, PROBE = "photograph", "probe"


@dataclass(frozen=True)
class Case:
    """One set of network inputs with the outputs that artefacts are compared with.

    Attributes:
        name: Name of the photograph or probe.
        kind: ``photograph`` or ``probe``.
        inputs: HxWxC float32 by input name.
        reference: Output of the float program, HxWxC float32; Lab as the RGB that it stands for.
        quantized: Output of the quantised program in torch, likewise; ``None`` without one.
        sample: The frames; ``None`` for golden cases, which keep the network's inputs only.
    """

    name: str
    kind: str
    inputs: Mapping[str, np.ndarray]
    reference: np.ndarray
    quantized: np.ndarray | None = None
    sample: Sample | None = None


@dataclass(frozen=True)
class ArtifactParity:
    """How one artefact compares with the reference; false when it did not pass.

    Attributes:
        worst: Worst value of every metric over photographs; ``psnr_quantized`` is against the
            quantised program.
        worst_probe: The same over probes.
        total: ``correction_snr`` over all photographs together, for residual networks.
        per_input: One row of metrics per picture.
        psnr_picture: PSNR in dB of the final pictures (front stage, network, back stage) for the
            first photograph.
        outputs: The artefact's output per photograph, for reports; not part of the record.
    """

    file: str
    target: str
    precision: str
    status: str
    verified_by: str | None = None
    error: str | None = None
    failed_gates: tuple[str, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict)
    worst_probe: Mapping[str, float] = field(default_factory=dict)
    total: Mapping[str, float] = field(default_factory=dict)
    per_input: tuple[Mapping[str, Any], ...] = ()
    psnr_picture: float | None = None
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.status == "verified"


@dataclass(frozen=True)
class ParityReport:
    """The verdict over a bundle; false in a boolean context when an artefact failed."""

    model: str
    reference: Device
    artifacts: tuple[ArtifactParity, ...]
    noise_floor: float | None
    agreement: tuple[Mapping[str, Any], ...]
    cases: tuple[Case, ...] = field(default=(), repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """True when no artefact failed a gate."""
        return all(a.status != "failed" for a in self.artifacts)

    def __bool__(self) -> bool:
        return self.passed

    def to_dict(self) -> dict[str, Any]:
        """The record that the manifest keeps and ``parity --json`` prints."""
        return {
            "passed": self.passed,
            "model": self.model,
            "reference": vars(self.reference),
            "noise_floor": self.noise_floor,
            "agreement": [dict(a) for a in self.agreement],
            "artifacts": [
                {
                    "file": a.file,
                    "target": a.target,
                    "precision": a.precision,
                    "passed": bool(a),
                    "status": a.status,
                    "verified_by": a.verified_by,
                    "error": a.error,
                    "failed_gates": list(a.failed_gates),
                    "worst": dict(a.worst),
                    "worst_probe": dict(a.worst_probe),
                    "total": dict(a.total),
                    "psnr_picture": a.psnr_picture,
                    "per_input": [dict(row) for row in a.per_input],
                }
                for a in self.artifacts
            ],
        }


def check_parity(
    bundle: Bundle | str | os.PathLike[str],
    *,
    reference: str = "auto",
    images: str | os.PathLike[str] | None = None,
    samples: Sequence[Sample] | None = None,
    target: str | None = None,
    precision: str | None = None,
    gates: Sequence[Gate] = (),
) -> ParityReport:
    """Compare every artefact of ``bundle`` with the reference, on photographs and probes.

    Args:
        bundle: A bundle or its folder.
        reference: ``cuda``, ``cpu``, ``auto`` (CUDA when there is one) or ``golden``.
        images: Folder of photographs or brackets; the embedded photographs by default.
        samples: Frames to use instead of ``images``.
        target: Only artefacts of this target.
        precision: Only artefacts of this precision.
        gates: Bounds that replace those of the manifest with the same metric.

    Raises:
        BundleError: A file is missing or was changed, or no artefact matches.
        UsageError: The images cannot be used.
        MissingDependencyError: The reference's device, or the embedded photographs, are missing.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    chosen = opened.by_preference(target, precision)
    wanted = [a for a in opened.manifest.artifacts if a in chosen]
    if reference == "golden":
        if images is not None or samples is not None:
            raise UsageError("--reference golden has its own pictures; leave --images out")
        cases, device = _golden_cases(opened)
    else:
        integer = any(a.precision == "int8" for a in wanted)
        cases, device = _cases(opened, choose_device(reference), images, samples, integer)
    floor = _noise_floor(cases)
    results = tuple(_check(opened, a, cases, gates, floor) for a in wanted)
    return ParityReport(
        model=opened.manifest.model.name,
        reference=device,
        artifacts=results,
        noise_floor=floor if floor is not None else opened.manifest.noise_floor,
        agreement=_agreement(results),
        cases=tuple(cases),
    )


def _cases(
    bundle: Bundle,
    device: str,
    images: str | os.PathLike[str] | None,
    samples: Sequence[Sample] | None,
    integer: bool,
) -> tuple[list[Case], Device]:
    spec, recipe = bundle.manifest.model, bundle.manifest.recipe
    frames = len(spec.frames)
    if samples is None:
        samples = pictures(frames, None if images is None else Path(images), recipe.size)
    if spec.halo is not None:
        generated = probes(frames, SIDE)
    else:
        generated = [_cropped(probe, recipe.size) for probe in probes(frames, max(recipe.size))]
    work = [(PHOTOGRAPH, s) for s in samples] + [(PROBE, s) for s in generated]
    run = ProgramReference(bundle, "reference.pt2", device)
    quantized = None
    if integer and "quantized.pt2" in bundle.manifest.files:
        quantized = ProgramReference(bundle, "quantized.pt2", "cpu")
    cases = []
    for kind, sample in track(work, "Reference pictures"):
        inputs = front(spec, sample.frames, sample.ev)
        expected = _rgb(spec, run(inputs))
        expected_integer = None if quantized is None else _rgb(spec, quantized(inputs))
        cases.append(Case(sample.name, kind, inputs, expected, expected_integer, sample))
    return cases, describe(device)


def _golden_cases(bundle: Bundle) -> tuple[list[Case], Device]:
    inputs, outputs, device = read_golden(bundle)
    spec = bundle.manifest.model
    cases = [
        Case(name, PHOTOGRAPH, inputs[name], _rgb(spec, outputs[name])) for name in sorted(outputs)
    ]
    return cases, device


def _cropped(probe: Sample, size: tuple[int, int]) -> Sample:
    frames = tuple(frame[: size[0], : size[1]] for frame in probe.frames)
    return dataclasses.replace(probe, frames=frames)


def _rgb(spec: ModelSpec, output: np.ndarray) -> np.ndarray:
    """Lab outputs as sRGB-encoded RGB, in which pictures are judged; others as they are."""
    return decode(output, "lab") if spec.outputs[0].color == "Lab" else output


def _noise_floor(cases: Sequence[Case]) -> float | None:
    """Worst PSNR of the quantised program against the float program over the photographs."""
    found = [
        psnr(c.reference, c.quantized)
        for c in cases
        if c.kind == PHOTOGRAPH and c.quantized is not None
    ]
    return min(found) if found else None


def _check(
    bundle: Bundle,
    artifact: Artifact,
    cases: Sequence[Case],
    overrides: Sequence[Gate],
    floor: float | None,
) -> ArtifactParity:
    spec = bundle.manifest.model
    blank = ArtifactParity(artifact.file, artifact.target, artifact.precision, "unverified")
    path = bundle.file(artifact.file)
    try:
        engine = _open(artifact, path, spec)
    except MissingDependencyError as error:
        return dataclasses.replace(blank, error=str(error))
    except EngineError as error:
        return dataclasses.replace(blank, status="failed", error=str(error))
    blank = dataclasses.replace(blank, verified_by=engine.name)
    try:
        outputs = dict(_outputs(engine, artifact, spec, cases))
    except EngineError as error:
        return dataclasses.replace(blank, status="failed", error=str(error))
    finally:
        engine.close()
    rows = [_row(spec, artifact.precision, case, outputs[case.name]) for case in cases]
    found = _statistics(rows)
    gates = _gates(bundle, artifact.precision, overrides)
    failed = tuple(_failed(gates, found, floor))
    return dataclasses.replace(
        blank,
        status="failed" if failed else "verified",
        error="; ".join(failed) or None,
        failed_gates=failed,
        worst=found["worst"],
        worst_probe=found["worst_probe"],
        total=found["total"],
        per_input=tuple(rows),
        psnr_picture=_picture_psnr(spec, cases, outputs),
        outputs={c.name: outputs[c.name] for c in cases if c.kind == PHOTOGRAPH},
    )


def _open(artifact: Artifact, path: Path, spec: ModelSpec) -> Engine:
    import sys

    if artifact.target == "coreml" and sys.platform != "darwin":
        engine: Engine = MilEngine(spec)
        engine.load(path)
        return engine
    return open_engine(artifact.target, path, spec)


def _outputs(
    engine: Engine, artifact: Artifact, spec: ModelSpec, cases: Sequence[Case]
) -> Iterator[tuple[str, np.ndarray]]:
    name = spec.outputs[0].name
    for case in track(cases, f"Checking {artifact.file}"):
        output = run_tiled(
            lambda x: engine.run(x)[name],
            case.inputs,
            spec.halo,
            artifact.sizes,
            spec.fixed_inputs,
        )
        yield case.name, _rgb(spec, output)


def _row(spec: ModelSpec, precision: str, case: Case, output: np.ndarray) -> dict[str, Any]:
    identity = case.inputs[spec.residual] if spec.residual is not None else None
    row: dict[str, Any] = {"name": case.name, "kind": case.kind}
    row |= measure(case.reference, output, identity)
    if precision == "int8" and case.quantized is not None:
        finite = bool(np.isfinite(output).all())
        row["psnr_quantized"] = psnr(case.quantized, output) if finite else 0.0
    return row


def _statistics(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Metrics by statistic, under the names that gates use."""
    photographs, generated = (
        [
            {k: v for k, v in row.items() if isinstance(v, float)}
            for row in rows
            if row["kind"] == kind
        ]
        for kind in (PHOTOGRAPH, PROBE)
    )
    total = total_correction_snr(photographs)
    return {
        "worst": worst(photographs),
        "worst_probe": worst(generated),
        "total": {} if total is None else {"correction_snr": total},
    }


def _gates(bundle: Bundle, precision: str, overrides: Sequence[Gate]) -> list[Gate]:
    replaced = {(g.metric, g.reference) for g in overrides}
    kept = bundle.manifest.recipe.gates.get(precision, ())
    return [g for g in kept if (g.metric, g.reference) not in replaced] + list(overrides)


def _failed(
    gates: Sequence[Gate], statistics: Mapping[str, Mapping[str, float]], floor: float | None
) -> Iterator[str]:
    where = {"worst": "", "worst_probe": " on a probe", "total": " over all photographs"}
    for gate in gates:
        metric = gate.metric
        if gate.reference == "quantized":
            if floor is None:
                continue
            gate = dataclasses.replace(gate, bound=max(gate.bound, floor))
            metric = f"{metric}_quantized"
        value = statistics[gate.statistic].get(metric)
        if value is not None and not gate.holds(value):
            yield f"{gate}{where[gate.statistic]}, found {value:.4g}"


def _picture_psnr(
    spec: ModelSpec, cases: Sequence[Case], outputs: Mapping[str, np.ndarray]
) -> float | None:
    case = next((c for c in cases if c.kind == PHOTOGRAPH and c.sample is not None), None)
    if case is None or case.sample is None or not gives_picture(spec):
        return None
    if not np.isfinite(outputs[case.name]).all():
        return 0.0
    pair = (case.reference, outputs[case.name])
    if spec.outputs[0].color == "Lab":
        pair = (encode(pair[0], "lab"), encode(pair[1], "lab"))
    final = [back(spec, output, case.sample.frames) for output in pair]
    return psnr(final[0], final[1])


def _agreement(results: Sequence[ArtifactParity]) -> tuple[Mapping[str, Any], ...]:
    """Worst PSNR over photographs between artefacts of one precision and different targets."""
    rows = []
    for first, second in combinations(results, 2):
        if first.precision != second.precision or not first.outputs or not second.outputs:
            continue
        found = min(
            (psnr(first.outputs[name], second.outputs[name]) for name in first.outputs),
            default=BEST_PSNR,
        )
        value = found if np.isfinite(found) else 0.0
        rows.append(
            {"files": [first.file, second.file], "precision": first.precision, "psnr": value}
        )
    return tuple(rows)
