"""Platforms for edgeexpo: which verbs are expected to work there, and why others are not.

The facts are about wheels on the package index. A package without a wheel for a platform is not
expected to work there, even if its source could be built. ``docs/reference/platforms.md`` shows the
same facts.
"""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

TESTED = "tested"
"""Status of a verb on a platform that the tests run on."""

EXPECTED = "expected"
"""Status of a verb that should work on a platform, but was not run there."""

UNAVAILABLE = "unavailable"
"""Status of a verb that a missing wheel rules out on a platform."""

VERB_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "export": ("onnxruntime", "torch"),
    "parity": ("onnxruntime", "torch"),
    "debug": ("onnxruntime", "torch"),
    "run": ("onnxruntime",),
    "evaluate": ("onnxruntime", "torch"),
    "bench": ("onnxruntime",),
    "quantize": ("torch",),
    "train": ("torch",),
    "prune": ("torch",),
    "sensitivity": ("torch",),
    "tune": ("onnxruntime", "torch"),
    "inspect": ("onnxruntime",),
    "models": ("torch",),
    "doctor": (),
}
"""Compiled packages that a verb needs, by verb.

Packages that only one target needs are in :data:`TARGET_PACKAGES`.
ExecuTorch is not listed, since its wheels exist wherever torch has one.
"""

TARGET_PACKAGES: Mapping[str, str] = {
    "Core ML": "coremltools",
    "LiteRT": "litert-torch",
    "Core AI": "coreai-core",
    "Hexagon": "onnxruntime-qnn",
}
"""Package that writes a target, by target, for targets that some platforms cannot write."""

WRITING_VERBS = ("export", "tune")
"""Verbs that write artefacts. They need the package of the target."""

JUDGING_VERBS = ("export", "parity")
"""Verbs that run engines in separate processes if the system allows it."""


@dataclass(frozen=True)
class Platform:
    """A system with a processor.

    Attributes:
        system: The system's name in ``sys.platform``.
        machines: The processor's names in ``platform.machine()``, in lower case.
        title: Name for people.
        tested: True if the tests run on the platform.
        without: Packages that have no wheel for the platform.
    """

    system: str
    machines: tuple[str, ...]
    title: str
    tested: bool = False
    without: tuple[str, ...] = ()


_NO_CORE_AI = ("coreai-core", "coreai-torch")
"""Packages without a wheel on platforms that have none of Core AI."""

_NO_TORCH = ("torch", "coremltools", "litert-torch")
"""Packages without a wheel on platforms that have no wheel of torch."""

PLATFORMS = (
    Platform("linux", ("x86_64",), "Linux on x86-64", tested=True),
    Platform(
        "linux", ("aarch64",), "Linux on ARM64", without=(*TARGET_PACKAGES.values(), "coreai-torch")
    ),
    Platform("darwin", ("arm64",), "macOS on Apple silicon", without=("onnxruntime-qnn",)),
    Platform(
        "darwin",
        ("x86_64",),
        "macOS on Intel",
        without=("onnxruntime", "onnxruntime-qnn", *_NO_CORE_AI, *_NO_TORCH),
    ),
    Platform(
        "win32",
        ("amd64",),
        "Windows on x86-64",
        without=("coremltools", "litert-torch", *_NO_CORE_AI),
    ),
    Platform("win32", ("arm64",), "Windows on ARM64", without=(*_NO_CORE_AI, *_NO_TORCH)),
)
"""Platforms that have wheels of at least NumPy and Pillow, with the packages that they lack."""


@dataclass(frozen=True)
class VerbSupport:
    """The support of a verb on a platform.

    Attributes:
        status: ``tested``, ``expected`` (should work, but was not run there) or ``unavailable``.
        note: What the verb lacks, or why it is unavailable. Empty if nothing is lacking.
    """

    status: str
    note: str = ""

    def __str__(self) -> str:
        words = {
            TESTED: "tested on this platform",
            EXPECTED: "expected, not run there",
            UNAVAILABLE: "not available",
        }[self.status]
        separator = ": " if self.status == UNAVAILABLE else "; "
        return separator.join(filter(None, (words, self.note)))


def this_platform() -> Platform:
    """Return the platform of this process. A platform outside :data:`PLATFORMS` has no wheels."""
    machine = platform.machine().lower()
    for known in PLATFORMS:
        if known.system == sys.platform and machine in known.machines:
            return known
    packages = {package for needs in VERB_PACKAGES.values() for package in needs}
    without = (*sorted(packages), *TARGET_PACKAGES.values())
    return Platform(sys.platform, (machine,), f"{sys.platform} on {machine}", without=without)


def verb_support(verb: str, place: Platform) -> VerbSupport:
    """Return the support of a verb, which is a key of :data:`VERB_PACKAGES`, on a platform."""
    lacking = [package for package in VERB_PACKAGES[verb] if package in place.without]
    if lacking:
        return VerbSupport(UNAVAILABLE, f"{lacking[0]} has no wheel for {place.title}")
    notes = []
    if verb in WRITING_VERBS:
        notes += [
            f"no {target}, since {package} has no wheel"
            for target, package in TARGET_PACKAGES.items()
            if package in place.without
        ]
    if place.system == "win32" and verb in JUDGING_VERBS:
        notes.append("an engine that crashes ends the verb")
    return VerbSupport(TESTED if place.tested else EXPECTED, "; ".join(notes))


def marker_holds(marker: str) -> bool:
    """Return true if an environment marker of edgeexpo's metadata holds on this platform.

    Conditions on an extra count as true. An empty marker holds.

    Raises:
        ValueError: The marker uses another syntax than the markers of edgeexpo's metadata.
    """
    return not marker or _holds(ast.parse(marker, mode="eval").body)


def _holds(node: ast.expr) -> bool:
    environment = {"sys_platform": sys.platform, "platform_machine": platform.machine()}
    match node:
        case ast.BoolOp(op=ast.And()):
            return all(map(_holds, node.values))
        case ast.BoolOp(op=ast.Or()):
            return any(map(_holds, node.values))
        case ast.Compare(ast.Name("extra"), [ast.Eq()], [ast.Constant()]):
            return True
        case ast.Compare(ast.Name(name), [ast.Eq()], [ast.Constant(value)]) if name in environment:
            return environment[name] == value
    raise ValueError(f"marker {ast.unparse(node)!r}; expected == of sys_platform and the like")
