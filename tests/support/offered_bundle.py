"""A bundle of stand-in artefacts, for tests of the choice among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.bundle.records import EngineRecord
from edgeexpo.engine_versions import EngineVersions, installed_version
from edgeexpo.processor import cpu_features, processor_name
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, TensorSpec
from edgeexpo.targets import runner_named

SPEC = ModelSpec("net", "t", ("x",), (TensorSpec("x"),), (TensorSpec("y"),), 1)
SIZES = SizeRange(largest=(64, 64), smallest=(16, 16))


def offered(
    folder: Path,
    statuses: Mapping[tuple[str, str], str],
    engines: Mapping[str, EngineVersions] | None = None,
) -> Bundle:
    """Write a bundle with an artefact of each target and precision, of the given statuses."""
    folder.mkdir(exist_ok=True)
    artifacts = []
    for (target, precision), status in statuses.items():
        file = folder / f"net.{precision}.{target}"
        file.write_bytes(f"{target} {precision}".encode())
        artifacts.append(Artifact(file.name, target, precision, digest(file), 9, SIZES, status))
    targets = tuple(dict.fromkeys(target for target, _ in statuses))
    recipe = ExportRecipe("net", targets, ("int8",), (64, 64), "none", (), {})
    manifest = Manifest(SPEC, recipe, tuple(artifacts), {}, {}, engines=engines or {})
    write_manifest(folder, manifest)
    return Bundle.open(folder)


def recorded(
    bundle: Bundle, file: str, engine: str, status: str, **changes: object
) -> EngineRecord:
    """Return a record of this host and the installed version; ``changes`` replaces fields."""
    _, runner = runner_named(engine)
    sha256 = next(a.sha256 for a in bundle.manifest.artifacts if a.file == file)
    precision = runner.precision_of(next(a.precision for a in bundle.manifest.artifacts))
    facts = {
        "version": installed_version(runner.versions.package) or "none",
        "processor": processor_name(),
        "features": cpu_features(),
        "precision": precision,
        "sha256": sha256,
        "status": status,
        **changes,
    }
    return EngineRecord(file=file, engine=engine, **facts)  # type: ignore[arg-type]
