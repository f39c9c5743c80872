"""The parity check: it compares every artefact of a bundle with the reference, on pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import (
    EdgeexpoError,
    EngineError,
    HostError,
    MissingDependencyError,
    UsageError,
)
from edgeexpo.failures import described, unforeseen
from edgeexpo.imaging.guided import encode
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.agreement import agreement
from edgeexpo.parity.cases import (
    PHOTOGRAPH,
    Case,
    accepted,
    golden_cases,
    program_cases,
)
from edgeexpo.parity.gates import Gates, gates_of, gates_of_model, overridden
from edgeexpo.parity.isolation import open_lab_engine
from edgeexpo.parity.judgement import judged
from edgeexpo.parity.machines import Machine, opened_machines
from edgeexpo.parity.metrics.explanation import NAMES_IT, explained
from edgeexpo.parity.metrics.pictures import OF_VARIATION, measure_pictures, psnr, tones
from edgeexpo.parity.metrics.relations import seam, tile_borders
from edgeexpo.parity.probe_relations import relations
from edgeexpo.parity.rounding import Rounding
from edgeexpo.parity.saturation import saturation_line, worst_by_layer
from edgeexpo.parity.verdict import (
    ArtifactParity,
    ParityReport,
    failed_gates,
    gate_line,
    statistics,
)
from edgeexpo.processor import cpu_features
from edgeexpo.progress import note, track
from edgeexpo.runtime.engines.base import Engine, promised
from edgeexpo.runtime.network_pictures import displayed
from edgeexpo.runtime.stages import back, gives_picture
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import Gate, ModelSpec
from edgeexpo.targets import Runner

FLAT = 1 / 255
"""Range of values, over all channels, within which a network's inputs are constant frames."""


def check_parity(
    bundle: Bundle | str | os.PathLike[str],
    *,
    reference: str = "auto",
    images: str | os.PathLike[str] | None = None,
    samples: Sequence[Sample] | None = None,
    target: str | None = None,
    precision: str | None = None,
    engine: str | None = None,
    gates: Gates = (),
    on: Sequence[str] = (),
) -> ParityReport:
    """Compare every artefact of ``bundle`` with the reference, on photographs and probes.

    Args:
        bundle: A bundle or its folder.
        reference: ``cuda``, ``mps``, ``xpu``, ``cpu``, ``auto`` (the accelerator when there is one)
            or ``golden``.
        images: Folder of photographs or brackets; the embedded photographs by default.
        samples: Frames to use instead of ``images``.
        target: Only artefacts of this target.
        precision: Only artefacts of this precision.
        engine: Name of an engine that runs the artefacts instead of the target's own, such as
            ``openvino``. Artefacts that it does not run are left out.
        gates: Bounds that replace those of the manifest on the same metric and kind of picture,
            such as ``"psnr>=45"``.
        on: Addresses of machines that run the artefacts instead of this one, such as
            ``ssh://pi@camera``. The word ``here`` stands for this machine. The report has every
            artefact once for each of them.

    Returns:
        The report; it is false when an artefact failed.

    Raises:
        BundleError: A file is missing or was changed, or no artefact matches.
        UsageError: The images cannot be used, or the reference or the engine is unknown.
        MissingDependencyError: The reference's device, or the embedded photographs, are missing.
        HostError: A machine of ``on`` cannot be reached, or lacks what is needed. A machine that is
            lost later leaves its artefacts unverified.

    Example:
        >>> report = edgeexpo.check_parity(bundle, images=photographs, gates="psnr>=80")
        >>> report.passed
        True
        >>> [artifact.file for artifact in report.artifacts]
        ['Sequential.fp32.onnx']
    """
    bounds = gates_of(gates)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    runner, wanted = _wanted(opened, target, precision, engine)
    with opened_machines(on) as machines:
        return _checked(opened, wanted, runner, machines, reference, images, samples, bounds)


