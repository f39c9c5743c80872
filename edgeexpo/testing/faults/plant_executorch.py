"""Faults in one layer of a ``.pte`` file: in the XNNPACK graph of its delegate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.inspection.xnnpack_payload import XNNPACK, name_of, output_of, read_graph, tensor_of

_TYPES = {1: np.float32, 2: np.float16, 5: np.int32, 6: np.int8, 7: np.int32}
"""NumPy types by the numbers of XNNPACK's datatypes."""


class ExecutorchFile:
    """The convolutions of a program's XNNPACK graphs.

    See :class:`edgeexpo.testing.faults.plant.Layers`.
    """

    def __init__(self, path: Path) -> None:
        from executorch.exir._serialize._program import deserialize_pte_binary

        self._file = deserialize_pte_binary(path.read_bytes())
        program = self._file.program
        self._graphs = []
        for delegate in program.execution_plan[0].delegates:
            if delegate.id == XNNPACK:
                payload = program.backend_delegate_data[delegate.processed.index]
                self._graphs.append((payload, *read_graph(bytes(payload.data))))
        self._layers = [
            (graph, node)
            for _, graph, _ in self._graphs
            for node in graph.xnodes
            if name_of(node) == "Conv2d"
        ]
        self.count = len(self._layers)

    def weight(self, layer: int) -> np.ndarray:
        """Return the stored codes or real numbers, output x input x height x width.

        XNNPACK keeps them output x height x width x input.
        """
        graph, node = self._layers[layer]
        return self._read(graph, node.xnodeUnion.filterId).transpose(0, 3, 1, 2)

    def set_weight(self, layer: int, value: np.ndarray) -> None:
        """Store codes or real numbers."""
        graph, node = self._layers[layer]
        self._write(graph, node.xnodeUnion.filterId, value.transpose(0, 2, 3, 1))

    def bias(self, layer: int) -> np.ndarray:
        """Return the bias as the accumulator's codes or as real numbers."""
        graph, node = self._layers[layer]
        return self._read(graph, node.xnodeUnion.biasId)

    def set_bias(self, layer: int, value: np.ndarray) -> None:
        """Store the bias as the accumulator's codes or as real numbers."""
        graph, node = self._layers[layer]
        self._write(graph, node.xnodeUnion.biasId, value)

    def change_grid(self, layer: int, factor: float, steps: int) -> None:
        """Change the scale and zero point of the layer's result."""
        graph, node = self._layers[layer]
        changed = {output_of(node)}
        for reader in graph.xnodes:
            # XNNPACK refuses a graph in which the input and the output of a transposition differ in
            # scale or zero point.
            moved = name_of(reader) == "StaticTranspose"
            if moved and reader.xnodeUnion.inputId in changed:
                changed.add(output_of(reader))
        for index in changed:
            stored = self._value(graph, index).xvalueUnion.quantParams
            stored.scale *= factor
            stored.zeroPoint += steps

    def drop_activation(self, layer: int) -> None:
        """Remove the limits of the fused activation."""
        self._layers[layer][1].outputMinMax = None

    def move_padding(self, layer: int) -> None:
        """Change the convolution's padding."""
        node = self._layers[layer][1].xnodeUnion
        node.paddingTop += 1
        node.paddingBottom -= 1
        node.paddingLeft += 1
        node.paddingRight -= 1

    def save(self, path: Path) -> None:
        """Write the program."""
        from executorch.exir._serialize._program import serialize_pte_binary

        for payload, graph, write in self._graphs:
            payload.data = write(graph)
        path.write_bytes(bytes(serialize_pte_binary(self._file)))

    def _value(self, graph: Any, index: int) -> Any:
        return next(v for v in graph.xvalues if tensor_of(v).idOut == index)

    def _entry(self, graph: Any, tensor: Any) -> int:
        """Return the number of the file's buffer that holds a constant."""
        key = graph.constantData[tensor.constantBufferIdx].namedKey.decode()
        return int(self._file.named_data.pte_data[key].buffer_index)

    def _read(self, graph: Any, index: int) -> np.ndarray:
        tensor = tensor_of(self._value(graph, index))
        data = self._file.named_data.buffers[self._entry(graph, tensor)]
        shape = [int(d) for d in tensor.dims]
        return np.frombuffer(data, _TYPES[tensor.datatype]).reshape(shape).copy()

    def _write(self, graph: Any, index: int, value: np.ndarray) -> None:
        tensor = tensor_of(self._value(graph, index))
        kind = _TYPES[tensor.datatype]
        entry = self._entry(graph, tensor)
        self._file.named_data.buffers[entry] = np.ascontiguousarray(value, kind).tobytes()
