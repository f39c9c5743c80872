"""Times that ``bench`` measured and was asked to remember, kept in the user's cache folder.

A measurement counts for one bundle, on one host, with one version of each engine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.untrusted import read_json
from edgeexpo.engine_versions import installed_version
from edgeexpo.errors import UsageError
from edgeexpo.processor import cpu_features, processor_name
from edgeexpo.spec import from_json, to_json
from edgeexpo.targets import runner_named
from edgeexpo.writing import write_json


@dataclass(frozen=True)
class EngineTime:
    """The time of one artefact in one engine.

    Attributes:
        file: The artefact's path relative to the bundle.
        engine: Name of a runner in :data:`edgeexpo.targets.TARGETS`.
        ms: Median time of one run in milliseconds.
    """

    file: str
    engine: str
    ms: float


@dataclass(frozen=True)
class RememberedTimes:
    """The times of a bundle's artefacts, with all that they depend on.

    Attributes:
        digest: The bundle's digest.
        host: Processor, its features and the number of cores, in one line.
        versions: Versions of the engines by name.
        times: The times.
    """

    digest: str
    host: str
    versions: Mapping[str, str | None]
    times: tuple[EngineTime, ...]


def cache_folder() -> Path:
    """Return the folder of edgeexpo's caches: ``EDGEEXPO_CACHE``, or the user's own cache."""
    from platformdirs import user_cache_path  # needed only where times are read or written

    chosen = os.environ.get("EDGEEXPO_CACHE")
    return Path(chosen) if chosen else user_cache_path("edgeexpo", appauthor=False)


def remember_times(bundle: Bundle, times: Mapping[tuple[str, str], float]) -> Path:
    """Keep the times of a bundle's artefacts, by file and engine, and return the file.

    Raises:
        OutputError: The file cannot be written.
    """
    engines = sorted({engine for _, engine in times})
    document = RememberedTimes(
        bundle.digest,
        _host(),
        {name: _version(name) for name in engines},
        tuple(EngineTime(file, engine, ms) for (file, engine), ms in sorted(times.items())),
    )
    path = _path(bundle)
    write_json(path, to_json(document))
    return path


def recall_times(bundle: Bundle) -> tuple[dict[tuple[str, str], float], str]:
    """Return the remembered times by file and engine, and a line that says what was found.

    Times of another host, of other versions, or in a damaged file do not count; the line says why.
    """
    path = _path(bundle)
    if not path.is_file():
        return {}, "no remembered times; the fixed order of engines decides"
    try:
        found = from_json(RememberedTimes, read_json(path))
    except (OSError, TypeError, ValueError, OverflowError) as error:
        return {}, f"remembered times in {path} are ignored: the file is damaged ({error})"
    if found.digest != bundle.digest:
        return {}, f"remembered times in {path} are ignored: they are of another bundle"
    if found.host != _host():
        return {}, f"remembered times in {path} are ignored: they are of another host, {found.host}"
    try:
        changed = [n for n, version in found.versions.items() if version != _version(n)]
    except UsageError as error:
        return {}, f"remembered times in {path} are ignored: {error}"
    if changed:
        return {}, f"remembered times in {path} are ignored: {', '.join(changed)} changed since"
    return {(t.file, t.engine): t.ms for t in found.times}, f"the times in {path} decide"


def _path(bundle: Bundle) -> Path:
    return cache_folder() / "engines" / f"{bundle.digest[:32]}.json"


def _host() -> str:
    return f"{processor_name()} ({' '.join(cpu_features())}), {os.cpu_count()} cores"


def _version(engine: str) -> str | None:
    return installed_version(runner_named(engine)[1].versions.package)