def _checked(
    opened: Bundle,
    wanted: Sequence[Artifact],
    runner: Runner | None,
    machines: Sequence[Machine | None],
    reference: str,
    images: str | os.PathLike[str] | None,
    samples: Sequence[Sample] | None,
    bounds: Sequence[Gate],
) -> ParityReport:
    if reference == "golden":
        if images is not None or samples is not None:
            raise UsageError("`reference='golden'` has its own pictures; leave `images` out")
        cases, device = golden_cases(opened)
        rounding = Rounding(cases)
    else:
        from edgeexpo.parity.reference import choose_device  # imports torch

        integer = any(a.precision == "int8" for a in wanted)
        cases, device = program_cases(opened, choose_device(reference), images, samples, integer)
        rounding = Rounding(cases, opened)
    with ThreadPoolExecutor(1) as judge:  # one artefact is judged while the next one runs
        futures = [
            judge.submit(
                _judged,
                opened,
                artifact,
                _run(opened, artifact, cases, runner, machine),
                bounds,
                rounding,
            )
            for machine in machines
            for artifact in wanted
        ]
        results = tuple(future.result() for future in futures)
    saturation = worst_by_layer(entry for case in cases for entry in case.saturation)
    photographs = worst_by_layer(
        entry for case in cases if case.kind == PHOTOGRAPH for entry in case.saturation
    )
    if line := saturation_line(photographs, opened.manifest.sources):
        note(f"edgeexpo: {line}; calibrate on such pictures, or by variants or training (quantize)")
    return ParityReport(
        model=opened.manifest.model.name,
        reference=device,
        artifacts=results,
        noise_floor=opened.manifest.noise_floor if rounding.floor is None else rounding.floor,
        agreement=agreement(results),
        cases=tuple(cases),
        saturation=saturation,
    )


def _wanted(
    bundle: Bundle, target: str | None, precision: str | None, engine: str | None
) -> tuple[Runner | None, list[Artifact]]:
    """Return the engine, and the artefacts that it runs in the order of the manifest."""
    runner = None
    if engine is None:
        chosen = bundle.by_preference(target, precision)
    else:
        runner, chosen = bundle.for_engine(engine, target, precision)
    return runner, [a for a in bundle.manifest.artifacts if a in chosen]


def check_artifact(
    bundle: Bundle,
    artifact: Artifact,
    cases: Sequence[Case],
    overrides: Sequence[Gate],
    rounding: Rounding,
) -> ArtifactParity:
    """Run one artefact in its own process and judge it.

    Args:
        bundle: The bundle of the artefact.
        artifact: One of the bundle's artefacts.
        cases: Pictures with their references, of :func:`edgeexpo.parity.cases.program_cases` or
            ``golden_cases``.
        overrides: Bounds that replace those of the manifest.
        rounding: What rounding explains in the bundle's artefacts on ``cases``.

    Raises:
        BundleError: The artefact's file is missing or was changed.
    """
    return _judged(bundle, artifact, _run(bundle, artifact, cases), overrides, rounding)


@dataclass(frozen=True)
class _Run:
    """The outputs of an artefact for the cases that it accepts, or the error that prevented them.

    ``blank`` holds the part of the verdict that is known before any judging. ``lost`` is true if
    the machine was lost during the run.
    """

    blank: ArtifactParity
    cases: Sequence[Case]
    outputs: Mapping[str, np.ndarray] | None = None
    lost: bool = False


def _run(
    bundle: Bundle,
    artifact: Artifact,
    cases: Sequence[Case],
    runner: Runner | None = None,
    machine: Machine | None = None,
) -> _Run:
    """Run an artefact on this machine or another one, whose facts are then in the result."""
    spec = bundle.manifest.model
    precision = runner.precision_of(artifact.precision) if runner else artifact.precision
    blank = ArtifactParity(artifact.file, artifact.target, precision, "unverified")
    found = _ran(bundle, artifact, blank, accepted(artifact, spec, cases), runner, machine)
    if machine is None:
        return found
    named = dataclasses.replace(found.blank, host=machine.described(found.lost))
    return dataclasses.replace(found, blank=named)


