"""Another conversion of the same captured program, run beside an artefact.

A witness converts the bundle's float program itself and never reads the artefact. A fault of one
converter shows as a difference of the two. A witness verifies nothing: verdicts, the manifest and
the bundle's digest stay as they are.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.bundle.records import RECORDS
from edgeexpo.engine_versions import installed_version
from edgeexpo.errors import EngineError, UsageError
from edgeexpo.export.lowering import lower
from edgeexpo.imaging.samples import samples
from edgeexpo.parity.isolation import open_lab_engine
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.processor import processor_name
from edgeexpo.program.capture import Program, recapture
from edgeexpo.program.half import half
from edgeexpo.progress import track
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.spec import SizeRange, to_json
from edgeexpo.targets import target_named, witnessed_targets
from edgeexpo.writing import write_json

LARGEST_DIFFERENCE = 1e-4
"""Bound of the largest difference of two fp32 outputs."""

LEAST_PSNR = 55.0
"""Bound in dB of the PSNR between two fp16 outputs."""

FOLDER = "witnesses"
"""Name of the folder of these comparisons, below the folder of a bundle's records."""


@dataclass(frozen=True)
class Comparison:
    """The distance of an artefact from a witness's conversion of the same program.

    Attributes:
        file: The artefact's path relative to the bundle.
        sha256: The artefact's digest.
        engine: Engine or interpreter that ran the artefact.
        witness: Target of the other conversion.
        version: Version of the witness's engine.
        precision: Precision of both.
        processor: Name of the host's processor.
        max_abs: Largest difference of an output value over all photographs.
        psnr: Least PSNR in dB between the two outputs of a photograph.
        pictures: Number of photographs.
        agrees: True if the bound of the precision holds.
    """

    file: str
    sha256: str
    engine: str
    witness: str
    version: str
    precision: str
    processor: str
    max_abs: float
    psnr: float
    pictures: int
    agrees: bool

    @property
    def line(self) -> str:
        """The comparison in a line."""
        return (
            f"{self.file} in {self.engine} and {self.witness}'s conversion of the same captured "
            f"program {'agree' if self.agrees else 'DIFFER'}: {self.max_abs:.1e} at most, "
            f"{self.psnr:.1f} dB ({self.pictures} photographs)"
        )


def compare_with_witness(
    bundle: Bundle, witness: str, images: str | os.PathLike[str] | None = None
) -> tuple[Comparison, ...]:
    """Compare artefacts with a witness's conversion of the same program, and keep the records.

    Both run whole, at the artefact's largest size. INT8 artefacts are left out.

    Args:
        bundle: The bundle.
        witness: A target that is the witness of others.
        images: Folder of photographs or brackets; the embedded photographs by default.

    Returns:
        The comparisons. Each is written below ``records/witnesses`` of the bundle.

    Raises:
        UsageError: No artefact of the bundle has this witness, or the artefacts hold their stages.
        MissingDependencyError: The witness is not installed.
        ExportError: The witness cannot convert the program.
        EngineError: An engine fails.
        OutputError: A record cannot be written.
    """
    if bundle.manifest.network is not None:
        raise UsageError(
            f"{bundle.path} holds its stages, and a witness converts a network; export the network "
            "without `standalone`"
        )
    precisions = set(target_named(witness).precisions) - {"int8"}
    witnessed = witnessed_targets(witness)
    chosen = [
        a for a in bundle.manifest.artifacts if a.target in witnessed and a.precision in precisions
    ]
    if not chosen:
        raise UsageError(
            f"the bundle has nothing for the witness {witness}, which stands beside fp32 and fp16 "
            f"artefacts of {', '.join(witnessed) or 'no target'}; export one of them"
        )
    found = []
    for artifact in track(chosen, "Witnessing"):
        comparison = _compared(bundle, artifact, witness, images)
        name = hashlib.sha256(f"{comparison.version} {comparison.processor}".encode())
        file = f"{artifact.file}.{witness}.{name.hexdigest()[:8]}.json"
        write_json(bundle.path / RECORDS / FOLDER / file, to_json(comparison))
        found.append(comparison)
    return tuple(found)


def agree(precision: str, max_abs: float, distance: float) -> bool:
    """Tell whether two outputs are as near as their precision asks for.

    Args:
        precision: ``fp32`` or ``fp16``.
        max_abs: The largest difference.
        distance: The PSNR in dB.
    """
    return max_abs <= LARGEST_DIFFERENCE if precision == "fp32" else distance >= LEAST_PSNR


def _compared(
    bundle: Bundle, artifact: Artifact, witness: str, images: str | os.PathLike[str] | None
) -> Comparison:
    spec, size = bundle.manifest.model, artifact.sizes.largest
    source = None if images is None else Path(images)
    pictures = [
        {k: np.ascontiguousarray(v.transpose(2, 0, 1)[None]) for k, v in inputs.items()}
        for inputs in network_inputs(spec, samples(len(spec.frames), source, spec.frame_size(size)))
    ]
    engine, first = _outputs(bundle, artifact.target, bundle.file(artifact.file), pictures)
    with tempfile.TemporaryDirectory() as folder:
        made = lower(_program(bundle, artifact), witness, "witness", Path(folder))
        _, second = _outputs(bundle, witness, Path(folder) / made.file, pictures)
    finite = all(np.isfinite(output).all() for output in (*first, *second))
    if not finite:
        raise EngineError(f"{artifact.file} or {witness} gives values that are not finite")
    pairs = list(zip(first, second, strict=True))
    largest = max(float(np.abs(a - b).max()) for a, b in pairs)
    distance = min(psnr(a, b) for a, b in pairs)
    package = target_named(witness).runner.versions.package
    return Comparison(
        file=artifact.file,
        sha256=artifact.sha256,
        engine=engine,
        witness=witness,
        version=installed_version(package) or "unknown",
        precision=artifact.precision,
        processor=processor_name(),
        max_abs=largest,
        psnr=distance,
        pictures=len(pairs),
        agrees=agree(artifact.precision, largest, distance),
    )


def _program(bundle: Bundle, artifact: Artifact) -> Program:
    """Return the bundle's float program at the artefact's largest size, in its precision."""
    from edgeexpo.parity.reference import load_program  # imports torch

    spec, only = bundle.manifest.model, artifact.sizes.largest
    sizes = SizeRange(largest=only, smallest=only, multiple=artifact.sizes.multiple)
    exported = load_program(bundle, "reference.pt2")
    names = tuple(tensor.name for tensor in spec.outputs)
    loaded = Program(exported, spec.inputs, names, sizes, "fp32")
    program = recapture(loaded, exported.module(check_guards=False), "fp32")
    return half(program) if artifact.precision == "fp16" else program


def _outputs(
    bundle: Bundle, target: str, path: Path, pictures: Sequence[Mapping[str, np.ndarray]]
) -> tuple[str, list[np.ndarray]]:
    """Return the engine that ran a file, and the file's outputs."""
    spec = bundle.manifest.model
    engine = open_lab_engine(target, path, spec)
    try:
        found = [np.array(engine.run(inputs)[spec.outputs[0].name]) for inputs in pictures]
        return engine.name, found
    finally:
        engine.close()
