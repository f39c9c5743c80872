"""Intermediate values of an ``.onnx`` file, from a copy whose every value is an output."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.parity.localisation.trace import COPY, Grid, Traced, kind
from edgeexpo.remote.host import RemoteHost
from edgeexpo.remote.taps import run_taps_there
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.runtime.engines.onnx import OnnxEngine
from edgeexpo.runtime.engines.onnx_taps import run_taps
from edgeexpo.spec import ModelSpec, SizeRange
from edgeexpo.targets import runner_named

_COPIES = frozenset(("Cast",))


class OnnxTracer:
    """Runs a copy of the graph in which every value is an output, without graph optimisations."""

    engine = "onnxruntime, graph optimisations off"

    def __init__(self, spec: ModelSpec, sizes: SizeRange) -> None:
        self.caveat = "graph optimisations are off in the copy that is traced"
        self._run: Callable[[Path, Arrays, Sequence[str], bool], dict[str, np.ndarray]] = run_taps

    def run_on(self, host: RemoteHost) -> None:
        """Run the graphs on another machine from now on.

        Raises:
            MissingDependencyError: ONNX Runtime is not installed there.
            HostError: The machine cannot be reached.
        """
        target, runner = runner_named(OnnxEngine.name)
        host.runner(target, runner)
        self.engine = (
            f"{runner.name} {host.version(runner)} on {host.name}, graph optimisations off"
        )
        self._run = partial(run_taps_there, host)

    def __call__(self, path: Path, inputs: Arrays) -> list[Traced]:
        """Run the copy once, and the file itself with optimisations to measure their effect.

        See :class:`edgeexpo.parity.localisation.trace.Tracer`.
        """
        import onnx

        model = onnx.load(path)
        constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        nodes = [n for n in model.graph.node if not _is_constant(n, constants)]
        output = model.graph.output[0].name
        wanted = [name for node in nodes for name in node.output if name]
        model.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(name) for name in wanted if name != output
        )
        with tempfile.TemporaryDirectory() as folder:
            tapped = Path(folder) / path.name
            tapped.write_bytes(model.SerializeToString())
            found = self._run(tapped, inputs, wanted, False)
        fused = self._run(path, inputs, [output], True)[output]
        gap = float(np.abs(fused - found[output]).max())
        self.caveat = (
            "graph optimisations are off in the copy that is traced; "
            f"with them on the output differs by at most {gap:.2g}"
        )
        return list(_traced(nodes, found, constants))


def _is_constant(node: Any, constants: dict[str, np.ndarray]) -> bool:
    """Return true when all inputs of ``node`` are stored; its results then count as stored, too."""
    if all(not name or name in constants for name in node.input):
        constants.update({name: np.zeros(0) for name in node.output})
        return True
    return False


def _traced(
    nodes: list[Any], found: dict[str, np.ndarray], constants: dict[str, np.ndarray]
) -> Any:
    """Yield the floating-point values; integer codes between two of them are skipped."""
    sources: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        read = [n for n in node.input if n and n not in constants]
        inputs = tuple(dict.fromkeys(s for name in read for s in sources.get(name, (name,))))
        for name in node.output:
            value = found.get(name)
            if value is None or value.dtype.kind != "f":
                sources[name] = inputs
                continue
            sources[name] = (name,)
            grid = None
            if node.op_type == "DequantizeLinear":
                grid = _grid(node, constants, found[node.input[0]].dtype)
            word = COPY if node.op_type in _COPIES else kind(node.op_type)
            half = value.dtype == np.float16
            real = value.astype(np.float32)
            yield Traced(name, node.op_type, (word,), inputs, real, grid, half)


def _grid(node: Any, constants: dict[str, np.ndarray], dtype: Any) -> Grid | None:
    stored = [constants.get(name) for name in node.input[1:3]]
    if any(part is None or part.size != 1 for part in stored):
        return None
    limits = np.iinfo(dtype)
    scale, zero_point = (part.reshape(-1)[0] for part in stored if part is not None)
    return Grid(float(scale), int(zero_point), int(limits.min), int(limits.max))
