"""Compare LiteRT with ONNX Runtime on the shipped networks, in fp32 and INT8.

    python benchmarks/litert_table.py [--size H,W] [--runs N] [NAME ...]

Each network and precision has a row, exported at its default size or another. Three figures stand
for both the ONNX and the LiteRT artefact: the PSNR of the worst photograph against the float
network, the bytes, and CPU milliseconds of one run on one thread. The engines take turns. The least
of 10 runs counts, which a busy machine changes little. The last cells are the sizes that the LiteRT
artefact takes and its status.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

from measuring import turns

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.cli.arguments import size
from edgeexpo.errors import ExportError
from edgeexpo.models import zoo
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.workflows.export import export_bundle
from edgeexpo.workflows.latency_child import pictures

TARGETS = ("onnx", "litert")
"""Targets that are compared."""

PRECISIONS = ("fp32", "int8")
"""Precisions that are compared."""


def row(bundle: Bundle, precision: str, runs: int) -> str:
    """Return the table's row of one precision of a bundle."""
    spec, judged = bundle.manifest.model, bundle.manifest.parity["artifacts"]
    pair = [bundle.select(target, precision) for target in TARGETS]
    found = {r["file"]: r["worst"] for r in judged}
    psnr = ", ".join(f"{found[a.file].get('psnr', float('nan')):.1f}" for a in pair)
    kilobytes = ", ".join(f"{a.bytes / 1000:.0f}" for a in pair)
    height, width = spec.fixed_size or bundle.manifest.recipe.size
    inputs = pictures(spec, height, width)
    options = EngineOptions(threads=1)
    engines = [open_engine(a.target, bundle.file(a.file), spec, options) for a in pair]
    calls = {a.target: partial(e.run, inputs) for a, e in zip(pair, engines, strict=True)}
    turns(calls, 1)  # warms up
    spent = turns(calls, runs, clock=time.process_time)
    ms = ", ".join(f"{min(times):.1f}" for times in spent.values())
    status = pair[1].status + (f": {pair[1].error}" if pair[1].error else "")
    shown = f"{precision} | {psnr} | {kilobytes} | {ms} | {_sizes(pair[1])} | {status}"
    return f"| {spec.name}, {height}x{width} | {shown} |"


def _sizes(artifact: Artifact) -> str:
    return "this one" if artifact.sizes.smallest == artifact.sizes.largest else "all up to it"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--size", type=size, help="H,W (default: what each is exported at)")
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| network, size | | PSNR dB | kB | CPU ms | sizes | LiteRT |")
    print("|---|---|---|---|---|---|---|")
    for name in args.names or zoo.shipped():
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "bundle"
            try:
                bundle = export_bundle(
                    name, targets=TARGETS, precision=PRECISIONS, size=args.size, output=output
                )
            except ExportError as error:
                print(f"| {name} | | | | | | {error} |", flush=True)
                continue
            for precision in PRECISIONS:
                print(row(bundle, precision, args.runs), flush=True)


if __name__ == "__main__":
    main()
