"""Operators that calibrated INT8 leaves in float, since the pictures fail their gates otherwise.

Most of the error of a failed INT8 network often comes from one layer, such as the convolution
before a normalisation, which enlarges the rounding of a flat area. The network passes with this
layer in float, and the others stay integer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeexpo.bundle.manifest import Artifact, Manifest
from edgeexpo.errors import ExportError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.cases import PHOTOGRAPH, Case, accepted
from edgeexpo.parity.check import rows_of
from edgeexpo.parity.gates import gate_holds
from edgeexpo.parity.judgement import KINDS
from edgeexpo.parity.reference import ProgramRun
from edgeexpo.parity.verdict import statistics
from edgeexpo.program.capture import Program
from edgeexpo.program.multiplications import multiplication_share
from edgeexpo.progress import note, track
from edgeexpo.quantization.ptq import calibrated, quantize_program, tensors
from edgeexpo.quantization.sensitivity import (
    QuantizedOperator,
    quantization_costs,
    quantized_operators,
)
from edgeexpo.quantization.simulation import simulate
from edgeexpo.runtime.network_pictures import displayed, network_inputs
from edgeexpo.spec import ModelSpec
from edgeexpo.workflows.export_request import ExportRequest
from edgeexpo.workflows.network_tensors import picture_score

MOST_SPARED, LARGEST_SHARE = 4, 2 / 3
"""Largest number of operators that are left in float, and of their share of multiplications."""

FEW = 4
"""Number of pictures on which the operators are compared."""


@dataclass(frozen=True)
class Spared:
    """An INT8 program that passes its gates, and what it leaves in float.

    Attributes:
        program: The INT8 program.
        operators: Names of the operators (nodes of the float program) that stay in float.
    """

    program: Program
    operators: tuple[str, ...]


def spared(
    request: ExportRequest,
    program: Program,
    calibration: Sequence[Sample],
    manifest: Manifest,
    cases: Sequence[Case],
) -> Spared | None:
    """Find a few operators in float with which a failed INT8 program passes its gates.

    The operators are tried in the order of what each costs on the pictures that fail.

    Args:
        request: What is exported. Its INT8 is calibrated.
        program: The float program.
        calibration: Pictures to calibrate on.
        manifest: The bundle's manifest, with the gates and the INT8 artefacts.
        cases: Pictures with the outputs of both programs, of the parity check.

    Returns:
        The first program that passes. ``None`` if the pictures of the quantised program pass
        already, so that a failure comes from the lowering. ``None`` also if no program passes.
    """
    artifact = next((a for a in manifest.artifacts if a.precision == "int8"), None)
    if artifact is None:
        return None
    judged = accepted(artifact, manifest.model, cases)
    quantized = {c.name: c.quantized for c in judged if c.quantized is not None}
    judge = _Judge(manifest, artifact, [c for c in judged if c.name in quantized])
    failing = judge.failing(quantized)
    if not failing:
        return None
    inputs = list(network_inputs(manifest.model, calibration))
    kept: list[QuantizedOperator] = []
    for operator in _costliest(request, program, inputs, failing):
        if _share(program, [*kept, operator]) > LARGEST_SHARE:
            continue
        kept.append(operator)
        names = tuple(o.name for o in kept)
        try:
            made = quantize_program(program, inputs, frozenset(names))
        except ExportError:  # nothing would be left for INT8
            return None
        if not judge.failing(judge.outputs(made)):
            _tell(program, kept)
            return Spared(made, names)
        if len(kept) == MOST_SPARED:
            break
    return None


@dataclass(frozen=True)
class _Judge:
    """The gates of an artefact against the float network."""

    manifest: Manifest
    artifact: Artifact
    cases: Sequence[Case]

    def outputs(self, program: Program) -> dict[str, np.ndarray]:
        """Return the displayed outputs of an INT8 program for all cases."""
        run = ProgramRun(copy.deepcopy(program.exported), self.manifest, "cpu")
        return {c.name: displayed(self.manifest.model, run(c.inputs)) for c in self.cases}

    def failing(self, outputs: Mapping[str, np.ndarray]) -> list[Case]:
        """Return the cases that fail a gate with these outputs, the worst first."""
        rows = rows_of(self.manifest.model, self.artifact, self.cases, outputs)
        found = statistics(rows)
        failed: set[str] = set()
        for gate in self.manifest.recipe.gates["int8"]:
            value = found[gate.statistic].get(gate.metric)
            if gate.reference != "float" or value is None or gate_holds(gate, value):
                continue
            kind = KINDS.get(gate.statistic, PHOTOGRAPH)
            rated = [r for r in rows if r["kind"] == kind and gate.metric in r]
            alone = [r["name"] for r in rated if not gate_holds(gate, r[gate.metric])]
            failed |= set(alone or [r["name"] for r in rated])
        quality = {row["name"]: row["psnr"] for row in rows}
        return sorted((c for c in self.cases if c.name in failed), key=lambda c: quality[c.name])


def _costliest(
    request: ExportRequest,
    program: Program,
    inputs: Sequence[Mapping[str, np.ndarray]],
    failing: Sequence[Case],
) -> list[QuantizedOperator]:
    """Return the quantised operators, first the one whose float brings the pictures nearest."""
    spec = request.network.spec
    pictures = tensors(program, [_fitting(spec, c.inputs, program) for c in failing[:FEW]])
    score = picture_score(spec, request.network.module, pictures)
    _, graph = calibrated(program, inputs)
    simulate(graph)
    operators = track(quantized_operators(program, graph), "Finding what costs most in INT8")
    costs = quantization_costs(graph, operators, pictures, score)
    costs.sort(key=lambda cost: cost.spared.worst, reverse=True)
    return [cost.operator for cost in costs]


def _fitting(
    spec: ModelSpec, inputs: Mapping[str, np.ndarray], program: Program
) -> dict[str, np.ndarray]:
    """Return inputs (HxWxC by name) cut to the largest size of the program."""
    height, width = program.sizes.largest
    fixed = {tensor.name for tensor in spec.inputs if tensor.size is not None}
    return {n: x if n in fixed else x[:height, :width] for n, x in inputs.items()}


def _share(program: Program, operators: Sequence[QuantizedOperator]) -> float:
    """Return the share of a program's multiplications that some operators have."""
    names, graph = {operator.name for operator in operators}, program.exported.graph
    return multiplication_share((n for n in graph.nodes if n.name in names), graph)


def _tell(program: Program, operators: Sequence[QuantizedOperator]) -> None:
    said = [f"{o.name} at {o.source}" if o.source else o.name for o in operators]
    note(
        f"edgeexpo: INT8 passes its gates with {', '.join(said)} in float "
        f"({_share(program, operators):.0%} of the multiplications)"
    )
