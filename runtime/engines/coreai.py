"""Apple's Core AI runtime (a beta) on the CPU, on Linux and macOS."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    closed,
    first_line,
    in_memory,
    missing,
    refuse_placement,
)
from edgeexpo.silence import muted
from edgeexpo.spec import ModelSpec

PROGRAM, PROGRAM_DIGEST = "main.mlirb", "main.hash"
"""Files of an ``.aimodel`` folder: its program, and the SHA-256 of its program."""

FUNCTION = "main"
"""Name of the function that an artefact holds."""

_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, OSError)
"""Exceptions that Core AI raises."""

_T = TypeVar("_T")


class CoreaiEngine:
    """An engine for an ``.aimodel`` folder: Apple's Core AI runtime, on the CPU.

    Core AI compiles the program when it is loaded. Its interface is made of coroutines. They run on
    a thread of the engine's own, so that a caller with an event loop can use the engine too.
    """

    name = "coreai"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._function: Any = None
        self._thread: ThreadPoolExecutor | None = None

    def load(self, path: Path) -> None:
        """Compile and load the program.

        Raises:
            MissingDependencyError: Core AI is not installed.
            EngineError: Core AI refuses the folder, the program is damaged, or Core AI does not
                support the options.
        """
        refuse_placement(self._options, "Core AI", "Core AI plans its memory when it loads")
        if self._options.threads is not None:
            raise EngineError("Core AI chooses its threads itself; leave threads out")
        asset = open_asset(path)
        self._thread = ThreadPoolExecutor(1)
        try:
            with muted():
                self._function = self._await(_load(asset))
        except _FAILURES as error:
            self.close()
            raise EngineError(f"Core AI cannot load {path.name}: {first_line(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Call the function once, from and to NCHW float32 by name.

        Raises:
            EngineError: Core AI failed, or the engine is closed.
        """
        if self._function is None:
            raise closed(self.name)
        from coreai.runtime import NDArray

        given = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        self._check_shapes(given)
        try:
            found = self._await(self._function({k: NDArray(v) for k, v in given.items()}))
        except _FAILURES as error:
            raise EngineError(f"Core AI failed: {first_line(error)}") from error
        # The arrays of Core AI share memory that the engine owns.
        return {name: np.array(found[name].numpy()) for name in self._outputs if name in found}

    def _check_shapes(self, given: Arrays) -> None:
        """Refuse inputs of another shape. Core AI would name only the operator that met them."""
        described = self._function.desc
        for name in described.input_names:
            expected = tuple(described.input_descriptor(name).shape)
            found = given[name].shape if name in given else ()
            fits = len(found) == len(expected) and all(
                side in (-1, actual) for side, actual in zip(expected, found, strict=True)
            )
            if not fits:
                wanted = "x".join("?" if side == -1 else str(side) for side in expected)
                raise EngineError(
                    f"input {name!r} is {'x'.join(map(str, found)) or 'missing'}; expected {wanted}"
                )

    def close(self) -> None:
        """Free the program and end the engine's thread."""
        self._function = None
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _await(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        assert self._thread is not None
        return self._thread.submit(asyncio.run, coroutine).result()


def open_asset(path: Path) -> Any:
    """Return an ``.aimodel`` folder as Core AI's ``AIModelAsset``, with its program checked.

    coreai-core 1.0.0b3 ends the process when it loads a damaged program. The digest in the folder
    is therefore compared first.

    Raises:
        MissingDependencyError: Core AI is not installed.
        EngineError: The folder is no Core AI model, or its program is damaged.
    """
    try:
        from coreai.authoring import AIModelAsset
    except ImportError as error:
        raise missing("coreai-core", "[coreai]") from error
    program = in_memory(path / PROGRAM)
    if hashlib.sha256(program).digest() != in_memory(path / PROGRAM_DIGEST):
        raise EngineError(f"{path.name} is damaged: {PROGRAM} does not match {PROGRAM_DIGEST}")
    try:
        return AIModelAsset.load(path)
    except _FAILURES as error:
        raise EngineError(f"Core AI cannot read {path.name}: {first_line(error)}") from error


async def _load(asset: Any) -> Any:
    async with asset.executable() as model:
        return model.load_function(FUNCTION)
