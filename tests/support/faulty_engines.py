"""Engines that misbehave, opened in their own process; ``target`` names the misbehaviour."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from edgeexpo.errors import EngineError


class FaultyEngine:
    """An engine that returns its input, and misbehaves when the first number is above 0.5.

    With ``once-`` before the name of a fault it misbehaves only if the file ``PATH.done`` is
    missing, and then writes it. The next process behaves well.
    """

    name = "faulty"

    def __init__(self, fault: str, path: Path) -> None:
        self._fault, self._path = fault, path
        self._kept: list[np.ndarray] = []

    def load(self, path: Path) -> None:
        raise NotImplementedError

    def run(self, inputs):
        picture = inputs["y0"]
        if picture.flat[0] > 0.5:
            fault, done = self._fault, self._path.with_suffix(".done")
            if not fault.startswith("once-"):
                FAULTS[fault](self)
            elif not done.exists():
                done.touch()
                FAULTS[fault.removeprefix("once-")](self)
        result = np.array(picture)
        return {} if self._fault == "forget" else {"y_hat": result}

    def close(self) -> None:
        if self._fault == "hang at the end":
            time.sleep(1000)

    def leak(self) -> None:
        self._kept.append(np.zeros(1 << 18, np.float32))


def refuse(_):
    raise EngineError("the engine refuses this frame")


def talk(_):
    os.write(2, b"a complaint of fifty bytes, which nobody has read.\n" * 2000)


FAULTS = {
    "abort": lambda _: os.abort(),
    "hang": lambda _: time.sleep(1000),
    "exit": lambda _: os._exit(0),
    "raise": lambda _: {}["nothing"],
    "refuse": refuse,
    "leak": FaultyEngine.leak,
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "talk": talk,
    "forget": lambda _: None,
    "torch": lambda _: sys.modules["torch"],
}


def open_engine(fault, path, spec, options):
    """See :func:`edgeexpo.runtime.engines.base.open_engine_class`."""
    if fault == "abort at once":
        os.abort()
    return FaultyEngine(fault, path)
