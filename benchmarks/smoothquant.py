"""Compare NNCF's SmoothQuant, in its own graph, with channels equalised by folding.

    python benchmarks/smoothquant.py [NAME ...]

SmoothQuant (G. Xiao et al., ICML 2023) divides a convolution's input by a factor per channel and
multiplies its weights by it. NNCF does so by a multiplication in front of each convolution.
Equalisation across layers (:mod:`edgeexpo.quantization.equalization`) puts the factors into the
weights on both sides.

For each network, NNCF makes a program with edgeexpo's quantiser from three networks: the unchanged
network, the network with SmoothQuant at 0.5, and the equalised network. A row gives the worst and
the mean PSNR in dB against the float network, and the number of multiplications that NNCF added.
The pictures are those by which ``quantize --method ptq`` judges.
"""

from __future__ import annotations

from collections.abc import Iterator

from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters
from tables import print_rows

from edgeexpo.quantization.equalization import equalize
from edgeexpo.quantization.nncf_calibration import quantized_by_nncf
from edgeexpo.quantization.ptq import separate, tensors
from edgeexpo.workflows.calibration_pictures import calibration_samples, network_inputs
from edgeexpo.workflows.calibration_search import PictureJudge
from edgeexpo.workflows.networks import open_network
from edgeexpo.workflows.quantize import judged

NAMES = ("lrl-8", "exponet", "kdfusion-dense")
"""Networks by default."""


def rows(name: str) -> Iterator[str]:
    """Yield the table's rows of a network."""
    network = open_network(name, None, None, ())
    program = separate(network.capture())
    drawn = calibration_samples(network, program, None)
    pictures = tensors(program, network_inputs(network.spec, drawn))
    judge = PictureJudge(network, program, judged(network, program, None))
    smooth = {
        "smooth_quant": True,
        "smooth_quant_params": AdvancedSmoothQuantParameters(convolution=0.5),
    }
    for what, start, options in (
        ("as it is", program, {}),
        ("SmoothQuant", program, smooth),
        ("equalised", equalize(program, pictures), {}),
    ):
        graph = quantized_by_nncf(start, pictures, **options)
        score, put_in = judge(graph), sum("nncf_smooth_quant" in n.name for n in graph.graph.nodes)
        yield f"| `{name}` | {what} | {score.worst:.1f} | {score.mean:.1f} | {put_in} |"


def main() -> None:
    """Print the table."""
    header = ("network", "channels", "worst", "mean", "multiplications")
    print_rows(__doc__, header, rows, NAMES)


if __name__ == "__main__":
    main()
