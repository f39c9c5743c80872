"""Judge every calibration variant by its pictures: the table of ``docs/lab/int8.md``.

    python benchmarks/ptq_variants.py [NAME ...] [--variants A,B] [--keep DIR]

Each network with weights is calibrated in torch and compared with the float network. A row gives
the PSNR of the worst photograph, the mean PSNR and the largest 99th percentile of CIEDE2000. The
photographs were not used for calibration, and the best variant is chosen by them.

For the best variant and for the shipped state there is also the worst of the embedded photographs,
at other exposures than in calibration: the photographs that bundles are judged by. ``--keep``
writes the best variant as ``DIR/ptq-NAME.int8.safetensors``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

from edgeexpo.bundle.files import digest
from edgeexpo.imaging.samples import samples
from edgeexpo.models import zoo
from edgeexpo.progress import track
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.variants import Calibration, parse_variant
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.workflows.calibration_pictures import (
    calibration_samples,
    picture_size,
)
from edgeexpo.workflows.calibration_search import PictureJudge, Score, compare
from edgeexpo.workflows.networks import open_network
from edgeexpo.workflows.quantize import judged


def rows(name: str, variants: Sequence[str], keep: Path | None) -> list[str]:
    """Return the lines of one network; the best variant and the shipped state come last."""
    network = open_network(name, None, None, ())
    program = network.capture()
    pictures = network_inputs(network.spec, calibration_samples(network, program, None))
    calibration = Calibration(program, pictures)
    unseen = PictureJudge(network, program, judged(network, program, None))
    size = picture_size(network, program)
    embedded = PictureJudge(network, program, samples(len(network.spec.frames), None, size))
    found = compare(calibration, unseen, variants)
    if keep is not None and network.weights is not None:
        facts = {"preset": network.preset, "method": "ptq", "variant": found.best.variant}
        facts["float_sha256"] = digest(network.weights)
        int8_weights.write_int8_weights(
            keep / f"ptq-{network.preset}.int8.safetensors", found.graph, facts
        )
    if network.int8 is None:
        how, today = "plain", calibration.make(parse_variant("plain"))
    else:
        learnt = int8_weights.read_int8_weights(network.int8)
        how = learnt.facts["method"]
        today = int8_weights.quantized_by(program, learnt).exported.module()
    return [
        *(line(name, r.variant, r.score, None, r.skipped) for r in found.rows),
        line(name, f"best: {found.best.variant}", found.best.score, embedded(found.graph)),
        line(name, f"ships: {how}", unseen(today), embedded(today)),
    ]


def line(
    name: str, what: str, score: Score | None, embedded: Score | None, skipped: str | None = None
) -> str:
    """Return one line of the table."""
    if score is None:
        return f"| `{name}` | {what} | {skipped} | | | |"
    worst = "" if embedded is None else f"{embedded.worst:.1f}"
    colours = "" if score.delta_e is None else f"{score.delta_e:.2f}"
    values = f"{score.worst:.1f} | {score.mean:.1f} | {colours} | {worst}"
    return f"| `{name}` | {what} | {values} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--variants", default="", help="instead of the default choice")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the best ones there")
    given = parser.parse_args()
    names = given.names or zoo.shipped()
    variants = [name for name in given.variants.split(",") if name]
    warnings.simplefilter("ignore")
    print("| network | variant | worst, dB | mean, dB | dE2000 p99 | worst embedded, dB |")
    print("|---|---|---|---|---|---|")
    for name in track(names, "Calibrating"):
        print("\n".join(rows(name, variants, given.keep)), flush=True)


if __name__ == "__main__":
    main()
