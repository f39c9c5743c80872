"""Engines of graphs that hold their stages: frames in, the picture out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.spec import ModelSpec

if TYPE_CHECKING:
    from edgeexpo.runtime.engines.base import Arrays, Engine


class FrameEngine:
    """An engine whose artefact takes frames and gives the picture, HxWx3 uint8.

    :meth:`run` has the form of every engine, planes in float32. :meth:`picture` passes the codes of
    frames on, without a copy in float.

    Args:
        engine: The engine, which has loaded the artefact.
        spec: The graph, whose inputs and output are frames.
    """

    def __init__(self, engine: Engine, spec: ModelSpec) -> None:
        self.name = engine.name
        self._engine = engine
        self._output = spec.outputs[0]

    def load(self, path: Path) -> None:
        """Load another artefact.

        Raises:
            EngineError: The engine refuses it.
        """
        self._engine.load(path)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the artefact once, from and to 1x3xHxW float32 in [0, 1] by name.

        Raises:
            EngineError: The run fails, or the engine is closed.
        """
        frames = {
            name: np.rint(np.clip(planes[0].transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)
            for name, planes in inputs.items()
        }
        codes = self.picture(frames)
        planes = codes.transpose(2, 0, 1)[None].astype(np.float32)
        planes /= np.float32(255)
        return {self._output.name: planes}

    def picture(self, frames: Arrays) -> np.ndarray:
        """Run the artefact once, from frames by name to the picture, HxWx3 uint8 each.

        Raises:
            EngineError: The run fails, the engine is closed, or the result is no such picture.
        """
        found = self._engine.run({n: np.ascontiguousarray(f) for n, f in frames.items()})
        codes = found.get(self._output.name)
        wanted = self._output.shape((0, 0))
        if codes is None or codes.shape != wanted or codes.dtype != np.uint8:
            shown = "nothing" if codes is None else f"{codes.shape} {codes.dtype}"
            raise EngineError(
                f"the artefact gives {shown} for {self._output.name!r}; its manifest promises "
                f"{'x'.join(map(str, wanted))} uint8: export the bundle again"
            )
        return codes

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()
