"""Measure what weights of 7 bits cost, which no x86 processor saturates on.

    python benchmarks/weight_bits.py FOLDER [--networks NAMES] [--side 128]

Every network that ships is exported to ONNX in INT8. A second file has weights of half the codes
and twice the scale. The table shows the worst PSNR against the float program in torch, over the
embedded photographs. Both files run with the options of edgeexpo's runtime, and also without any,
as in an application that knows nothing of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from engine_versions import MODES, Replayed, prepared
from onnx import numpy_helper
from photograph_inputs import read_inputs

from edgeexpo.models.zoo import shipped
from edgeexpo.parity.metrics.pictures import psnr


def of_seven_bits(path: Path) -> bytes:
    """Return the model of a file with its signed weights rounded to 7 bits."""
    model = onnx.load(path)
    values = {i.name: i for i in model.graph.initializer}
    for index, node in enumerate(model.graph.node):
        if node.op_type != "DequantizeLinear" or node.input[0] not in values:
            continue
        codes = numpy_helper.to_array(values[node.input[0]])
        if codes.dtype != np.int8:
            continue
        half = np.clip(np.round(codes / 2), -64, 63).astype(np.int8)
        scale = numpy_helper.to_array(values[node.input[1]]) * np.float32(2)
        values[node.input[0]].CopyFrom(numpy_helper.from_array(half, node.input[0]))
        name = f"{node.input[1]}_doubled{index}"
        model.graph.initializer.append(numpy_helper.from_array(scale, name))
        node.input[1] = name
    data: bytes = model.SerializeToString()
    return data


def worst(network: Replayed, model: bytes, mode: str) -> float:
    """Return the worst PSNR in dB of a model against the float program, over the photographs."""
    import onnxruntime

    from edgeexpo.runtime.engines.onnx import session_options

    options = session_options() if mode == "runtime" else onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return min(
        psnr(network.whole[name], session.run(None, given)[0])
        for name, given in read_inputs(network.inputs).items()
    )


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the files are written")
    parser.add_argument("--networks", nargs="+", help="default: all that ship")
    parser.add_argument("--side", type=int, default=128)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| network | 8 bits, dB | 8 bits, bare | 7 bits, dB | 7 bits, bare |")
    print("|---|---|---|---|---|")
    for name in args.networks or shipped():
        network = prepared(name, args.side, args.folder)
        models = (network.file.read_bytes(), of_seven_bits(network.file))
        cells = [f"{worst(network, model, mode):.1f}" for model in models for mode in MODES]
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
