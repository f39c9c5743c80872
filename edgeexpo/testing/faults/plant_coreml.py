"""Faults in one layer of an ``.mlpackage``."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import UsageError

DATA = Path("Data/com.apple.CoreML")
"""Folder of the model inside a package."""

WEIGHTS_FILE = DATA / "weights/weight.bin"
"""File of the weights inside a package."""

_HEADER = struct.Struct("<IIQQ")
"""Layout of a blob's header: sentinel, type, bytes, position of the data."""

_TYPES = {10: np.float16, 11: np.float32, 21: np.int8, 31: np.uint8, 23: np.int32}
"""NumPy types by the numbers of MIL's data types."""

_ACTIVATIONS = ("relu", "clip", "leaky_relu")
"""Activations that may stand between a layer and its quantiser."""


class CoremlFile:
    """The convolutions of an mlprogram; see :class:`edgeexpo.testing.faults.plant.Layers`."""

    def __init__(self, path: Path) -> None:
        import coremltools as ct

        self._path = path
        self._spec = ct.utils.load_spec(str(path))
        weights = path / WEIGHTS_FILE
        self._blob = bytearray(weights.read_bytes() if weights.is_file() else b"")
        function = next(iter(self._spec.mlProgram.functions.values()))
        self._block = next(iter(function.block_specializations.values()))
        self._makers = {o.name: op for op in self._block.operations for o in op.outputs}
        self._layers = [op for op in self._block.operations if op.type == "conv"]
        self.count = len(self._layers)

    def weight(self, layer: int) -> np.ndarray:
        """Return the stored codes or real numbers."""
        return self._read(self._stored(self._layers[layer], "weight"))

    def set_weight(self, layer: int, value: np.ndarray) -> None:
        """Store codes or real numbers."""
        self._write(self._stored(self._layers[layer], "weight"), value)

    def bias(self, layer: int) -> np.ndarray:
        """Return the bias as real numbers."""
        return self._read(self._stored(self._layers[layer], "bias"))

    def set_bias(self, layer: int, value: np.ndarray) -> None:
        """Store the bias as real numbers."""
        self._write(self._stored(self._layers[layer], "bias"), value)

    def change_grid(self, layer: int, factor: float, steps: int) -> None:
        """Change the scale and zero point of the ``dequantize`` that reads the layer's codes.

        Raises:
            UsageError: No such ``dequantize`` exists, or it has no zero point.
        """
        quantize = self._after(self._layers[layer], "quantize")
        dequantize = self._after(quantize, "dequantize")
        scale = self._stored(dequantize, "scale")
        self._write(scale, self._read(scale) * np.float32(factor))
        if not steps:
            return
        if "zero_point" not in dequantize.inputs:
            raise UsageError("the layer's result has no zero point; plant the fault elsewhere")
        zero = self._stored(dequantize, "zero_point")
        self._write(zero, self._read(zero) + steps)

    def drop_activation(self, layer: int) -> None:
        """Replace the ``relu`` by an ``identity``.

        Raises:
            UsageError: No ``relu`` follows the layer.
        """
        self._after(self._layers[layer], "relu").type = "identity"

    def move_padding(self, layer: int) -> None:
        """Change the constant ``pad``: top, bottom, left, right."""
        pad = self._stored(self._layers[layer], "pad")
        self._write(pad, self._read(pad) + np.array([1, -1, 1, -1]))

    def save(self, path: Path) -> None:
        """Write the package."""
        if path != self._path:
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self._path, path)
        (path / DATA / "model.mlmodel").write_bytes(self._spec.SerializeToString())
        if self._blob:
            (path / WEIGHTS_FILE).write_bytes(self._blob)

    def _stored(self, op: Any, name: str) -> Any:
        """Return the constant that an input of ``op`` reads."""
        maker = self._makers[op.inputs[name].arguments[0].name]
        return maker.attributes["val" if maker.type == "const" else "quantized_data"]

    def _read(self, stored: Any) -> np.ndarray:
        kind = _TYPES[stored.type.tensorType.dataType]
        shape = [d.constant.size for d in stored.type.tensorType.dimensions]
        return np.frombuffer(self._bytes(stored), kind).reshape(shape).copy()

    def _bytes(self, stored: Any) -> bytes:
        if stored.WhichOneof("value") == "blobFileValue":
            _, _, size, start = _HEADER.unpack_from(self._blob, stored.blobFileValue.offset)
            return bytes(self._blob[start : start + size])
        tensor = stored.immediateValue.tensor
        if tensor.WhichOneof("value") == "bytes":
            return bytes(tensor.bytes.values)
        if tensor.WhichOneof("value") == "floats":
            return np.array(tensor.floats.values, np.float32).tobytes()
        return np.array(tensor.ints.values, np.int32).tobytes()

    def _write(self, stored: Any, value: np.ndarray) -> None:
        kind = _TYPES[stored.type.tensorType.dataType]
        value = np.ascontiguousarray(value).astype(kind)
        if stored.WhichOneof("value") == "blobFileValue":
            _, _, size, start = _HEADER.unpack_from(self._blob, stored.blobFileValue.offset)
            self._blob[start : start + size] = value.tobytes()
            return
        tensor = stored.immediateValue.tensor
        if tensor.WhichOneof("value") == "bytes":
            tensor.bytes.values = value.tobytes()
        elif tensor.WhichOneof("value") == "floats":
            tensor.floats.values[:] = value.ravel().tolist()
        else:
            tensor.ints.values[:] = value.ravel().tolist()

    def _after(self, op: Any, kind: str) -> Any:
        """Return the first operator of type ``kind`` after ``op``, through activations."""
        made = op.outputs[0].name
        for reader in self._block.operations:
            read = {a.name for given in reader.inputs.values() for a in given.arguments}
            if made in read:
                if reader.type == kind:
                    return reader
                if reader.type in _ACTIVATIONS:
                    return self._after(reader, kind)
        raise UsageError(f"no {kind} follows {made}; plant the fault elsewhere")
