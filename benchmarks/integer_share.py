"""Print what each engine computes on integers in INT8 artefacts, counted in its own graph.

    python benchmarks/integer_share.py [--target TARGET] [NAME ...]
    python benchmarks/integer_share.py --time [--size H,W] [--runs N] [NAME ...]

Each network with weights has a row. It counts convolutions and matrix products on integers and in
float, and names the rules that leave the latter in float. It also counts the other float operators,
the conversions between both, and the portable kernels of a ``.pte``.

With ``--time`` a row gives CPU milliseconds of one run on one thread. fp32 and INT8 take turns. The
least of the runs counts, which a busy machine changes little. Core ML is left out.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeexpo.cli.arguments import size
from edgeexpo.export.lowering import lower
from edgeexpo.inspection import census
from edgeexpo.models import zoo
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.ptq import quantize_program, separate
from edgeexpo.quantization.quantizer import left_in_float
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.targets import TARGETS, target_named, usual_targets
from edgeexpo.workflows.calibration_pictures import calibration_samples, network_inputs
from edgeexpo.workflows.networks import Network, open_network

RUNS = 5
"""Number of timed runs by default."""


def programs(network: Network) -> dict[str, Program]:
    """Return the network's float program and the INT8 program that ``export`` makes."""
    program = network.capture()
    if network.int8 is not None:
        return {
            "fp32": program,
            "int8": int8_weights.quantized_by(
                program, int8_weights.read_int8_weights(network.int8)
            ),
        }
    pictures = network_inputs(network.spec, calibration_samples(network, program, None))
    return {"fp32": program, "int8": quantize_program(program, pictures)}


def rules(program: Program) -> str:
    """Return the rules that leave operators with weights in float, with the number of each."""
    reasons = left_in_float(separate(program).exported.module())
    counts = collections.Counter(why for node, why in reasons.items() if is_weighted(node))
    return ", ".join(f"{n} {why}" for why, n in counts.items()) or "-"


def counted(name: str, network: Network, targets: list[str], folder: Path) -> None:
    """Print a network's rows of the census."""
    made = programs(network)
    why = rules(made["fp32"])
    for target in targets:
        artifact = lower(made["int8"], target, name, folder)
        found = census.take_census(target, folder / artifact.file)
        assert found is not None  # every target of the product is counted
        others = {
            operator: n
            for operator, n in found.floating.items()
            if operator not in found.portable and not census.is_weighted_kind(operator)
        }
        weighted = f"{found.integer_weighted} | {found.float_weighted} | {why}"
        rest = f"{_listed(others)} | {found.conversions} | {_listed(found.portable)}"
        print(f"| {name} | {found.engine} | {weighted} | {rest} |", flush=True)


def timed(name: str, network: Network, targets: list[str], folder: Path, runs: int) -> None:
    """Print a network's rows of times."""
    made = programs(network)
    rng = np.random.default_rng(0)
    inputs = {
        t.name: rng.random((1, t.channels, *(t.size or network.size)), dtype=np.float32)
        for t in network.spec.inputs
    }
    for target in targets:
        engines = {}
        for precision, program in made.items():
            path = folder / lower(program, target, name, folder).file
            engines[precision] = open_engine(target, path, network.spec, EngineOptions(threads=1))
        spent: dict[str, list[float]] = {precision: [] for precision in engines}
        for _ in range(runs + 1):
            for precision, engine in engines.items():
                started = time.process_time()
                engine.run(inputs)
                spent[precision].append(1e3 * (time.process_time() - started))
        whole, integer = (min(spent[precision][1:]) for precision in ("fp32", "int8"))
        print(f"| {name} | {target} | {whole:.1f} | {integer:.1f} | {whole / integer:.2f} |")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "-"


def main() -> None:
    """Print the table of counts or of times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--target", choices=TARGETS, action="append", help="all but litert")
    parser.add_argument("--time", action="store_true", help="time instead of counting")
    parser.add_argument("--size", type=size, help="H,W (default: what each is exported at)")
    parser.add_argument("--runs", type=int, default=RUNS)
    args = parser.parse_args()
    names = args.names or zoo.shipped()
    targets = args.target or [
        t for t in usual_targets() if target_named(t).runs_here or not args.time
    ]
    warnings.simplefilter("ignore")
    if args.time:
        print("| network | target | fp32 ms | INT8 ms | fp32 / INT8 |\n|---|---|---|---|---|")
    else:
        print(
            "| network | engine | on integers | in float | why | others | conversions | portable |"
        )
        print("|---|---|---|---|---|---|---|---|")
    for name in names:
        network = open_network(name, args.size, None, ())
        with tempfile.TemporaryDirectory() as folder:
            if args.time:
                timed(name, network, targets, Path(folder), args.runs)
            else:
                counted(name, network, targets, Path(folder))


if __name__ == "__main__":
    main()
