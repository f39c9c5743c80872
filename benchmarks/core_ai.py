"""Convert the shipped networks to Apple's Core AI and compare its runtime with torch.

    python benchmarks/core_ai.py [--size H,W] [--photographs N] [--precision fp32,fp16] [NAME ...]

Each network and precision has a row. The program is captured once and lowered, and the artefact
runs in Core AI's runtime on the CPU of this host. Its outputs on embedded photographs are compared
with those of the same program in torch, and with those of the float program. The row shows the
largest difference from the same program, the worst PSNR from both, the seconds of the conversion,
the milliseconds of the fastest run, and whether a second export has the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from edgeexpo.cli.arguments import size
from edgeexpo.errors import EdgeexpoError
from edgeexpo.export.lowering import lower
from edgeexpo.imaging.samples import samples
from edgeexpo.models import zoo
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.program.capture import Program
from edgeexpo.program.half import half
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.base import open_engine
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.targets import target_named
from edgeexpo.workflows.networks import Network, open_network

TARGET = "coreai"

DEFAULT_SIZE = (64, 64)
"""Size of a network that has no size of its own. Core AI is slow on a CPU."""

Inputs = Mapping[str, np.ndarray]
"""Inputs of a network, 1xCxHxW float32 by name."""


def photographs(network: Network, side: tuple[int, int], count: int) -> list[Inputs]:
    """Return a network's inputs for the first embedded photographs."""
    spec = network.spec
    found = samples(len(spec.frames), None, spec.frame_size(side), most=count)
    return [
        {k: np.ascontiguousarray(v.transpose(2, 0, 1)[None]) for k, v in inputs.items()}
        for inputs in network_inputs(spec, found)
    ]


def prepared(network: Network, exact: Program, precision: str, side: tuple[int, int]) -> Program:
    """Return the program of a precision."""
    if precision == "fp32":
        return exact
    if precision == "fp16":
        return half(exact)
    if network.int8 is not None:
        return int8_weights.quantized_by(exact, int8_weights.read_int8_weights(network.int8))
    spec = network.spec
    pictures = samples(len(spec.frames), None, spec.frame_size(side))
    return quantize_program(exact, list(network_inputs(spec, pictures)))


def in_torch(program: Program, inputs: Sequence[Inputs]) -> list[np.ndarray]:
    """Return the outputs of a program in torch."""
    module = program.exported.module(check_guards=False)
    with torch.inference_mode():
        found = [module(*(torch.from_numpy(x[t.name]) for t in program.tensors)) for x in inputs]
    return [(y[0] if isinstance(y, tuple) else y).float().numpy() for y in found]


def row(
    network: Network, program: Program, whole: Sequence[np.ndarray], inputs: list[Inputs]
) -> str:
    """Return the table's row of one program.

    Args:
        network: The network.
        program: Its program, in the precision of the row.
        whole: Outputs of the float program.
        inputs: The inputs of both.
    """
    (output,) = program.outputs
    with tempfile.TemporaryDirectory() as folder:
        made = lower(program, TARGET, "first", Path(folder))
        again = lower(program, TARGET, "second", Path(folder))
        engine = open_engine(TARGET, Path(folder) / made.file, network.spec)
        found, times = [], []
        for given in inputs:
            started = time.perf_counter()
            found.append(engine.run(given)[output])
            times.append(time.perf_counter() - started)
        engine.close()
    expected = in_torch(program, inputs)
    largest = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    same = min(psnr(a, b) for a, b in zip(expected, found, strict=True))
    from_float = min(psnr(a, b) for a, b in zip(whole, found, strict=True))
    height, width = inputs[0][program.inputs[0]].shape[2:]
    cells = (
        f"`{network.spec.name}`, {height}x{width}",
        program.precision,
        f"{largest:.1e}",
        f"{same:.1f}",
        f"{from_float:.1f}",
        f"{made.bytes / 1000:.0f}",
        f"{made.seconds:.1f}",
        f"{min(times) * 1000:.0f}",
        "any up to it" if program.dynamic and not made.sizes.enumerated else "this one",
        "equal" if made.sha256 == again.sha256 else "DIFFERENT",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--size", type=size, default=DEFAULT_SIZE, help="H,W (default: 64,64)")
    parser.add_argument("--photographs", type=int, default=7)
    parser.add_argument("--precision", default=",".join(reversed(target_named(TARGET).precisions)))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| network, size | | max abs | PSNR dB | from float dB | kB | convert s | run ms | sizes "
        "| second export |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in args.names or zoo.shipped():
        network = open_network(name, args.size)
        exact = network.capture()
        inputs = photographs(network, args.size, args.photographs)
        whole = in_torch(exact, inputs)
        for precision in args.precision.split(","):
            program = prepared(network, exact, precision, args.size)
            try:
                print(row(network, program, whole, inputs), flush=True)
            except EdgeexpoError as error:
                print(f"| `{name}` | {precision} | {error} |", flush=True)


if __name__ == "__main__":
    main()
