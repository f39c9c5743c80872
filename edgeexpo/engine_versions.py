"""Versions of engines: the installed one, and those that are known to compute files wrongly."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WrongVersions:
    """Versions of an engine that load a file and compute something else than it says.

    Attributes:
        first, last: First and last of the versions, such as ``1.21``. The last one includes its
            patches.
        feature: The versions are wrong only on processors with this feature, which is one of
            :data:`edgeexpo.processor.CPU_FEATURES`. ``None`` for every processor.
        precision: Precision of the artefacts that are computed wrongly.
        reason: What is wrong, and where it is reported, in a few words.
    """

    first: str
    last: str
    feature: str | None
    precision: str
    reason: str

    def covers(self, version: str) -> bool:
        """Tell whether ``version`` is one of the wrong versions."""
        found, last = release(version), release(self.last)
        return release(self.first) <= found and found[: len(last)] <= last


@dataclass(frozen=True)
class EngineVersions:
    """What is known about the versions of an engine.

    Attributes:
        package: Installed package whose version is the engine's version.
        least: Least version that runs the artefacts. Empty if nothing older was tried.
        wrong: Later versions that compute wrongly.
        options: Options that edgeexpo's runtime sets, and that an application must set which loads
            an artefact itself, by name.
        without: What happens without these options, in one sentence.
    """

    package: str = ""
    least: str = ""
    wrong: tuple[WrongVersions, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    without: str = ""

    def fault(self, precision: str, version: str, features: Collection[str]) -> str | None:
        """Return why a version cannot be trusted with an artefact, in one line.

        Args:
            precision: Precision of the artefact.
            version: The engine's version.
            features: The processor's features, as :func:`edgeexpo.processor.cpu_features` gives
                them.

        Returns:
            The reason with the way out, or ``None`` if nothing is known against the version.
        """
        if release(version) < release(self.least):
            return (
                f"{self.package} {version} is older than {self.least}, the least version that is "
                f"known to run such files; pip install -U {self.package}"
            )
        for wrong in self.wrong:
            here = wrong.feature is None or wrong.feature in features
            if wrong.precision == precision and here and wrong.covers(version):
                place = f" on processors with {wrong.feature}" if wrong.feature else ""
                return (
                    f"{self.package} {version} computes {precision} files wrongly{place}: "
                    f"{wrong.reason} (versions {wrong.first} to {wrong.last}); "
                    f"pip install -U {self.package}, or choose another `precision`"
                )
        return None


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, or ``None`` if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):  # an empty name
        return None


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, without a local label and without zeros at the end.

    ``1.20.0+cpu`` gives ``(1, 20)``.
    """
    numbers = [int(n) for n in re.findall(r"\d+", re.split(r"[+a-z]", version.strip())[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
