"""``edgeexpo doctor``: show what is installed, what is missing and how to get it."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo import targets
from edgeexpo.cli.arguments import add_on, one_of
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.engine_versions import installed_version, release
from edgeexpo.errors import MissingDependencyError, UsageError
from edgeexpo.host import host
from edgeexpo.imaging.kernels import kernels_in_use, numba_problem
from edgeexpo.processor import cpu_features
from edgeexpo.workflows.platforms import (
    VERB_PACKAGES,
    VerbSupport,
    marker_holds,
    this_platform,
    verb_support,
)


@dataclass(frozen=True)
class Requirement:
    """A package that edgeexpo's metadata asks for.

    Attributes:
        package: The package's name.
        tested: The versions that edgeexpo is tested with, as in ``>=2.3,<2.4``.
        extra: The extra that installs the package, or ``base``.
    """

    package: str
    tested: str
    extra: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_on(parser, several=False)
    parser.add_argument(
        "--install",
        action="append",
        default=[],
        metavar="ENGINE",
        type=one_of([runner.name for runner in targets.runners()]),
        help="with --on: install NumPy and this engine there, in an environment of edgeexpo's own "
        "or in the Python that the address names; may be repeated",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the found and the tested versions of every package.

    The exit code is 4 when a package of the base installation is missing, else 0. With ``--on`` it
    is 4 when NumPy or every engine is missing on the other machine.

    Raises:
        UsageError: ``--install`` stands without ``--on``.
        HostError: The machine of ``--on`` cannot be reached or lacks Python.
    """
    from edgeexpo.progress import status

    if args.on is not None:
        from edgeexpo.cli import doctor_on

        return doctor_on.run(args)
    if args.install:
        raise UsageError("--install is for another machine; name it with --on")

    with status("looking at packages and engines"):
        packages = [_package(requirement) for requirement in requirements()]
        document: dict[str, Any] = {
            "host": host(),
            "packages": packages,
            "engines": engines(),
            "stages": stages(),
            "accelerators": accelerators(),
            "photographs": embedded_names(),
            "verbs": verbs(),
        }
    missing = {p["extra"] for p in packages if p["status"] == "missing"}
    document["get"] = {extra: _command(extra) for extra in sorted(missing)}
    document["ok"] = "base" not in missing
    emit(args, document, _text(document))
    return 0 if document["ok"] else MissingDependencyError.exit_code


def requirements() -> list[Requirement]:
    """List the packages and versions that edgeexpo's own metadata asks for on this platform.

    The packages of the base installation come first.

    Raises:
        MissingDependencyError: edgeexpo is imported from a folder and is not installed.
    """
    try:
        declared = importlib.metadata.requires("edgeexpo") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            "edgeexpo is not installed, only importable; in its clone: pip install ."
        ) from error
    found = []
    for line in declared:
        specifier, _, marker = map(str.strip, line.partition(";"))
        match = re.match(r"([\w.-]+)(\[[^]]*\])?\s*(.*)", specifier)
        if match and match[1] != "edgeexpo" and marker_holds(marker):
            extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
            found.append(Requirement(match[1], match[3], extra[1] if extra else "base"))
    return found


def satisfies(version: str, tested: str) -> bool:
    """Tell whether ``version`` fulfils ``tested``, as in ``>=2.3,<2.4``.

    A local label such as ``+cpu`` is ignored.
    """
    checks = {
        "==": lambda a, b: a == b,
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
    }
    for clause in filter(None, (c.strip() for c in tested.split(","))):
        sign = re.match(r"[=<>]+", clause)
        if sign is None or sign[0] not in checks:
            return False
        if not checks[sign[0]](release(version), release(clause[sign.end() :])):
            return False
    return True


def _package(requirement: Requirement) -> dict[str, Any]:
    found = installed_version(requirement.package)
    status = "missing"
    if found is not None:
        status = "ok" if satisfies(found, requirement.tested) else "untested"
    return {
        "package": requirement.package,
        "found": found,
        "tested": requirement.tested,
        "extra": requirement.extra,
        "status": status,
    }


def engines() -> dict[str, str]:
    """Return for every engine ``usable``, or the reason why it is unusable."""
    found = {}
    for record in targets.TARGETS.values():
        for runner in (record.runner, *record.all_runners):  # the target's own engine first
            if runner is record.runner and not record.runs_here:
                found[runner.name] = f"needs {record.platform_title}"
            else:
                found[runner.name] = _engine_state(runner)
    return found


def _engine_state(runner: targets.Runner) -> str:
    """Return ``usable``, or why the engine is unusable or computes some files wrongly."""
    state = _importable(runner.module)
    if state != "usable":
        return state
    version = installed_version(runner.versions.package)
    right, said = [], []
    for precision in runner.precisions:
        computed = runner.precision_of(precision)
        fault = runner.versions.fault(computed, version, cpu_features()) if version else None
        lines = [line for line in (runner.lacks(precision, cpu_features()), fault) if line]
        right += [] if lines else [precision]
        said += lines
    if not said:
        return "usable"
    return "; ".join([*([f"usable for {', '.join(right)}"] if right else []), *dict.fromkeys(said)])


def _importable(module: str) -> str:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return "not installed"
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:
        return " ".join(f"does not load: {error}".split())
    return "usable"


def stages() -> dict[str, str]:
    """Return what computes the stages: the form of the kernels, and the state of numba."""
    return {"kernels": kernels_in_use(), "numba": numba_problem() or "usable"}


def accelerators() -> list[str]:
    """List the names of the accelerators that torch can use. Without torch the list is empty."""
    if _importable("torch") != "usable":
        return []
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def verbs() -> dict[str, dict[str, str]]:
    """Return the ``status`` and the ``note`` of every verb on this platform."""
    return {verb: dataclasses.asdict(verb_support(verb, this_platform())) for verb in VERB_PACKAGES}


def embedded_names() -> list[str]:
    """List the embedded photographs that are present.

    The other verbs calibrate and verify on these photographs by default.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or importlib.util.find_spec("numpy") is None:
        return []
    from edgeexpo.imaging.samples import EMBEDDED

    places = found.submodule_search_locations or ()
    return [n for n in EMBEDDED if any(list((Path(p) / "data").glob(f"{n}*")) for p in places)]


def _command(extra: str) -> str:
    return "pip install ." if extra == "base" else f"pip install '.[{extra}]'"


def _text(document: dict[str, Any]) -> str:
    host = document["host"]
    features = " ".join(host["cpu_features"]) or "no INT8 features known"
    lines = [
        f"Python {host['python']} on {host['os']}",
        f"{host['cpu']}, {host['cores']} cores, {features}",
        "",
        table(document["packages"], ["package", "found", "tested", "extra", "status"]),
        "",
        *(f"engine {name}: {state}" for name, state in document["engines"].items()),
        "stages: computed by {kernels} (numba: {numba})".format(**document["stages"]),
        f"accelerators: {', '.join(document['accelerators']) or 'none'}",
        f"embedded photographs: {', '.join(document['photographs']) or 'none'}",
        "",
        f"Verbs on {this_platform().title}:",
        *(f"  {verb:12} {VerbSupport(**facts)}" for verb, facts in document["verbs"].items()),
    ]
    for extra, command in document["get"].items():
        lines.append(f"missing from {extra}; in a clone of edgeexpo: {command}")
    return "\n".join(lines)
