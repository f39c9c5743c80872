"""Print what structured pruning removes from the shipped networks, and its cost without training.

    python benchmarks/pruning.py [--ratio 0.5] [NAME...]

PSNR compares the pruned network's output with the unpruned network's, over the embedded
photographs. It is measured directly after pruning and with reconstructed layers, in both cases
without training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from edgeexpo.cli.output import table
from edgeexpo.models import zoo
from edgeexpo.pruning.prune import Pruned, prune_module
from edgeexpo.pruning.schedule import SCOPES
from edgeexpo.workflows.networks import loaded
from edgeexpo.workflows.pruned_networks import examples, photograph_inputs, take_over

SIDE = 256
"""Height and width of the photographs, in pixels."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="presets (all that ship)")
    parser.add_argument("--ratio", type=float, default=0.5)
    args = parser.parse_args()
    names = args.names or zoo.shipped()
    rows = [row for name in names for row in measure(name, args.ratio)]
    print(table(rows, list(rows[0])))


def measure(name: str, ratio: float) -> Iterator[dict[str, object]]:
    """Yield two rows for each scope: after pruning, and with layers reconstructed."""
    entry, network, _ = loaded(name, None)
    network.eval()
    pictures = photograph_inputs(entry.spec, (SIDE, SIDE), seed=0)
    with torch.no_grad():
        wanted = [network(*picture) for picture in pictures]

    def row(scope: str, result: Pruned) -> dict[str, object]:
        with torch.no_grad():
            found = [result.module(*picture) for picture in pictures]
        quality = [psnr(*pair) for pair in zip(found, wanted, strict=True)]
        return {
            "network": name,
            "scope": scope,
            "MACs left": result.macs_after / result.macs_before,
            "parameters left": result.parameters_after / result.parameters_before,
            "PSNR dB": float(np.mean(quality)),
            "worst": min(quality),
            "left whole": ", ".join(result.whole),
        }

    seen = photograph_inputs(entry.spec)
    for scope in SCOPES:
        result = prune_module(
            network, examples(entry.spec), ratio=ratio, scope=scope, pictures=seen
        )
        yield row(scope, result)
        take_over(result, network, entry.spec)
        yield row(f"{scope}, reconstructed", result)


def psnr(output: Tensor, wanted: Tensor) -> float:
    """Return the PSNR in dB for a range of 1."""
    return float(-10 * torch.log10((output - wanted).square().mean().clamp_min(1e-12)))


if __name__ == "__main__":
    main()
