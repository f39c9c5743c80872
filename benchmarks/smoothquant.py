"""What NNCF's SmoothQuant gains, in its own graph, beside channels equalised by folding.

    python benchmarks/smoothquant.py [NAME ...]

SmoothQuant (G. Xiao et al., ICML 2023) divides a convolution's input by a factor per channel and
multiplies its weights by it. NNCF does so by a multiplication in front of each convolution; where
channels are equalised across layers (:mod:`edgeexpo.quantization.equalization`) the factors are in
the weights on both sides. For each network: NNCF's own program, by our quantiser, of the network as
it is, with SmoothQuant at 0.5, and of the equalised one; PSNR in dB against the float network on
the pictures that ``quantize --method ptq`` judges by, worst and mean, and how many multiplications
NNCF has put in.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence

import nncf
import torch
from nncf.experimental.torch.fx import quantize_pt2e
from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters
from torch import Tensor
from torch.fx import GraphModule

from edgeexpo.calibration import calibration_samples, network_inputs
from edgeexpo.export.noise import quiet
from edgeexpo.export.program import Program
from edgeexpo.networks import open_network
from edgeexpo.progress import track
from edgeexpo.quantization.equalization import equalize
from edgeexpo.quantization.ptq import separate, tensors
from edgeexpo.quantization.quantizer import ImageQuantizer
from edgeexpo.quantized import judged
from edgeexpo.variants import Judge

NAMES = ("lrl-8", "exponet", "kdfusion-dense")


def rows(name: str) -> Iterator[str]:
    """The table's rows of a network."""
    network = open_network(name, None, None, ())
    program = separate(network.capture())
    drawn = calibration_samples(network, program, None)
    pictures = tensors(program, network_inputs(network.spec, drawn))
    judge = Judge(network, program, judged(network, program, None))
    for what, start, smooth in (
        ("as it is", program, False),
        ("SmoothQuant", program, True),
        ("equalised", equalize(program, pictures), False),
    ):
        graph = by_nncf(start, pictures, smooth)
        score, put_in = judge(graph), sum("nncf_smooth_quant" in n.name for n in graph.graph.nodes)
        yield f"| `{name}` | {what} | {score.worst:.1f} | {score.mean:.1f} | {put_in} |"


def by_nncf(program: Program, pictures: Sequence[tuple[Tensor, ...]], smooth: bool) -> GraphModule:
    """The program that NNCF makes."""

    def fed(picture: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Tensor:
        return picture if len(picture) > 1 else picture[0]

    with quiet():
        made: GraphModule = quantize_pt2e(
            program.exported.module(),
            ImageQuantizer(),
            nncf.Dataset(list(pictures), fed),
            smooth_quant=smooth,
            smooth_quant_params=AdvancedSmoothQuantParameters(convolution=0.5),
            fold_quantize=False,
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    names = parser.parse_args().names
    warnings.simplefilter("ignore")
    print("| network | channels | worst | mean | multiplications |")
    print("|---|---|---|---|---|")
    with torch.no_grad():
        for name in track(names, "Calibrating"):
            for row in rows(name):
                print(row, flush=True)


if __name__ == "__main__":
    main()
