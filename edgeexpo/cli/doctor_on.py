"""``edgeexpo doctor --on``: show what another machine has, what it lacks and how to get it."""

from __future__ import annotations

import argparse
from typing import Any

from edgeexpo import targets
from edgeexpo.cli.output import emit, human_bytes, table
from edgeexpo.errors import MissingDependencyError
from edgeexpo.progress import status
from edgeexpo.remote.host import RemoteHost, clock_line
from edgeexpo.remote.requirements import install_there
from edgeexpo.targets import Runner, Target, runner_named


def run(args: argparse.Namespace) -> int:
    """Print the facts of the machine and the state of its engines.

    The exit code is 4 when NumPy or every engine is missing there, else 0.

    Raises:
        HostError: The machine cannot be reached, lacks Python, or an installation fails.
    """
    with RemoteHost(args.on) as host:
        if args.install:
            with status(f"Installing on {host.name}"):
                install_there(host, [runner_named(name)[1] for name in args.install])
        with status(f"Looking at {host.name}"):
            facts = host.facts
            engines = engines_there(host)
    usable = [name for name, row in engines.items() if row["state"].startswith("usable")]
    document: dict[str, Any] = {
        "on": host.name,
        "host": dict(facts),
        "engines": engines,
        "ok": facts["numpy"] is not None and bool(usable),
    }
    emit(args, document, _text(document))
    return 0 if document["ok"] else MissingDependencyError.exit_code


def engines_there(host: RemoteHost) -> dict[str, dict[str, Any]]:
    """Return the ``version`` and the ``state`` of every engine on another machine.

    Raises:
        HostError: The machine was lost.
    """
    found = {
        runner.name: (target, runner)
        for target in targets.TARGETS.values()
        for runner in (target.runner, *target.more_runners)
    }
    packages = host.facts["packages"]
    modules = [r.module for _, r in found.values() if packages.get(r.versions.package)]
    states = host.importable(list(dict.fromkeys(modules))) if modules else {}
    return {
        name: {
            "version": packages.get(runner.versions.package),
            "state": _state(host, target, runner, states.get(runner.module, "not installed")),
        }
        for name, (target, runner) in found.items()
    }


def _state(host: RemoteHost, target: Target, runner: Runner, imported: str) -> str:
    if target.platform not in (None, host.facts["system"]):
        return f"needs {target.platform_title}"
    if imported != "usable":
        return imported
    faults = {p: host.fault(runner, p) for p in runner.precisions}
    said = dict.fromkeys(line for line in faults.values() if line)
    right = [p for p, line in faults.items() if not line]
    if not said:
        return "usable"
    return "; ".join([*([f"usable for {', '.join(right)}"] if right else []), *said])


def _text(document: dict[str, Any]) -> str:
    host, name = document["host"], document["on"]
    features = " ".join(host["cpu_features"]) or "no INT8 features known"
    rows = [{"engine": engine, **row} for engine, row in document["engines"].items()]
    lines = [
        f"{name}: Python {host['python']} ({host['executable']}) on {host['os']}",
        f"{host['cpu']}, {host['cores']} cores, {features}",
        f"numpy: {host['numpy'] or 'not installed'}; free on the disk of the cache: "
        f"{human_bytes(host['free_bytes'])}",
        "",
        table(rows, ["engine", "version", "state"]),
    ]
    if line := clock_line(name, host):
        lines.append(line)
    if not document["ok"]:
        lines.append(
            "NumPy and one engine are needed there: install them, or use --install onnxruntime"
        )
    return "\n".join(lines)
