"""Runs of an ONNX graph on another machine that give chosen values in their own types."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError, LostConnectionError
from edgeexpo.remote.host import ANSWER_LIMIT, RemoteHost, digest_of
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.runtime.engines.onnx_taps import run_taps

LIMIT = 300.0
"""Seconds that one run may take there."""


def run_taps_there(
    host: RemoteHost, path: Path, inputs: Arrays, wanted: Sequence[str], optimised: bool
) -> dict[str, np.ndarray]:
    """Do as :func:`edgeexpo.runtime.engines.onnx_taps.run_taps` does, on another machine.

    A lost connection is made once more.

    Raises:
        EngineError: ONNX Runtime refuses the file, or fails.
        LostConnectionError: The connection broke twice.
    """
    try:
        return _run(host, path, inputs, wanted, optimised)
    except LostConnectionError:
        return _run(host, path, inputs, wanted, optimised)


def _run(
    host: RemoteHost, path: Path, inputs: Arrays, wanted: Sequence[str], optimised: bool
) -> dict[str, np.ndarray]:
    key = host.send(path, digest_of(path))
    request = {"verb": "taps", **key, "limit": LIMIT}
    request |= {"wanted": list(wanted), "optimised": optimised}
    _, payload = host.ask(request, LIMIT + ANSWER_LIMIT, [_packed(inputs)])
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as found:
            return {name: found[f"value{index}"] for index, name in enumerate(wanted)}
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise EngineError(f"{host.name} gives invalid values: {error}") from error


def serve_taps(folder: str, job: Mapping[str, Any]) -> None:
    """Run a graph there: from ``inputs.npz`` to ``outputs.npz``, both in ``folder``."""
    place = Path(folder)
    with np.load(place / "inputs.npz", allow_pickle=False) as found:
        inputs = {str(name): found[f"value{i}"] for i, name in enumerate(found["names"])}
    outputs = run_taps(Path(job["path"]), inputs, job["wanted"], job["optimised"])
    (place / "outputs.npz").write_bytes(_packed(outputs))


def _packed(arrays: Arrays) -> bytes:
    # Names of values may hold characters that file names in a zip may not.
    stream = io.BytesIO()
    values = {f"value{i}": value for i, value in enumerate(arrays.values())}
    np.savez(stream, names=np.array(list(arrays)), **values)  # type: ignore[arg-type]
    return stream.getvalue()
