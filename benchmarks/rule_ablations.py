"""Measure the worth of each rule of the quantiser: all rules, then each rule lifted alone.

    python benchmarks/rule_ablations.py [NAME ...]

Each network with weights is calibrated with all rules, and without one rule of
:func:`edgeexpo.quantization.quantizer.left_in_float`. The embedded photographs at 256 pixels run
through both INT8 programs.

A row gives PSNR in dB against the float network (worst photograph and mean) and the gain by the
rule. It also gives the largest change of a channel's mean over flat greys, in 8-bit codes. A rule
that leaves nothing in float in a network has no row there.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np
from tables import print_rows
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
from uniform_int8 import opened, psnr

from edgeexpo.imaging.samples import Sample
from edgeexpo.models import zoo
from edgeexpo.quantization import ptq
from edgeexpo.quantization.equalization import equalize
from edgeexpo.quantization.quantizer import ImageQuantizer, left_in_float
from edgeexpo.workflows.calibration_pictures import network_inputs

FLAT_SIDE = 128
"""Height and width of the flat pictures, in pixels."""


def rows(name: str) -> Iterator[str]:
    """Yield the table's rows of a network."""
    network, program, calibration, judged = opened(name)
    spec, pictures = network.spec, ptq.tensors(program, calibration)
    equal = equalize(ptq.separate(program), pictures)
    wanted = [network.module(*picture) for picture in judged]
    flats = ptq.tensors(program, network_inputs(spec, greys(len(spec.frames))))
    wanted_flats = [network.module(*picture) for picture in flats]

    def scores(lifted: frozenset[str] = frozenset()) -> tuple[float, float, float]:
        prepared = prepare_pt2e(equal.exported.module(), ImageQuantizer(lifted=lifted))
        for picture in pictures:
            prepared(*picture)
        found = ptq.convert_program(equal, prepared).exported.module()
        each = [psnr(w, found(*picture)) for w, picture in zip(wanted, judged, strict=True)]
        shifts = [
            255 * float((found(*flat) - w).mean((2, 3)).abs().max())
            for w, flat in zip(wanted_flats, flats, strict=True)
        ]
        return min(each), statistics.fmean(each), max(shifts)

    worst, mean, shift = scores()
    yield f"| `{name}` | all hold | {worst:.1f} | | {mean:.1f} | | {shift:.2f} |"
    for rule in dict.fromkeys(left_in_float(equal.exported.module()).values()):
        without, without_mean, shift = scores(frozenset((rule,)))
        yield (
            f"| `{name}` | {rule} | {without:.1f} | {worst - without:+.1f} | "
            f"{without_mean:.1f} | {mean - without_mean:+.1f} | {shift:.2f} |"
        )


def greys(frames: int) -> list[Sample]:
    """Return flat pictures from black to white, equal in every frame."""
    flat = np.ones((FLAT_SIDE, FLAT_SIDE, 3), np.float32)
    return [
        Sample(f"grey {level}", (flat * np.float32(level / 255),) * frames, None)
        for level in range(0, 256, 15)
    ]


def main() -> None:
    """Print the table."""
    header = ("network", "lifted", "worst", "gain of the rule", "mean", "gain", "shift of greys")
    print_rows(__doc__, header, rows, zoo.shipped())


if __name__ == "__main__":
    main()
