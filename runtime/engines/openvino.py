"""OpenVINO on the CPU, for ``.onnx`` files. Intel and AMD desktops and edge boxes have it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    closed,
    in_memory,
    missing,
    refuse_placement,
)
from edgeexpo.spec import ModelSpec

SIZES_KEPT = 4
"""Number of input sizes whose compiled models are kept, the last ones used."""

_FAILURES = (RuntimeError, ValueError, TypeError, MemoryError)
"""Exceptions that OpenVINO raises."""


class OpenvinoEngine:
    """An engine for a ``.onnx`` file: OpenVINO's CPU plugin, in the file's own precision.

    OpenVINO compiles a model for every size of the inputs, since models of fixed sizes run faster.
    The first run of a size therefore takes longer.
    """

    name = "openvino"

    precision = "f32"
    """Precision in which float operators are computed, as OpenVINO names it."""

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._core: Any = None
        self._model: Any = None
        self._compiled: OrderedDict[tuple[tuple[int, ...], ...], Any] = OrderedDict()

    def load(self, path: Path) -> None:
        """Read the model. It is compiled when the first run tells its size.

        Raises:
            MissingDependencyError: OpenVINO is not installed.
            EngineError: OpenVINO refuses the file, or does not support the options.
        """
        refuse_placement(self._options, "OpenVINO", "OpenVINO plans its memory when it compiles")
        try:
            import openvino
        except ImportError as error:
            raise missing("openvino", "[openvino]") from error
        model = in_memory(path)
        try:
            self._core = openvino.Core()
            self._model = self._core.read_model(model)
        except _FAILURES as error:
            raise EngineError(f"OpenVINO cannot load {path.name}: {_reason(error)}") from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the model once, from and to NCHW float32 by name.

        Raises:
            EngineError: OpenVINO failed, or the engine is closed.
        """
        if self._model is None:
            raise closed(self.name)
        try:
            found = self._request(inputs).infer(dict(inputs))
            return {name: found[name] for name in self._outputs}
        except (*_FAILURES, KeyError) as error:
            raise EngineError(f"OpenVINO failed: {_reason(error)}") from error

    def _request(self, inputs: Arrays) -> Any:
        sizes = tuple(inputs[port.any_name].shape for port in self._model.inputs)
        if sizes not in self._compiled:
            fixed = self._model.clone()
            fixed.reshape(
                {port.any_name: list(inputs[port.any_name].shape) for port in fixed.inputs}
            )
            _spread_in_two_steps(fixed)
            settings = {
                "INFERENCE_PRECISION_HINT": self.precision,
                "PERFORMANCE_HINT": "LATENCY",
            }
            if self._options.threads is not None:
                settings["INFERENCE_NUM_THREADS"] = str(self._options.threads)
            compiled = self._core.compile_model(fixed, "CPU", settings)
            taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
            if taken != self.precision:
                raise EngineError(
                    f"OpenVINO computes in {taken} on this processor, not in {self.precision}; "
                    "choose the engine openvino"
                )
            self._compiled[sizes] = compiled.create_infer_request()
        self._compiled.move_to_end(sizes)
        while len(self._compiled) > SIZES_KEPT:
            self._compiled.popitem(last=False)
        return self._compiled[sizes]

    def close(self) -> None:
        """Free the compiled models."""
        self._compiled.clear()
        self._core = self._model = None


def _reason(error: Exception) -> str:
    """Return OpenVINO's message in one line, without the places in its sources that come first."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception from ")]
    return (told or lines or [type(error).__name__])[0][:240]


def _spread_in_two_steps(model: Any) -> None:
    """Write every DepthToSpace of a model of fixed sizes as two transpositions.

    Transposed convolutions of INT8 files are convolutions, a Concat and a DepthToSpace. OpenVINO
    2026.4 moves the zero points of the Concat, one for each channel, behind the DepthToSpace, which
    has fewer channels, and then refuses its own graph. These operators it handles correctly.
    """
    from openvino import opset13

    for node in model.get_ordered_ops():
        facts = node.get_attributes()
        if node.get_type_name() != "DepthToSpace" or facts["mode"] != "blocks_first":
            continue
        count, channels, height, width = node.input(0).get_shape()
        block = int(facts["block_size"])
        kept = channels // block**2
        value = node.input(0).get_source_output()
        # Axes: row in the block, column in the block, channel and row, column.
        value = opset13.reshape(value, [count * block, block, kept * height, width], False)
        value = opset13.transpose(value, [0, 2, 3, 1])
        value = opset13.reshape(value, [count, block, kept, height, width * block], False)
        value = opset13.transpose(value, [0, 2, 3, 1, 4])
        value = opset13.reshape(value, [count, kept, height * block, width * block], False)
        for reader in list(node.output(0).get_target_inputs()):
            reader.replace_source_output(value.output(0))
    model.validate_nodes_and_infer_types()


class OpenvinoBf16Engine(OpenvinoEngine):
    """The same engine for fp32 files, which it computes in BF16 where the processor can."""

    name = "openvino-bf16"
    precision = "bf16"
