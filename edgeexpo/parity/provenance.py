"""What it takes to repeat a parity check: command, bundle, versions, digests, hosts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeexpo import __version__
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.targets import target_named, target_names, usual_targets


@dataclass(frozen=True)
class Provenance:
    """Where a check ran and on what.

    Attributes:
        command: The shell command that repeats it.
        facts: (name, value) for people: model, host, Python, weights, size.
        versions: (library, version that exported the bundle, version here).
        digests: (file, SHA-256) of every artefact and program of the bundle.
        bounds: (precision, gate) as the bundle has them.
    """

    command: str
    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str, str], ...]
    digests: tuple[tuple[str, str], ...]
    bounds: tuple[tuple[str, str], ...]


def provenance(bundle: Bundle, command: Sequence[str] | None = None) -> Provenance:
    """Everything about a check of ``bundle`` but what it found.

    Args:
        bundle: The bundle.
        command: The arguments of ``edgeexpo``; by default those that check all of the bundle.
    """
    manifest = bundle.manifest
    # A staged bundle has a passing name.
    name = "BUNDLE" if bundle.path.name.startswith(".") else str(bundle.path)
    arguments = ["edgeexpo", *(command or ("parity", name, "--report", "report.html"))]
    digests = [(a.file, a.sha256) for a in manifest.artifacts] + sorted(manifest.files.items())
    if manifest.weights_sha256 is not None:
        digests.append(("weights", manifest.weights_sha256))
    return Provenance(
        command=shlex.join(arguments),
        facts=tuple(_facts(bundle)),
        versions=tuple(
            (library, manifest.tools.get(library, ""), version(library))
            for library in libraries({a.target for a in manifest.artifacts})
        ),
        digests=tuple(digests),
        bounds=tuple(
            (p, str(gate)) for p, gates in manifest.recipe.gates.items() for gate in gates
        ),
    )


def libraries(targets: Collection[str]) -> list[str]:
    """Libraries whose versions decide what an engine computes.

    Those of the usual targets are always among them, so that reports can be compared.

    Args:
        targets: Names of the targets of a bundle.
    """
    usual = [name for t in usual_targets() for name in target_named(t).libraries]
    chosen = [name for t in target_names() if t in targets for name in target_named(t).libraries]
    return list(dict.fromkeys(["edgeexpo", "numpy", *usual, "torchao", *chosen]))


def _facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    height, width = manifest.recipe.size
    yield "Model", f"{manifest.model.name}: {manifest.model.task}"
    yield "Largest size", f"{height} \N{MULTIPLICATION SIGN} {width} pixels (height, width)"
    yield "Calibrated on", manifest.recipe.calibration
    yield "Host", f"{platform.platform()}, {processor()}, {os.cpu_count()} cores"
    yield "Python", platform.python_version()


def processor() -> str:
    """Name of this host's processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def version(library: str) -> str:
    """Installed version of ``library``; empty when it is missing."""
    if library == "edgeexpo":
        return __version__
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