def _ran(
    bundle: Bundle,
    artifact: Artifact,
    blank: ArtifactParity,
    cases: Sequence[Case],
    runner: Runner | None,
    machine: Machine | None,
) -> _Run:
    spec, path = bundle.manifest.model, bundle.file(artifact.file)
    features = cpu_features() if machine is None else machine.features
    if runner is not None and (lacking := runner.lacks(artifact.precision, features)):
        return _Run(dataclasses.replace(blank, error=lacking), cases)
    try:
        engine = _opened(artifact, path, spec, runner, machine)
    except (MissingDependencyError, HostError) as error:
        unknown = dataclasses.replace(blank, error=str(error))
        return _Run(unknown, cases, lost=isinstance(error, HostError))
    except EngineError as error:
        return _Run(dataclasses.replace(blank, status="failed", error=str(error)), cases)
    blank = dataclasses.replace(blank, verified_by=engine.name)
    try:
        return _Run(blank, cases, dict(_outputs(engine, artifact, spec, cases)))
    except HostError as error:  # no verdict: the machine is to blame, not the artefact
        return _Run(dataclasses.replace(blank, error=str(error)), cases, lost=True)
    except EngineError as error:
        return _Run(dataclasses.replace(blank, status="failed", error=str(error)), cases)
    except EdgeexpoError:
        raise
    except Exception as error:  # noqa: BLE001 - outputs that nothing foresaw may break anything
        return _Run(_unforeseen(blank, error, "running"), cases)
    finally:
        engine.close()


def _opened(
    artifact: Artifact,
    path: Path,
    spec: ModelSpec,
    runner: Runner | None,
    machine: Machine | None,
) -> Engine:
    if machine is not None:
        return machine.open(artifact.target, path, spec, runner)
    if runner is None:
        return open_lab_engine(artifact.target, path, spec)
    return open_lab_engine(artifact.target, path, spec, runner=runner)


def _judged(
    bundle: Bundle, artifact: Artifact, run: _Run, overrides: Sequence[Gate], rounding: Rounding
) -> ArtifactParity:
    if run.outputs is None:
        return run.blank
    try:
        return _verdict(bundle, artifact, run, run.outputs, overrides, rounding)
    except EdgeexpoError:
        raise
    except Exception as error:  # noqa: BLE001 - outputs that nothing foresaw may break anything
        return _unforeseen(run.blank, error, "judging")


def _unforeseen(blank: ArtifactParity, error: Exception, doing: str) -> ArtifactParity:
    """Return the verdict for an artefact whose check failed by an exception of a library."""
    note(f"edgeexpo: {doing} {blank.file} failed; {unforeseen(error, f'{doing} {blank.file}')}")
    return dataclasses.replace(
        blank, status="failed", error=f"{doing} failed: {described(error)}; report this"
    )


def _verdict(
    bundle: Bundle,
    artifact: Artifact,
    run: _Run,
    outputs: Mapping[str, np.ndarray],
    overrides: Sequence[Gate],
    rounding: Rounding,
) -> ArtifactParity:
    spec, cases = bundle.manifest.model, run.cases
    rows = rows_of(spec, artifact, cases, outputs)
    found = statistics(rows)
    gates = overridden(_gates(bundle, artifact, run.blank.precision), overrides)
    judgements = list(judged(gates, found, rounding, rows))
    failed = tuple(failed_gates(judgements, rows, naming(cases, outputs)))
    explained = tuple(gate_line(j, rows) for j in judgements if j.explained)
    if explained:
        note(f"edgeexpo: {artifact.file} differs by what rounding explains: {'; '.join(explained)}")
    return dataclasses.replace(
        run.blank,
        status="failed" if failed else "verified",
        error="; ".join(failed) or None,
        failed_gates=failed,
        explained_gates=explained,
        worst=found["worst"],
        worst_probe=found["worst_probe"],
        total=found["total"],
        per_input=tuple(rows),
        psnr_picture=_picture_psnr(spec, cases, outputs),
        outputs=outputs,
    )


