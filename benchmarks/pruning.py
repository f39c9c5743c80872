"""What structured pruning removes from the networks that ship, and what it costs untrained.

    python benchmarks/pruning.py [--ratio 0.5] [NAME...]

PSNR is of the pruned network's output against the unpruned one's, over the embedded photographs;
nothing is trained in between.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from edgeexpo.calibration import network_inputs
from edgeexpo.cli.output import table
from edgeexpo.imaging.samples import samples
from edgeexpo.models import zoo
from edgeexpo.models.widths import load_checkpoint
from edgeexpo.pruned import examples, photographs
from edgeexpo.quantization.pruning import prune
from edgeexpo.quantization.schedule import SCOPES
from edgeexpo.spec import ModelSpec

SIDE = 256


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="presets (all that ship)")
    parser.add_argument("--ratio", type=float, default=0.5)
    args = parser.parse_args()
    names = args.names or [name for name in zoo.ENTRIES if zoo.get(name).weights]
    rows = [row for name in names for row in measure(name, args.ratio)]
    print(table(rows, list(rows[0])))


def measure(name: str, ratio: float) -> Iterator[dict[str, object]]:
    """One row for each scope."""
    entry = zoo.get(name)
    network = entry.build().eval()
    assert entry.weights is not None
    load_checkpoint(network, entry.weights, name)
    pictures = list(inputs(entry.spec))
    with torch.no_grad():
        whole = [network(*picture) for picture in pictures]
        for scope in SCOPES:
            with torch.enable_grad():
                result = prune(
                    network,
                    examples(entry.spec),
                    ratio=ratio,
                    scope=scope,
                    pictures=photographs(entry.spec),
                )
            quality = [
                psnr(result.module(*picture), wanted)
                for picture, wanted in zip(pictures, whole, strict=True)
            ]
            yield {
                "network": name,
                "scope": scope,
                "MACs left": result.macs_after / result.macs_before,
                "parameters left": result.parameters_after / result.parameters_before,
                "PSNR dB": float(np.mean(quality)),
                "worst": min(quality),
                "left whole": ", ".join(result.whole),
            }


def inputs(spec: ModelSpec) -> Iterator[tuple[Tensor, ...]]:
    """The network's inputs for every embedded photograph."""
    pictures = samples(len(spec.frames), None, (SIDE, SIDE), seed=0)
    for made in network_inputs(spec, pictures):
        yield tuple(
            torch.from_numpy(made[tensor.name].transpose(2, 0, 1)[None].copy())
            for tensor in spec.inputs
        )


def psnr(output: Tensor, wanted: Tensor) -> float:
    """In dB, for a range of 1."""
    return float(-10 * torch.log10((output - wanted).square().mean().clamp_min(1e-12)))


if __name__ == "__main__":
    main()
