"""One candidate of a search: lowered, run and timed on its engine, and kept by its content."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.export.lowering import lower
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.metrics.pictures import measure_pictures, worst
from edgeexpo.program.capture import Program
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.base import open_engine
from edgeexpo.runtime.network_pictures import displayed, network_inputs
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import ModelSpec, from_json, to_json
from edgeexpo.workflows.calibration_pictures import calibration_samples
from edgeexpo.workflows.export import tool_versions
from edgeexpo.workflows.network_tensors import displayed_output, sample_tensors
from edgeexpo.workflows.networks import Network, state_digest
from edgeexpo.workflows.sensitivity import measure_layers as measure_layers
from edgeexpo.writing import write_file, writing

Keep = tuple[str, ...] | None
"""Operators that stay in float; ``None`` for the INT8 weights that ship."""

RESULT = "candidate.json"
ORDER = "order.json"


@dataclass(frozen=True)
class Timing:
    """Median and 90th percentile of a run's latency, ms."""

    p50: float
    p90: float


Timer = Callable[[ModelSpec, Sequence[tuple[Artifact, Path]], tuple[int, int]], list[Timing]]
"""Times artefacts that take turns, each in a process of its own, at a (height, width)."""


@dataclass(frozen=True)
class Candidate:
    """A recipe with what was measured of it.

    Attributes:
        key: Its place in the cache.
        variant: Which weights.
        keep_float: See :data:`Keep`.
        artifact: What was lowered.
        worst: Worst value over the photographs of every metric, against the unpruned float network.
        psnr_mean: Mean PSNR in dB.
        timing: Latency when it was made.
    """

    key: str
    variant: str
    keep_float: Keep
    artifact: Artifact
    worst: Mapping[str, float]
    psnr_mean: float
    timing: Timing

    @property
    def label(self) -> str:
        """What a person calls it."""
        if self.keep_float is None:
            return f"{self.variant}, trained INT8"
        return f"{self.variant}, float: {', '.join(self.keep_float) or 'none'}"


class WeightSet:
    """One set of weights: captured when first needed.

    Args:
        label: What a person calls it.
        network: With its weights.
        prune: As for :func:`edgeexpo.export_bundle`.
    """

    def __init__(self, label: str, network: Network, prune: float | None = None) -> None:
        self.label = label
        self.network = network
        self.prune = prune

    @cached_property
    def program(self) -> Program:
        """The float program."""
        return self.network.capture()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names and values of all weights, and the operators outside the zoo."""
        state = state_digest(self.network.module)
        if self.network.preset is not None:
            return state
        operators = str(self.program.exported.graph)
        return hashlib.sha256(f"{state}\n{operators}".encode()).hexdigest()


@dataclass(frozen=True)
class Bench:
    """What all candidates of a search share.

    Attributes:
        target: Of :data:`edgeexpo.targets.TARGETS`.
        cache: Folder of finished candidates.
        calibration: Folder that ranges are taken from; ``None``: the embedded photographs.
        images: Folder of the photographs, for layers; ``None``: the embedded ones.
        shown: The photographs.
        reference: The unpruned float network.
        timer: Measures latency.
        place: What latency depends on besides the candidate: processor, threads.
    """

    target: str
    cache: Path
    calibration: Path | None
    images: Path | None
    shown: Sequence[Sample]
    reference: WeightSet
    timer: Timer
    place: str

    @cached_property
    def expected(self) -> list[np.ndarray]:
        """The unpruned float network's pictures."""
        network = self.reference.network
        spec, found = network.spec, []
        for inputs in sample_tensors(spec, self.shown):
            with torch.no_grad():
                found.append(displayed_output(spec, network.module(*inputs)))
        return found

    def key(self, variant: WeightSet, **facts: Any) -> str:
        """Digest of all that a result depends on."""
        everything = {
            "weights": variant.digest,
            "size": variant.network.size,
            "tools": tool_versions([self.target]),
            "pictures": self._pictures,
            "calibration": None if self.calibration is None else _names(self.calibration),
            **facts,
        }
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:24]

    @cached_property
    def _pictures(self) -> str:
        found = hashlib.sha256()
        for sample in self.shown:
            for frame in sample.frames:
                found.update(f"{sample.name} {frame.shape}\n".encode())
                found.update(np.ascontiguousarray(frame).tobytes())
        return found.hexdigest()


