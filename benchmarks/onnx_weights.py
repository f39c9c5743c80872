"""Compare signed with unsigned weights of INT8 ONNX files, in ONNX Runtime on this processor.

    python benchmarks/onnx_weights.py [NAMES] [--side 128]

Every network that ships with INT8 weights is exported with signed weights. The same codes are also
stored unsigned, as every x86 processor computes exactly. The table shows the PSNR of the signed
file's output against the unsigned file's, with and without ``session.x64quantprecision``, and the
times in multiples of the unsigned file's, interleaved in one run (least of nine).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgeexpo.export.onnx_export import export_onnx
from edgeexpo.export.onnx_qdq import SIGNED_TO_UNSIGNED
from edgeexpo.models.zoo import shipped
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.quantization import int8_weights
from edgeexpo.workflows.networks import open_network

RUNS = 9


def unsigned(path: Path) -> bytes:
    """Return the model of a file with its weights stored as UINT8."""
    model = onnx.load(path)
    values = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            for name in {node.input[0], node.input[2]}:
                codes = numpy_helper.to_array(values[name])
                if codes.dtype == np.int8:
                    moved = (codes.astype(np.int16) + SIGNED_TO_UNSIGNED).astype(np.uint8)
                    values[name].CopyFrom(numpy_helper.from_array(moved, name))
    data: bytes = model.SerializeToString()
    return data


def session(model: bytes, exact: bool) -> Any:
    """Return a session with or without the option that makes every processor exact."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(name: str, side: int) -> str:
    """Return the row of a network."""
    network = open_network(name, (side, side))
    assert network.int8 is not None
    weights = int8_weights.read_int8_weights(network.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export_onnx(int8_weights.quantized_by(network.capture(), weights), path)
        plain, signed = unsigned(path), path.read_bytes()
    sessions = [session(plain, False), session(signed, True), session(signed, False)]
    random = np.random.default_rng(0)
    inputs = {
        t.name: random.random((1, t.channels, *(t.size or (side, side))), dtype=np.float32)
        for t in network.spec.inputs
    }
    outputs = [s.run(None, inputs)[0] for s in sessions]
    least = [float("inf")] * 3
    for _ in range(RUNS):
        for index, each in enumerate(sessions):
            start = time.perf_counter()
            each.run(None, inputs)
            least[index] = min(least[index], time.perf_counter() - start)
    exact, bare = (psnr(outputs[0], output) for output in outputs[1:])
    return (
        f"| `{name}` | {least[0] * 1e3:.1f} | {exact:.0f} | {least[1] / least[0]:.2f} "
        f"| {bare:.0f} | {least[2] / least[0]:.2f} |"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="networks (default: all with INT8 weights)")
    parser.add_argument("--side", type=int, default=128, help="height and width (default 128)")
    args = parser.parse_args()
    print("| network | unsigned, ms | with the option, dB | time | without it, dB | time |")
    print("|---|---|---|---|---|---|")
    for name in args.names or [n for n in shipped() if open_network(n, (64, 64)).int8]:
        print(compare(name, args.side), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
