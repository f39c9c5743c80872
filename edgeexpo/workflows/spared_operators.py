"""Operators that calibrated INT8 leaves in float, since the pictures fail their gates otherwise.

Most of the error of a failed INT8 network often comes from one layer, such as the convolution
before a normalisation, which enlarges the rounding of a flat area. The network passes with this
layer in float, and the others stay integer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edgeexpo.bundle.manifest import Artifact, Manifest
from edgeexpo.errors import ExportError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.cases import PHOTOGRAPH, Case, accepted
from edgeexpo.parity.check import rows_of
from edgeexpo.parity.gates import gate_holds
from edgeexpo.parity.judgement import KINDS
from edgeexpo.parity.reference import fused_codes
from edgeexpo.parity.verdict import statistics
from edgeexpo.program.capture import Program
from edgeexpo.program.multiplications import multiplications
from edgeexpo.program.source import node_source
from edgeexpo.progress import note, track
from edgeexpo.quantization.ptq import calibrated, convert_program, tensors
from edgeexpo.quantization.sensitivity import quantization_costs, quantized_operators
from edgeexpo.quantization.simulation import simulate
from edgeexpo.runtime.network_pictures import displayed, network_inputs
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import Gate, ModelSpec
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
    """Find the fewest operators in float with which a failed INT8 program passes its gates.

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
    spec = manifest.model
    known = [c for c in accepted(artifact, spec, cases) if c.quantized is not None]
    gates = [g for g in manifest.recipe.gates["int8"] if g.reference == "float"]
    judge = _Judge(spec, artifact, known, gates)
    failing = judge.failing({c.name: c.quantized for c in known if c.quantized is not None})
    if not failing:
        return None
    inputs = list(network_inputs(spec, calibration))
    kept: list[str] = []
    for name in _costliest(request, program, inputs, failing):
        if _share(program, [*kept, name]) > LARGEST_SHARE:
            continue
        kept.append(name)
        try:
            made = convert_program(*calibrated(program, inputs, frozenset(kept)))
        except ExportError:  # nothing would be left for INT8
            return None
        if not judge.failing(judge.outputs(made)):
            _tell(program, kept)
            return Spared(made, tuple(kept))
        if len(kept) == MOST_SPARED:
            break
    return None


@dataclass(frozen=True)
class _Judge:
    """The gates of an artefact against the float network."""

    spec: ModelSpec
    artifact: Artifact
    cases: Sequence[Case]
    gates: Sequence[Gate]

    def outputs(self, program: Program) -> dict[str, np.ndarray]:
        """Return the displayed outputs of an INT8 program for all cases."""
        module = fused_codes(program.exported.module(check_guards=False))

        def run(x: Mapping[str, np.ndarray]) -> np.ndarray:
            with torch.no_grad():
                output: np.ndarray = module(*(torch.from_numpy(x[n]) for n in program.inputs))
            return np.asarray(output)

        spec, sizes = self.spec, self.artifact.sizes
        return {
            case.name: displayed(
                spec, run_tiled(run, case.inputs, spec.footprint, sizes, spec.fixed_inputs)
            )
            for case in self.cases
        }

    def failing(self, outputs: Mapping[str, np.ndarray]) -> list[Case]:
        """Return the cases that fail a gate with these outputs, the worst first."""
        rows = rows_of(self.spec, self.artifact, self.cases, outputs)
        found = statistics(rows)
        failed: set[str] = set()
        for gate in self.gates:
            value = found[gate.statistic].get(gate.metric)
            if value is None or gate_holds(gate, value):
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
) -> list[str]:
    """Return the quantised operators, first the one whose float brings the pictures nearest."""
    spec = request.network.spec
    pictures = tensors(program, [_fitting(spec, c.inputs, program) for c in failing[:FEW]])
    score = picture_score(spec, request.network.module, pictures)
    _, graph = calibrated(program, inputs)
    simulate(graph)
    operators = track(quantized_operators(program, graph), "Finding what costs most in INT8")
    costs = [quantization_costs(graph, [operator], pictures, score)[0] for operator in operators]
    costs.sort(key=lambda cost: cost.spared.worst, reverse=True)
    return [cost.operator.name for cost in costs]


def _fitting(
    spec: ModelSpec, inputs: Mapping[str, np.ndarray], program: Program
) -> dict[str, np.ndarray]:
    """Return inputs (HxWxC by name) cut to the largest size of the program."""
    height, width = program.sizes.largest
    fixed = {tensor.name for tensor in spec.inputs if tensor.size is not None}
    return {n: x if n in fixed else x[:height, :width] for n, x in inputs.items()}


def _share(program: Program, names: Sequence[str]) -> float:
    """Return the share of a program's multiplications that some operators have."""
    counts = {n.name: multiplications(n) for n in program.exported.graph_module.graph.nodes}
    return sum(counts[name] for name in names) / max(1, sum(counts.values()))


def _tell(program: Program, names: Sequence[str]) -> None:
    nodes = {node.name: node for node in program.exported.graph_module.graph.nodes}
    places = [node_source(nodes[name]) for name in names]
    said = [f"{n} at {p}" if p else n for n, p in zip(names, places, strict=True)]
    note(
        f"edgeexpo: INT8 passes its gates with {', '.join(said)} in float "
        f"({_share(program, names):.0%} of the multiplications)"
    )
