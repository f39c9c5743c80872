"""Faults in one layer of an ``.onnx`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgeexpo.errors import UsageError


class OnnxFile:
    """The convolutions of an ONNX graph; see :class:`edgeexpo.testing.faults.plant.Layers`."""

    def __init__(self, path: Path) -> None:
        self._model = onnx.load(path)
        graph = self._model.graph
        self._stored = {i.name: i for i in graph.initializer}
        self._makers = {o: n for n in graph.node for o in n.output}
        self._layers = [n for n in graph.node if n.op_type == "Conv"]
        self.count = len(self._layers)

    def weight(self, layer: int) -> np.ndarray:
        """Return the weights as signed codes or real numbers."""
        return self._read(self._layers[layer].input[1])

    def set_weight(self, layer: int, value: np.ndarray) -> None:
        """Store the weights, given as signed codes or real numbers."""
        self._write(self._layers[layer].input[1], value)

    def bias(self, layer: int) -> np.ndarray:
        """Return the bias as the accumulator's codes or as real numbers."""
        return self._read(self._layers[layer].input[2])

    def set_bias(self, layer: int, value: np.ndarray) -> None:
        """Store the bias as the accumulator's codes or as real numbers."""
        self._write(self._layers[layer].input[2], value)

    def change_grid(self, layer: int, factor: float, steps: int) -> None:
        """Change the scale and zero point of the DequantizeLinear that reads the layer's codes.

        Raises:
            UsageError: The layer's result is not quantised.
        """
        quantize = self._after(self._layers[layer], "QuantizeLinear")
        for node in self._model.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == quantize.output[0]:
                scale, zero = (self._read(name) for name in node.input[1:3])
                moved = np.clip(zero.astype(np.int64) + steps, 0, 255).astype(zero.dtype)
                node.input[1] = self._added(f"{node.output[0]}_scale", scale * np.float32(factor))
                node.input[2] = self._added(f"{node.output[0]}_zero", moved)

    def drop_activation(self, layer: int) -> None:
        """Replace the Relu by an Identity.

        Raises:
            UsageError: No Relu follows the layer.
        """
        self._after(self._layers[layer], "Relu").op_type = "Identity"

    def move_padding(self, layer: int) -> None:
        """Change the attribute ``pads``: top, left, bottom, right."""
        for attribute in self._layers[layer].attribute:
            if attribute.name == "pads":
                top, left, bottom, right = attribute.ints
                attribute.ints[:] = [top + 1, left + 1, bottom - 1, right - 1]

    def save(self, path: Path) -> None:
        """Write the model."""
        onnx.save(self._model, path)

    def _source(self, name: str) -> str:
        """Return the name of the initialiser of a value, through its DequantizeLinear."""
        return name if name in self._stored else str(self._makers[name].input[0])

    def _read(self, name: str) -> np.ndarray:
        value: np.ndarray = numpy_helper.to_array(self._stored[self._source(name)])
        return value

    def _write(self, name: str, value: np.ndarray) -> None:
        stored = self._stored[self._source(name)]
        stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), stored.name))

    def _added(self, name: str, value: np.ndarray) -> str:
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _after(self, node: Any, operator: str) -> Any:
        """Return the first ``operator`` after ``node``, through activations."""
        for reader in self._model.graph.node:
            if node.output[0] in reader.input:
                if reader.op_type == operator:
                    return reader
                if reader.op_type in ("Relu", "Clip", "LeakyRelu"):
                    return self._after(reader, operator)
        raise UsageError(f"no {operator} follows {node.name}; plant the fault elsewhere")
