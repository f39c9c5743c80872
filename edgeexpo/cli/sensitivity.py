"""``edgeexpo sensitivity NAME``: show how much quality each layer costs, as a table and a plot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.arguments import add_inputs, add_weights_key, size
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import MissingDependencyError

if TYPE_CHECKING:
    from edgeexpo.quantization.sensitivity import Quality
    from edgeexpo.workflows.sensitivity_table import LayerCost, SensitivityTable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="NAME", help="a network of the zoo, path/to/net.py:factory or net.pt2"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="a .safetensors or .pth file (default: the weights that ship)",
    )
    add_weights_key(parser)
    add_inputs(parser)
    parser.add_argument(
        "--size", type=size, metavar="H,W", help="size of the network (default: 512,512)"
    )
    parser.add_argument(
        "--calib",
        metavar="DIR",
        help="photographs or brackets to calibrate on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="photographs or brackets to measure on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--ratio",
        type=float,
        help="also prune each layer alone, by this share of its output channels",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.png", help="also draw the table as a plot"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing plot")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every layer, print the table, draw the plot and return exit code 0."""
    try:
        from edgeexpo.workflows.sensitivity import sensitivity
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"sensitivity needs {error.name}, which is not installed; pip install "
            "'edgeexpo[export]'"
        ) from error
    found = sensitivity(
        args.model,
        size=args.size,
        weights=args.weights,
        weights_key=args.weights_key,
        inputs=args.input,
        calibration=args.calib,
        images=args.images,
        ratio=args.ratio,
        output=args.output,
        force=args.force,
    )
    emit(args, _document(found, args.ratio), _text(found, args.ratio))
    return 0


def _document(found: SensitivityTable, ratio: float | None) -> dict[str, Any]:
    return {
        "model": found.model,
        "size": found.size,
        "pictures": found.pictures,
        "ratio": ratio,
        "everything": found.everything,
        "layers": [_row(layer) for layer in found.layers],
    }


def _row(layer: LayerCost) -> dict[str, Any]:
    operator = layer.sensitivity.operator
    return {
        "operator": operator.name,
        "kind": operator.kind,
        "module": operator.module,
        "source": operator.source,
        "alone": layer.sensitivity.alone,
        "spared": layer.sensitivity.spared,
        "pruned": layer.pruned,
        "whole": layer.whole,
    }


def _text(found: SensitivityTable, ratio: float | None) -> str:
    rows = []
    for layer in found.layers:
        operator = layer.sensitivity.operator
        row = {
            "operator": operator.name,
            "module": operator.module,
            "line": operator.source,
            "alone: mean dB": _rounded(layer.sensitivity.alone, "mean"),
            "worst dB": _rounded(layer.sensitivity.alone, "worst"),
            "spared: gain of worst dB": round(
                layer.sensitivity.spared.worst - found.everything.worst, 2
            ),
        }
        if ratio is not None:
            row |= {
                "pruned: mean dB": _rounded(layer.pruned, "mean"),
                "pruned: worst dB": _rounded(layer.pruned, "worst"),
            }
        rows.append(row)
    height, width = found.size
    lines = [
        table(rows, list(rows[0])),
        f"\nall quantised: mean {found.everything.mean:.2f} dB, worst "
        f"{found.everything.worst:.2f} dB; PSNR against the float network, in torch, on "
        f"{len(found.pictures)} pictures of {height}x{width}",
    ]
    lines += [
        f"{layer.sensitivity.operator.module or layer.sensitivity.operator.name} is not pruned: "
        f"{layer.whole}"
        for layer in found.layers
        if layer.whole
    ]
    return "\n".join(lines)


def _rounded(quality: Quality | None, statistic: str) -> float | None:
    return None if quality is None else round(float(getattr(quality, statistic)), 2)
