"""Platforms that edgeexpo is installed on: which verbs are expected to work there, and why not.

The facts are about wheels on the package index: a package that has none for a platform cannot be
expected there, whatever its source would do. ``docs/reference/platforms.md`` shows the same facts.
"""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

TESTED = "tested"
EXPECTED = "expected"
UNAVAILABLE = "unavailable"

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
"""Compiled packages that a verb cannot do without, by verb.

The packages of one target are apart. ExecuTorch has wheels on the same platforms as torch.
"""

TARGET_PACKAGES: Mapping[str, str] = {"Core ML": "coremltools", "LiteRT": "litert-torch"}
"""Target that not every platform can write -> the package that writes it."""

WRITING_VERBS = ("export", "tune")
"""Verbs that write artefacts, and so need the package of the target."""

JUDGING_VERBS = ("export", "parity")
"""Verbs that run engines in a process of their own where the system allows it."""


@dataclass(frozen=True)
class Platform:
    """A system and a processor.

    Attributes:
        system: As ``sys.platform`` says it.
        machines: As ``platform.machine()`` says it, in lower case.
        title: Name for people.
        tested: Whether the tests run there.
        without: Packages that have no wheel for it.
    """

    system: str
    machines: tuple[str, ...]
    title: str
    tested: bool = False
    without: tuple[str, ...] = ()


_NO_TORCH = ("torch", "coremltools", "litert-torch")

PLATFORMS = (
    Platform("linux", ("x86_64",), "Linux on x86-64", tested=True),
    Platform("linux", ("aarch64",), "Linux on ARM64", without=("coremltools", "litert-torch")),
    Platform("darwin", ("arm64",), "macOS on Apple silicon"),
    Platform("darwin", ("x86_64",), "macOS on Intel", without=("onnxruntime", *_NO_TORCH)),
    Platform("win32", ("amd64",), "Windows on x86-64", without=("coremltools", "litert-torch")),
    Platform("win32", ("arm64",), "Windows on ARM64", without=_NO_TORCH),
)
"""Platforms that have wheels of at least NumPy and Pillow, and what they lack."""


@dataclass(frozen=True)
class VerbSupport:
    """What to expect of a verb on a platform.

    Attributes:
        status: ``tested``, ``expected`` (nobody ran it there) or ``unavailable``.
        note: What is lacking, or why it is unavailable; empty where nothing is.
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
    """The platform of this process; one that is not in :data:`PLATFORMS` lacks every wheel."""
    machine = platform.machine().lower()
    for known in PLATFORMS:
        if known.system == sys.platform and machine in known.machines:
            return known
    packages = {package for needs in VERB_PACKAGES.values() for package in needs}
    without = (*sorted(packages), *TARGET_PACKAGES.values())
    return Platform(sys.platform, (machine,), f"{sys.platform} on {machine}", without=without)


def verb_support(verb: str, place: Platform) -> VerbSupport:
    """What to expect of a verb, one of :data:`VERB_PACKAGES`, on a platform."""
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
    """Whether an environment marker of edgeexpo's own metadata holds here, whatever the extra.

    Raises:
        ValueError: The marker uses more than edgeexpo's own do.
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
