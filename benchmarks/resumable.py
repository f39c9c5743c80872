"""Trials that can be stopped and started again, each in a process that may die.

The results are lines of a file, one JSON document each.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

Document = dict[str, Any]
"""Result of a trial."""

T = TypeVar("T")


def documents(path: Path) -> list[Document]:
    """Return the results in a file, without a last line that was cut."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def read(path: Path) -> list[Document]:
    """Return the results of seeds in a file, in the order of the seeds."""
    return sorted(documents(path), key=lambda found: int(found["seed"]))


def seeds_left(path: Path, first: int, count: int) -> list[int]:
    """Return the seeds without a result in a file, of ``count`` from ``first`` on."""
    done = {found["seed"] for found in documents(path)}
    return [seed for seed in range(first, first + count) if seed not in done]


def keep(path: Path, found: Document) -> None:
    """Add a result to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(found) + "\n")


def results(
    trials: Iterable[T],
    work: Callable[[T], Document],
    dead: Callable[[T, str], Document],
    limit: float,
    seconds: float = math.inf,
    start: Callable[..., None] | None = None,
    arguments: Callable[[], tuple[Any, ...]] = tuple,
) -> Iterator[Document]:
    """Yield the results of trials, until all are done or the seconds are over.

    A process serves one trial after the other, until it dies or is ended at the limit.

    Args:
        trials: The trials.
        work: Function that makes the result of a trial. It is called in the process.
        dead: Function of a trial and words that makes the result where the process gave none.
        limit: Seconds that a trial may take.
        seconds: Seconds after which no trial is begun.
        start: Function that prepares a process.
        arguments: Function that makes its arguments, called here for every process.
    """
    end, waiting = time.monotonic() + seconds, list(trials)
    context = multiprocessing.get_context("spawn")
    while waiting and time.monotonic() < end:
        with ProcessPoolExecutor(1, context, start, arguments()) as process:
            while waiting and time.monotonic() < end:
                trial = waiting.pop(0)
                try:
                    yield process.submit(work, trial).result(limit)
                except BrokenProcessPool:
                    yield dead(trial, "the process died")
                    break
                except TimeoutError:
                    for worker in list(process._processes.values()):
                        worker.kill()
                    yield dead(trial, f"no end within {limit:.0f} s")
                    break
