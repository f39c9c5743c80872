"""Latency of artefacts and of the reference program, measured side by side.

Every program is loaded in its own child process, so that its peak memory is measured separately.
The children then take turns. In each round every child runs once, so that a slow minute of the
machine affects all of them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeexpo import errors
from edgeexpo.bundle.files import size_in_bytes
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import EngineError, UsageError
from edgeexpo.progress import status, track
from edgeexpo.remote.engine import RUN_LIMIT
from edgeexpo.remote.host import RemoteHost
from edgeexpo.spec import ModelSpec, SizeRange, to_json
from edgeexpo.targets import Runner, target_named

TORCH = "torch"
"""Name of the reference program's engine in rows."""

CHILD = "edgeexpo.workflows.latency_child:serve_timing"
"""The function that times one program in a process of its own, as ``module:function``."""

WARMUP = 3
"""Number of runs of each program before the timed runs."""


@dataclass
class Contender:
    """One program to be timed.

    Attributes:
        spec: The model, whose inputs the program takes.
        artifact: The artefact in the file. ``None`` for the reference program.
        path: Path of the file.
        size: Height and width of the picture in pixels.
        threads: Number of threads of the engine.
        folder: Folder of the program. Rows compare times within one folder.
        note: Reason why the program cannot be timed on this host. ``None`` if it can be timed.
        ms: Times in milliseconds, one for each run.
        peak_rss_mb: Largest resident memory of the program's process in MB (10^6 bytes).
        runner: Engine that runs the artefact; by default the target's own. ``None`` for the
            reference program.
        host: The machine on which the program is timed; ``None`` for this one.
    """

    spec: ModelSpec
    artifact: Artifact | None
    path: Path
    size: tuple[int, int]
    threads: int
    folder: Path
    note: str | None = None
    ms: list[float] = field(default_factory=list)
    peak_rss_mb: float | None = None
    runner: Runner | None = None
    host: RemoteHost | None = None

    def __post_init__(self) -> None:
        if self.runner is None and self.artifact is not None:
            self.runner = target_named(self.artifact.target).runner

    @property
    def precision(self) -> str:
        """Precision in which the program computes."""
        if self.artifact is None or self.runner is None:
            return "fp32"
        return self.runner.precision_of(self.artifact.precision)

    @property
    def engine(self) -> str | None:
        """Class of the engine as ``module:Class``, or ``None`` for the reference program."""
        return self.runner.engine if self.runner else None

    @property
    def engine_name(self) -> str:
        """Name of the engine in rows."""
        return self.runner.name if self.runner else TORCH

    @property
    def place(self) -> str | None:
        """Name of the machine; ``None`` for this one."""
        return self.host.name if self.host else None

    @property
    def kind(self) -> tuple[Path, str | None, str, str]:
        """Folder, machine, engine's package and precision, by which rows find each other."""
        return (
            self.folder,
            self.place,
            self.runner.versions.package if self.runner else TORCH,
            self.precision,
        )

    @property
    def label(self) -> str:
        """Name of the program for people."""
        return self.artifact.file if self.artifact else "torch eager"


def check_bench_size(artifact: Artifact, picture: tuple[int, int]) -> None:
    """Refuse a picture size that ``artifact`` does not accept without tiles.

    Args:
        artifact: The artefact.
        picture: (height, width) of the picture in pixels.

    Raises:
        UsageError: The artefact does not accept the size. The message names the accepted sizes.
    """
    sizes: SizeRange = artifact.sizes
    if sizes.enumerated:
        fits = picture in sizes.enumerated
        accepted = ", ".join(f"{h},{w}" for h, w in sizes.enumerated)
    else:
        fits = all(
            low <= side <= high and side % sizes.multiple == 0
            for side, low, high in zip(picture, sizes.smallest, sizes.largest, strict=True)
        )
        accepted = "{},{} to {},{}".format(*sizes.smallest, *sizes.largest)
        accepted += f" in steps of {sizes.multiple}" if sizes.multiple > 1 else ""
    if not fits:
        raise UsageError(
            f"{artifact.file} does not accept {picture[0]}x{picture[1]}; "
            f"give a `size` of {accepted}"
        )


