"""Provenance of a parity check: command, bundle, versions, digests and hosts, to repeat it."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edgeexpo import __version__
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.engine_versions import installed_version
from edgeexpo.processor import processor_name
from edgeexpo.targets import target_named, target_names, usual_targets


@dataclass(frozen=True)
class Provenance:
    """The host, the bundle and the versions of a check.

    Attributes:
        command: Shell command that repeats the check.
        facts: Pairs (name, value) for people: model, largest size, calibration, host and Python.
        versions: Triples (library, version at export, version on this host).
        digests: Pairs (file, SHA-256) of every file of the bundle, and of the weights.
        bounds: Pairs (precision, gate) in the bundle's recipe.
    """

    command: str
    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str, str], ...]
    digests: tuple[tuple[str, str], ...]
    bounds: tuple[tuple[str, str], ...]


def provenance(bundle: Bundle, command: Sequence[str] | None = None) -> Provenance:
    """Return the provenance of a check of ``bundle``, without its result.

    Args:
        bundle: The bundle.
        command: Arguments of ``edgeexpo``. By default, those that check the whole bundle.
    """
    manifest = bundle.manifest
    # A bundle that is still being written has a temporary name.
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
    """Return the libraries whose versions determine what an engine computes.

    The libraries of the usual targets are always included, so that reports can be compared.

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
    yield "Host", f"{platform.platform()}, {processor_name()}, {os.cpu_count()} cores"
    yield "Python", platform.python_version()


def version(library: str) -> str:
    """Return the installed version of ``library``, or an empty text if it is not installed."""
    if library == "edgeexpo":
        return __version__
    return installed_version(library) or ""
