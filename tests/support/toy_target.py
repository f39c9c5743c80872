"""A new target for tests: an exporter, an engine and a reader in NumPy, and their record.

The format is a NumPy archive with the weights, and with the steps of the program as JSON. The page
``docs/development/adding-a-target.md`` explains this file step by step.
"""

from __future__ import annotations

import collections
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import BundleError, EngineError, ExportError
from edgeexpo.runtime.engines.base import DEFAULTS, Arrays, EngineOptions, closed, first_line
from edgeexpo.spec import ModelSpec, SizeRange
from edgeexpo.targets import Runner, Target
from edgeexpo.writing import writing

STEPS = "steps"
"""Name of the program's steps in the archive. All other names are names of weights."""


def export_toy(program: Any, path: Path) -> SizeRange:
    """Write ``program`` as an archive, as :func:`edgeexpo.export.lowering.lower` expects.

    Args:
        program: The captured program.
        path: Path of the archive.

    Returns:
        The sizes that the artefact accepts.

    Raises:
        ExportError: The program has an operator that the engine lacks.
        OutputError: The file cannot be written.
    """
    exported = program.exported
    weights = {
        name: exported.state_dict[parameter].detach().numpy()
        for name, parameter in exported.graph_signature.inputs_to_parameters.items()
    }
    steps = []
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        if str(node.target) not in OPERATORS:
            raise ExportError(f"the toy target has no operator {node.target}")
        arguments = [getattr(a, "name", a) for a in node.args]
        steps.append({"name": node.name, "operator": str(node.target), "arguments": arguments})
    with writing(path), path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **weights, **{STEPS: json.dumps(steps)})
    return program.sizes


class ToyEngine:
    """An engine that runs an archive step by step."""

    name = "toy-numpy"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        if options.affinity is not None:
            raise EngineError("the toy engine has no threads; leave affinity out")
        self._output = spec.outputs[0].name
        self._steps: list[dict[str, Any]] = []
        self._weights: dict[str, np.ndarray] = {}

    def load(self, path: Path) -> None:
        """Read the steps and the weights.

        Raises:
            EngineError: The file is not such an archive.
        """
        try:
            self._steps, self._weights = read_toy(path)
        except ValueError as error:
            raise EngineError(f"the toy engine cannot load {path.name}: {error}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the program once.

        Args:
            inputs: NCHW float32 by input name.

        Returns:
            NCHW float32 by output name.

        Raises:
            EngineError: The engine is closed, or a convolution has a stride.
        """
        if not self._steps:
            raise closed(self.name)
        values: dict[str, Any] = {**self._weights, **inputs}
        for step in self._steps:
            arguments = [values.get(a, a) if isinstance(a, str) else a for a in step["arguments"]]
            values[step["name"]] = OPERATORS[step["operator"]](*arguments)
        return {self._output: np.asarray(values[self._steps[-1]["name"]], np.float32)}

    def close(self) -> None:
        """Free the weights."""
        self._steps, self._weights = [], {}


def toy_contents(path: Path) -> dict[str, Any]:
    """Return the contents of an archive, as ``inspect`` shows them.

    Raises:
        BundleError: The file is not such an archive.
    """
    try:
        steps, weights = read_toy(path)
    except ValueError as error:
        raise BundleError(f"{path} is not a toy archive: {error}; export it again") from error
    return {
        "kind": "toy",
        "inputs": [],
        "outputs": [],
        "operators": dict(collections.Counter(step["operator"] for step in steps)),
        "weights_bytes": sum(array.nbytes for array in weights.values()),
    }


def read_toy(path: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the steps and the weights of an archive.

    Raises:
        ValueError: The file is not such an archive.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive.items())
        steps = json.loads(str(arrays.pop(STEPS)))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(first_line(error)) from error
    return steps, arrays


def _conv2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Any = (1, 1), pad: Any = (0, 0)
) -> np.ndarray:
    if list(stride) != [1, 1]:
        raise EngineError(f"the toy engine has no stride of {stride}")
    (rows, columns), (_, _, *kernel) = pad, weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    summed = np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True)
    return summed + bias[:, None, None]


OPERATORS = {
    "aten.conv2d.default": _conv2d,
    "aten.relu.default": lambda x: np.maximum(x, 0),
    "aten.mul.Tensor": np.multiply,
    "aten.add.Tensor": np.add,
    "aten.clamp.default": np.clip,
}
"""Functions that the engine computes, by the operator's name in the program."""

TOY = Target(
    name="toy",
    title="Toy",
    suffix=".toy",
    exporter="tests.support.toy_target:export_toy",
    runner=Runner(
        name=ToyEngine.name,
        title="toy engine",
        engine="tests.support.toy_target:ToyEngine",
        module="numpy",
        extra="export",
        words="The file was run by numpy. Not verified: anything else.",
    ),
    reader="tests.support.toy_target:toy_contents",
    tools=("numpy",),
    libraries=("numpy",),
    precisions=("fp32",),
)
"""Record of the toy target, in the form of the records in :mod:`edgeexpo.targets`."""