def measure_latency(contenders: Sequence[Contender], runs: int) -> None:
    """Fill in ``ms`` and ``peak_rss_mb`` of every contender. The contenders take turns.

    Args:
        contenders: The programs to time.
        runs: Number of timed runs of each program, after :data:`WARMUP` runs to warm up.

    Raises:
        EdgeexpoError: A child reported an error. The error keeps the type that it had there.
        EngineError: A child ended before it answered.
    """
    with ExitStack() as stack:
        with status("loading the engines"):
            children: list[_Child | _ChildThere] = []
            for contender in contenders:
                child = _child(contender)
                children.append(child)
                stack.enter_context(child)
        for turn in track(range(WARMUP + runs), "timing"):
            for contender, child in zip(contenders, children, strict=True):
                answer = child.ask("\n")
                contender.peak_rss_mb = answer["peak_rss_mb"]
                if turn >= WARMUP:
                    contender.ms.append(answer["ms"])


def _child(contender: Contender) -> _Child | _ChildThere:
    return _Child(contender) if contender.host is None else _ChildThere(contender, contender.host)


class _Child:
    """A running ``edgeexpo.workflows.latency_child``. It ends at the end of its ``with`` block."""

    def __init__(self, contender: Contender) -> None:
        self.label = contender.label
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgeexpo.workflows.latency_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        job = {**_job(contender), "path": str(contender.path)}
        self.first = json.dumps(job) + "\n"

    def __enter__(self) -> _Child:
        try:
            self.ask(self.first)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            text = self.process.stdout.readline()
        except OSError:  # A broken pipe. Windows reports an invalid argument.
            text = ""
        if not text:
            code = self.process.wait()
            raise EngineError(
                f"timing {self.label} ended with exit code {code}; expected it to run to the end "
                "(negative: killed by that signal, often for memory); try a smaller `size`"
            )
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return answer


def _job(contender: Contender) -> dict[str, Any]:
    return {
        "engine": contender.engine,
        "spec": to_json(contender.spec),
        "size": contender.size,
        "threads": contender.threads,
    }


class _ChildThere:
    """A running ``edgeexpo.workflows.latency_child`` on another machine, which takes the times."""

    def __init__(self, contender: Contender, host: RemoteHost) -> None:
        self._contender = contender
        self._host = RemoteHost(host.transport)  # a connection of its own for each program

    def __enter__(self) -> _ChildThere:
        artifact = self._contender.artifact
        assert artifact is not None  # the reference program is timed on this machine alone
        try:
            key = self._host.send(self._contender.path, artifact.sha256)
            self._answer({"verb": "time", **key, "child": CHILD, "job": _job(self._contender)})
        except BaseException:
            self._host.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()

    def ask(self, _: str) -> dict[str, Any]:
        return self._answer({"verb": "step"})

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer, _ = self._host.ask(request, RUN_LIMIT)
        if "ended" in answer:
            raise EngineError(
                f"timing {self._contender.label} on {self._host.name} ended with exit code "
                f"{answer['ended']}; expected it to run to the end (negative: killed by that "
                "signal, often for memory); try a smaller `size`"
            )
        return answer


def rows(contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """Return one row for each contender.

    Times are in ms, and memory is in MB (10^6 bytes). Speed-ups are ratios of medians within one
    bundle. A figure that was not measured is ``None``.
    """
    medians = {
        c.kind: p50
        for c in contenders
        if (p50 := statistics.median(c.ms) if c.ms else None) is not None
    }
    found = []
    for c in contenders:
        folder, place, package, _ = c.kind
        p50 = medians.get(c.kind)
        found.append(
            {
                "bundle": str(c.folder),
                "file": c.artifact.file if c.artifact else None,
                "engine": c.engine_name,
                "target": c.artifact.target if c.artifact else None,
                "precision": c.precision,
                "size": list(c.size),
                "threads": c.threads,
                "ms_p50": _rounded(p50),
                "ms_p90": _rounded(_p90(c.ms)),
                "peak_rss_mb": _rounded(c.peak_rss_mb, 1),
                "bytes": c.artifact.bytes if c.artifact else _bytes(c.path),
                "speedup_torch": _ratio(medians.get((folder, place, TORCH, "fp32")), p50),
                "speedup_fp32": _ratio(medians.get((folder, place, package, "fp32")), p50),
                "note": c.note,
                **({} if c.host is None else {"on": c.place, "version": _version_there(c)}),
            }
        )
    return found


def _version_there(contender: Contender) -> str | None:
    host, runner = contender.host, contender.runner
    return host.version(runner) if host and runner else None


def _bytes(path: Path) -> int | None:
    return size_in_bytes(path) if path.exists() else None


def _p90(ms: Sequence[float]) -> float | None:
    if len(ms) < 2:
        return ms[0] if ms else None
    return statistics.quantiles(ms, n=10, method="inclusive")[8]


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or denominator is None else round(numerator / denominator, 2)
