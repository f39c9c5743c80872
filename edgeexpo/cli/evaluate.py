"""``edgeexpo evaluate``: measure quality against ground truth, or judge what pictures look like.

The table of quality also holds baselines, which are pictures that are made without a network.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.arguments import add_selection, positive
from edgeexpo.cli.looks import looks_text, skipped_lines
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import GateError, MissingDependencyError

if TYPE_CHECKING:
    from edgeexpo.evaluation.evaluate import Evaluation

HEADINGS = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "vif": "VIFp",
    "delta_e": "dE2000",
    "mef_ssim": "MEF-SSIM",
    "mef_ssim_inputs": "of inputs",
    "pu21_psnr": "PU21 dB",
    "clipped_log_error": "clipped EV",
}
"""Headings of the printed columns, by the name of the metric."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="MODEL|BUNDLE", help="zoo name, or folder of a bundle")
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="folder of brackets (sub-folders), radiance maps or photographs (with --looks, the "
        "embedded photographs by default)",
    )
    parser.add_argument("--weights", metavar="FILE", type=Path, help="checkpoint for a zoo name")
    parser.add_argument("--per-scene", action="store_true", help="also print a row for each scene")
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="only photographs that edgeexpo's own weights were not trained on",
    )
    parser.add_argument(
        "--views", type=positive, default=40, help="views of radiance maps (default 40)"
    )
    parser.add_argument(
        "--noise",
        metavar="SIGMA",
        type=_noise,
        default=0.0,
        help="standard deviation of Gaussian noise on the frames, in 8-bit codes (default: 0)",
    )
    parser.add_argument("--no-baselines", action="store_true", help="measure the network only")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="write every picture here")
    parser.add_argument(
        "--looks",
        action="store_true",
        help="judge what the pictures look like, without a truth; exit 3 if a look fails",
    )
    parser.add_argument(
        "--longest",
        metavar="PIXELS",
        type=positive,
        help="with --looks: longest side to which frames are scaled down (default: 1024)",
    )
    parser.add_argument(
        "--sheet",
        metavar="FILE.png",
        type=Path,
        help="with --looks: contact sheet of frames and pictures, with what fails in words",
    )
    add_selection(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure the quality, or judge the looks, and print the table.

    Returns:
        0, or 3 if a look fails.

    Raises:
        UsageError: The folder, the model or an option cannot be used.
        MissingDependencyError: torch or a metric's library is not installed.
        OutputError: A picture cannot be written.
    """
    try:
        from edgeexpo.workflows.evaluate import evaluate
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"evaluate needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    result = evaluate(
        args.model,
        args.data,
        weights=args.weights,
        target=args.target,
        precision=args.precision,
        held_out=args.held_out,
        views=args.views,
        noise=args.noise,
        with_baselines=not args.no_baselines,
        output=args.output,
        looks=args.looks,
        longest=args.longest,
        sheet=args.sheet,
    )
    if args.looks:
        document = {"looks": result.looks, "skipped": result.skipped}
        emit(args, document, looks_text(result, args.per_scene))
        return 0 if all(report.passed for report in result.looks) else GateError.exit_code
    document = {
        "rows": result.rows,
        "gains": result.gains,
        "spread": result.spread,
        "skipped": result.skipped,
    }
    if args.per_scene:
        document["scenes"] = result.scenes
    emit(args, document, _text(result, args.per_scene))
    return 0


def _noise(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 256:
        raise argparse.ArgumentTypeError(f"expected codes from 0 to 255, found {text!r}")
    return value


def _text(result: Evaluation, per_scene: bool) -> str:
    lines = []
    if per_scene:
        shown = [{**r, "dataset": r["scene"], "n": 1} for r in result.scenes]
        lines += [_table(shown, "scene"), ""]
    lines.append(_table(result.rows, "dataset"))
    for gain in result.gains:
        lines.append(
            f"{gain['model']} ({gain['target']} {gain['precision']}) beats {gain['over']}, by "
            f"{gain['mean']:+.2f} dB in the mean of {gain['n']}, by {gain['worst_tenth']:+.2f} on "
            f"the tenth where y0 is worst, by {gain['worst']:+.2f} at worst"
        )
    for row in result.spread:
        lines.append(
            f"{row['model']}: over the exposures of one subject ({row['n']}), PSNR spreads by "
            f"{row['psnr']:.2f} dB and the mean level by {row['mean_level']:.4f}"
        )
    return "\n".join([*lines, *skipped_lines(result)])


def _table(rows: list[dict[str, Any]], heading: str) -> str:
    used = [name for name in HEADINGS if any(r[name] is not None for r in rows)]
    columns = [heading, "model", "precision", "n", *(HEADINGS[name] for name in used)]
    cells = [
        [
            row["dataset"],
            row["model"],
            "-" if row["target"] is None else f"{row['target']} {row['precision']}",
            row["n"],
            *(row[name] for name in used),
        ]
        for row in rows
    ]
    return table(cells, columns)
