"""Candidates of a search, which are lowered, run and timed on their engine.

The cache keeps each candidate under a digest of all that its result depends on.
"""

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
from edgeexpo.bundle.untrusted import read_json
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
"""Type of the names of operators that stay in float. ``None`` stands for shipped INT8 weights."""

RESULT = "candidate.json"
"""File name of a finished candidate's facts in the cache."""

ORDER = "order.json"
"""File name of the operators in the order in which they move to float."""


@dataclass(frozen=True)
class Timing:
    """The latency of a run.

    Attributes:
        p50: Median in ms.
        p90: 90th percentile in ms.
    """

    p50: float
    p90: float


Timer = Callable[[ModelSpec, Sequence[tuple[Artifact, Path]], tuple[int, int]], list[Timing]]
"""Function that times artefacts at a (height, width) in pixels.

Each artefact runs in its own process. The processes take turns.
"""


@dataclass(frozen=True)
class Candidate:
    """One choice of weights and of operators in float, with its measurements.

    Attributes:
        key: Name of the candidate's folder in the cache.
        variant: Label of the set of weights.
        keep_float: Operators that stay in float (:data:`Keep`).
        artifact: The lowered artefact.
        worst: Worst value over the photographs, by metric, against the unpruned float network.
        psnr_mean: Mean PSNR over the photographs in dB.
        timing: Latency of the artefact at the time when the candidate was made.
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
        """Name of the candidate for people."""
        if self.keep_float is None:
            return f"{self.variant}, trained INT8"
        return f"{self.variant}, float: {', '.join(self.keep_float) or 'none'}"


class WeightSet:
    """One set of weights of the network. Its program is captured when first needed.

    Args:
        label: Name of the set of weights for people.
        network: The network with these weights.
        prune: The argument ``prune`` of :func:`edgeexpo.export_bundle` that gives these weights.
    """

    def __init__(self, label: str, network: Network, prune: float | None = None) -> None:
        self.label = label
        self.network = network
        self.prune = prune

    @cached_property
    def program(self) -> Program:
        """The float program of the network."""
        return self.network.capture()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names and values of all weights.

        For a module that is not of the zoo, the digest also covers the program's operators.
        """
        state = state_digest(self.network.module)
        if self.network.preset is not None:
            return state
        operators = str(self.program.exported.graph)
        return hashlib.sha256(f"{state}\n{operators}".encode()).hexdigest()


@dataclass(frozen=True)
class Bench:
    """The test bench: everything that all candidates of a search share.

    Attributes:
        target: Name of a target in :data:`edgeexpo.targets.TARGETS`.
        cache: Folder of finished candidates.
        calibration: Folder of pictures to take ranges from. ``None`` for the embedded photographs.
        images: Folder of photographs on which layers are measured. ``None`` for the embedded
            photographs.
        shown: Photographs that candidates are judged on.
        reference: The unpruned float network.
        timer: Function that measures latency.
        place: Processor and number of threads, on which latency depends.
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
        """Displayed pictures of the unpruned float network, HxWxC float32 each."""
        network = self.reference.network
        spec, found = network.spec, []
        for inputs in sample_tensors(spec, self.shown):
            with torch.no_grad():
                found.append(displayed_output(spec, network.module(*inputs)))
        return found

    def key(self, variant: WeightSet, **facts: Any) -> str:
        """Return a digest of all that a result depends on, 24 hexadecimal digits."""
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
    """Return the operators of a set of weights, in the order in which they move to float.

    The operator whose worst picture gains most when it stays in float comes first.

    Raises:
        ExportError: No operator can be quantised.
        OutputError: The cache cannot be written.
    """
    path = bench.cache / bench.key(variant, what="layers") / ORDER
    order = _read_order(path)
    if order is not None:
        return order
    rows = measure_layers(variant.network, bench.calibration, bench.images).layers
    gains = sorted(rows, key=lambda row: row.sensitivity.spared.worst, reverse=True)
    names = [row.sensitivity.operator.name for row in gains]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(names).encode())
    return names


def _read_order(path: Path) -> list[str] | None:
    """Return a finished order of operators, or ``None`` if it is missing or damaged."""
    try:
        return list(from_json(tuple[str, ...], read_json(path)))
    except (OSError, ValueError, TypeError):
        return None


def candidate(bench: Bench, variant: WeightSet, keep: Keep) -> tuple[Candidate, bool]:
    """Return the candidate, and whether it was in the cache. A new candidate is put there.

    Raises:
        ExportError: The candidate cannot be lowered.
        EngineError: The engine fails on the artefact.
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
    """Return the path of a candidate's artefact in the cache."""
    return bench.cache / made.key / made.artifact.file


def _read(folder: Path) -> Candidate | None:
    """Return a finished candidate, or ``None`` if it is missing, damaged or changed."""
    try:
        found = from_json(Candidate, read_json(folder / RESULT))
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
    """Return the metrics of each of the artefact's pictures against the float picture."""
    spec = bench.reference.network.spec
    engine = open_engine(bench.target, path, spec)
    name = spec.outputs[0].name

    def run(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return engine.run(arrays)[name]

    rows = []
    try:
        shown = network_inputs(spec, bench.shown)
        for inputs, expected in zip(shown, bench.expected, strict=True):
            output = run_tiled(run, inputs, spec.footprint, artifact.sizes, spec.fixed_inputs)
            identity = inputs[spec.residual] if spec.residual is not None else None
            rows.append(measure_pictures(expected, displayed(spec, output), identity))
    finally:
        engine.close()
    return rows


def _names(folder: Path) -> list[str]:
    """Return every file of a folder with its digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [f"{path.relative_to(folder).as_posix()} {digest(path)}" for path in files]
