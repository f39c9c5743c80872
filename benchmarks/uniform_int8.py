"""Compare INT8 with the picture's own path in float to the same bits everywhere.

    python benchmarks/uniform_int8.py [NAME ...]

Each network with weights has two INT8 programs: the calibrated one of edgeexpo, and one of
XNNPACK's own quantiser. The second is calibrated on the same pictures with the same observers and
without equalisation. A row gives PSNR in dB against the float network over the embedded
photographs, worst and mean. *Exported* is the program that ``export`` makes: with trained INT8
weights if the network ships with them.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from tables import print_rows
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgeexpo.imaging.samples import samples
from edgeexpo.models import zoo
from edgeexpo.program.capture import Program
from edgeexpo.quantization import int8_weights, ptq
from edgeexpo.workflows.calibration_pictures import calibration_samples, network_inputs
from edgeexpo.workflows.networks import Network, open_network

SIDE = 256
"""Height and width of the photographs, in pixels."""


def uniform(program: Program, calibration: list[dict[str, np.ndarray]]) -> torch.nn.Module:
    """Quantise every operator for which XNNPACK has an integer kernel."""
    quantizer = XNNPACKQuantizer().set_global(
        get_symmetric_quantization_config(is_per_channel=True)
    )
    prepared = prepare_pt2e(ptq.separate(program).exported.module(), quantizer)
    for picture in ptq.tensors(program, calibration):
        prepared(*picture)
    converted: torch.nn.Module = convert_pt2e(prepared)
    return converted


def psnr(wanted: torch.Tensor, found: torch.Tensor) -> float:
    """Return the PSNR in dB of two pictures in [0, 1]."""
    return float(-10 * torch.log10((wanted - found).square().mean() + 1e-12))


class Subject(NamedTuple):
    """A network, its calibration pictures, and the pictures by which it is judged."""

    network: Network
    program: Program
    calibration: list[dict[str, np.ndarray]]
    pictures: list[tuple[torch.Tensor, ...]]


def opened(name: str) -> Subject:
    """Return the network of that name with the embedded photographs."""
    network = open_network(name, None, None, ())
    spec, size = network.spec, network.size
    program = network.capture()
    calibration = list(network_inputs(spec, calibration_samples(network, program, None)))
    shown = samples(len(spec.frames), None, (min(SIDE, size[0]), min(SIDE, size[1])), seed=0)
    pictures = ptq.tensors(program, network_inputs(spec, shown))
    return Subject(network, program, calibration, pictures)


def compare(name: str) -> str:
    """Return a row of the table."""
    network, program, calibration, pictures = opened(name)
    ours = ptq.quantize_program(program, calibration)
    candidates = (
        uniform(program, calibration),
        ours.exported.module(),
        (ours if network.int8 is None else shipped(program, network.int8)).exported.module(),
    )
    scores = [
        [psnr(network.module(*picture), candidate(*picture)) for picture in pictures]
        for candidate in candidates
    ]
    cells = [name]
    for summary in (min, statistics.fmean):
        plain, exact, exported = map(summary, scores)
        cells += [f"{plain:.1f}", f"{exact:.1f}", f"{exported:.1f}", f"{exported - plain:+.1f}"]
    return f"| {' | '.join(cells)} |"


def shipped(program: Program, int8: Path) -> Program:
    """Return the program of trained INT8 weights."""
    return int8_weights.quantized_by(program, int8_weights.read_int8_weights(int8))


def main() -> None:
    """Print the table."""
    each = ("uniform", "calibrated", "exported", "gain")
    header = ("network", *(f"{what}, {name}" for what in ("worst", "mean") for name in each))
    print_rows(__doc__, header, lambda name: [compare(name)], zoo.shipped())


if __name__ == "__main__":
    main()
