"""Put faults into artefacts as they run, and find the gates that fail."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import EngineError
from edgeexpo.parity.cases import Case
from edgeexpo.parity.check import naming, rows_of
from edgeexpo.parity.judgement import judged
from edgeexpo.parity.metrics.relations import tile_borders
from edgeexpo.parity.rounding import Rounding
from edgeexpo.parity.verdict import failed_gates, statistics
from edgeexpo.runtime.engines.base import Engine, promised
from edgeexpo.runtime.network_pictures import displayed
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import Gate
from edgeexpo.testing.faults.catalogue import Fault


class Remembering:
    """An engine that runs equal inputs once, because most faults change only its outputs."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._known: dict[int, dict[str, np.ndarray]] = {}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the engine's outputs for these inputs, NCHW float32 by name."""
        key = hash(tuple((name, x.shape, x.tobytes()) for name, x in inputs.items()))
        if key not in self._known:
            self._known[key] = self._engine.run(inputs)
        return self._known[key]


def judge(
    bundle: Bundle,
    artifact: Artifact,
    engine: Remembering,
    cases: Sequence[Case],
    gates: Sequence[Gate],
    rounding: Rounding,
    fault: Fault | None = None,
) -> tuple[str, ...]:
    """Return the gates that an artefact fails, with a fault or without.

    Args:
        bundle: The bundle.
        artifact: One of its artefacts.
        engine: The engine that has loaded the artefact.
        cases: Pictures with their references, as :func:`edgeexpo.parity.cases.program_cases`.
        gates: Bounds, as :func:`edgeexpo.parity.gates.default_gates`.
        rounding: What rounding explains in the bundle's artefacts on ``cases``.
        fault: The fault, or ``None``.

    Returns:
        A line for each failed gate; one line that starts with ``shape`` if there is no picture.
    """
    spec = bundle.manifest.model
    try:
        outputs = dict(_outputs(bundle, artifact, engine, cases, fault))
    except EngineError as error:
        return (f"shape: {error}",)
    if fault is not None and (change := fault.reference) is not None:
        cases = [dataclasses.replace(c, reference=change(c), quantized=None) for c in cases]
    rows = rows_of(spec, artifact, cases, outputs)
    judgements = judged(gates, statistics(rows), rounding, rows)
    return tuple(failed_gates(judgements, rows, naming(cases, outputs)))


def named(fault: Fault, failed: Sequence[str]) -> bool:
    """Return true when the first failed gate is one that is meant for the fault."""
    return bool(failed) and re.split("[<>:]", failed[0])[0] in fault.gates


def _outputs(
    bundle: Bundle,
    artifact: Artifact,
    engine: Remembering,
    cases: Sequence[Case],
    fault: Fault | None,
) -> Iterator[tuple[str, np.ndarray]]:
    spec = bundle.manifest.model
    name = spec.outputs[0].name
    footprint = spec.footprint
    if fault is not None and fault.halo is not None:
        footprint = dataclasses.replace(footprint, halo=fault.halo)
    runs = 0

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        nonlocal runs
        runs += 1
        given = inputs
        if fault is not None and fault.inputs is not None:
            given = {
                key: np.ascontiguousarray(x, np.float32) for key, x in fault.inputs(inputs).items()
            }
        output = engine.run(given)[name]
        if fault is not None and fault.output is not None:
            output = fault.output(output)
        if fault is not None and fault.by_run is not None:
            output = fault.by_run(output, runs)
        return promised({name: np.ascontiguousarray(output, np.float32)}, spec, inputs)[name]

    for case in cases:
        picture = run_tiled(run, case.inputs, footprint, artifact.sizes, spec.fixed_inputs)
        if fault is not None and fault.tiled is not None:
            picture = fault.tiled(picture, *tile_borders(picture.shape, spec, artifact.sizes))
        yield case.name, displayed(spec, picture)