def _gates(bundle: Bundle, artifact: Artifact, computed: str) -> Sequence[Gate]:
    """Return the gates of the bundle, or those of a precision that only the engine computes in."""
    if computed == artifact.precision:
        return bundle.manifest.recipe.gates.get(computed, ())
    return gates_of_model(computed, bundle.manifest.model)


def _outputs(
    engine: Engine, artifact: Artifact, spec: ModelSpec, cases: Sequence[Case]
) -> Iterator[tuple[str, np.ndarray]]:
    name = spec.outputs[0].name
    for case in track(cases, f"Checking {artifact.file}"):
        output = run_tiled(
            lambda x: promised(engine.run(x), spec, x)[name],
            case.inputs,
            spec.footprint,
            artifact.sizes,
            spec.fixed_inputs,
        )
        yield case.name, displayed(spec, output)


def naming(
    cases: Sequence[Case], outputs: Mapping[str, np.ndarray]
) -> Callable[[str, str, float], bool]:
    """Return a function that tells whether a metric's value explains the error of a picture.

    Its arguments are the metric's name, the picture's name and the value.
    """
    references = {case.name: case.reference for case in cases}

    def names(metric: str, picture: str, value: float) -> bool:
        candidate = outputs[picture]
        if not np.isfinite(candidate).all():
            return True
        return explained(metric, references[picture], candidate, value) >= NAMES_IT

    return names


def rows_of(
    spec: ModelSpec, artifact: Artifact, cases: Sequence[Case], outputs: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Return one row of metrics per case.

    Args:
        spec: The model.
        artifact: The artefact that gave the outputs.
        cases: The pictures with their references.
        outputs: HxWxC float32 by the case's name, as
            :func:`edgeexpo.runtime.network_pictures.displayed` returns them.
    """
    rows = [_row(spec, artifact, case, outputs[case.name]) for case in cases]
    generated = {c.name: c for c in cases if c.kind != PHOTOGRAPH}
    between = relations(
        {name: case.reference for name, case in generated.items()},
        {name: outputs[name] for name in generated},
        {
            name: frame
            for name, case in generated.items()
            if (frame := _frame(spec, case)) is not None
        },
    )
    return [
        row | between.get(row["name"], {}) if row["kind"] != PHOTOGRAPH else row for row in rows
    ]


def _row(spec: ModelSpec, artifact: Artifact, case: Case, output: np.ndarray) -> dict[str, Any]:
    identity = case.inputs[spec.residual] if spec.residual is not None else None
    row: dict[str, Any] = {"name": case.name, "kind": case.kind}
    row |= measure_pictures(
        case.reference, output, identity, hdr=spec.kind == "hdr", codes=spec.takes_frames
    )
    finite = bool(np.isfinite(output).all())
    if all(np.ptp(value) < FLAT for value in case.inputs.values()):
        row = {name: value for name, value in row.items() if name not in OF_VARIATION}
    borders = tile_borders(output.shape, spec, artifact.sizes)
    if finite and any(borders):
        row["seam"] = seam(case.reference, output, *borders)
    own = {"int8": case.quantized, "a16w8": case.weights}.get(artifact.precision)
    if own is not None:
        row["psnr_quantized"] = psnr(own, output) if finite else 0.0
        changes = tones(own, output) if finite else {}
        row |= {f"{name}_quantized": value for name, value in changes.items()}
    return row


def _frame(spec: ModelSpec, case: Case) -> np.ndarray | None:
    """Return the network's first input if it is a picture of the output's kind and size."""
    tensor, output = spec.inputs[0], spec.outputs[0]
    same = (tensor.color, tensor.transfer, tensor.channels) == (
        output.color,
        output.transfer,
        output.channels,
    )
    frame = displayed(spec, case.inputs[tensor.name])
    return frame if same and frame.shape == case.reference.shape else None


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
