"""The parity check: every artefact of a bundle against the reference, on pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from edgeexpo.artifact import Artifact, Bundle
from edgeexpo.errors import EngineError, MissingDependencyError, UsageError
from edgeexpo.imaging.guided import encode
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.cases import PHOTOGRAPH, Case, golden_cases, noise_floor, program_cases, seen
from edgeexpo.parity.isolation import open_engine
from edgeexpo.parity.metrics import BEST_PSNR, measure, psnr
from edgeexpo.parity.reference import choose_device
from edgeexpo.parity.verdict import ArtifactParity, ParityReport, failed_gates, statistics
from edgeexpo.progress import track
from edgeexpo.runtime.engine import Engine
from edgeexpo.runtime.stages import back, gives_picture
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import Gate, ModelSpec


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
        cases, device = golden_cases(opened)
    else:
        integer = any(a.precision == "int8" for a in wanted)
        cases, device = program_cases(opened, choose_device(reference), images, samples, integer)
    floor = noise_floor(cases)
    results = tuple(_check(opened, a, cases, gates, floor) for a in wanted)
    return ParityReport(
        model=opened.manifest.model.name,
        reference=device,
        artifacts=results,
        noise_floor=floor if floor is not None else opened.manifest.noise_floor,
        agreement=_agreement(results),
        cases=tuple(cases),
    )


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
        engine = open_engine(artifact.target, path, spec)
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
    found = statistics(rows)
    gates = _gates(bundle, artifact.precision, overrides)
    failed = tuple(failed_gates(gates, found, floor))
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
        yield case.name, seen(spec, output)


def _row(spec: ModelSpec, precision: str, case: Case, output: np.ndarray) -> dict[str, Any]:
    identity = case.inputs[spec.residual] if spec.residual is not None else None
    row: dict[str, Any] = {"name": case.name, "kind": case.kind}
    row |= measure(case.reference, output, identity)
    if precision == "int8" and case.quantized is not None:
        finite = bool(np.isfinite(output).all())
        row["psnr_quantized"] = psnr(case.quantized, output) if finite else 0.0
    return row


def _gates(bundle: Bundle, precision: str, overrides: Sequence[Gate]) -> list[Gate]:
    replaced = {(g.metric, g.reference) for g in overrides}
    kept = bundle.manifest.recipe.gates.get(precision, ())
    return [g for g in kept if (g.metric, g.reference) not in replaced] + list(overrides)


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