def layers(bench: Bench, variant: WeightSet) -> list[str]:
    """Operators of a variant, first those whose picture gains most when they stay in float."""
    path = bench.cache / bench.key(variant, what="layers") / ORDER
    if path.is_file():
        return [str(name) for name in json.loads(path.read_text("utf-8"))]
    rows = measure_layers(variant.network, bench.calibration, bench.images).layers
    gains = sorted(rows, key=lambda row: row.sensitivity.spared.worst, reverse=True)
    names = [row.sensitivity.operator.name for row in gains]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(names).encode())
    return names


def candidate(bench: Bench, variant: WeightSet, keep: Keep) -> tuple[Candidate, bool]:
    """The candidate, and whether it was in the cache.

    Raises:
        ExportError: It cannot be lowered.
        EngineError: The engine fails on it.
        OutputError: The cache cannot be written.
    """
    int8 = variant.network.int8
    key = bench.key(
        variant,
        target=bench.target,
        keep=None if keep is None else sorted(keep),
        int8=digest(int8) if keep is None and int8 is not None else None,
        reference=bench.reference.digest,
        place=bench.place,
    )
    folder = bench.cache / key
    found = _read(folder)
    if found is not None:
        return found, True
    partial = bench.cache / f"{key}.partial"
    with writing(folder):
        for path in (partial, folder):
            shutil.rmtree(path, ignore_errors=True)
        partial.mkdir(parents=True)
    made = _made(bench, variant, keep, key, partial)
    write_file(partial / RESULT, json.dumps(to_json(made)).encode())
    with writing(folder):
        partial.rename(folder)
    return made, False


def path_of(bench: Bench, made: Candidate) -> Path:
    """Its artefact."""
    return bench.cache / made.key / made.artifact.file


def _read(folder: Path) -> Candidate | None:
    """A finished candidate whose artefact is as it was."""
    try:
        found = from_json(Candidate, json.loads((folder / RESULT).read_text("utf-8")))
        whole = digest(folder / found.artifact.file) == found.artifact.sha256
    except (OSError, ValueError, TypeError):
        return None
    return found if whole else None


def _made(bench: Bench, variant: WeightSet, keep: Keep, key: str, folder: Path) -> Candidate:
    network, program = variant.network, variant.program
    if keep is None:
        assert network.int8 is not None
        integer = int8_weights.quantized_by(program, int8_weights.read_int8_weights(network.int8))
    else:
        pictures = calibration_samples(network, program, bench.calibration)
        integer = quantize_program(program, network_inputs(network.spec, pictures), frozenset(keep))
    artifact = lower(integer, bench.target, network.spec.name, folder)
    rows = _rows(bench, artifact, folder / artifact.file)
    (timing,) = bench.timer(network.spec, [(artifact, folder / artifact.file)], network.size)
    mean = sum(row["psnr"] for row in rows) / len(rows)
    return Candidate(key, variant.label, keep, artifact, worst(rows), mean, timing)


def _rows(bench: Bench, artifact: Artifact, path: Path) -> list[dict[str, float]]:
    """Metrics of the artefact's pictures against the float ones."""
    spec = bench.reference.network.spec
    engine = open_engine(bench.target, path, spec)
    name = spec.outputs[0].name

    def run(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return engine.run(arrays)[name]

    rows = []
    try:
        shown = network_inputs(spec, bench.shown)
        for inputs, expected in zip(shown, bench.expected, strict=True):
            output = run_tiled(run, inputs, spec.halo, artifact.sizes, spec.fixed_inputs)
            identity = inputs[spec.residual] if spec.residual is not None else None
            rows.append(measure_pictures(expected, displayed(spec, output), identity))
    finally:
        engine.close()
    return rows


def _names(folder: Path) -> list[str]:
    """Every file of a folder with its digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [f"{path.relative_to(folder).as_posix()} {digest(path)}" for path in files]
