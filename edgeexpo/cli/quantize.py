"""``edgeexpo quantize NAME``: make INT8 weights, by calibration or by training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.arguments import (
    add_imitation,
    add_inputs,
    add_own_output,
    add_recipe_fields,
    add_weights_key,
    default_file,
)
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import MissingDependencyError

if TYPE_CHECKING:
    from edgeexpo.workflows.calibration_search import Comparison, Score

QAT_OVERRIDES = ("steps", "batch", "crop", "learning_rate", "scenes", "seed")
"""Fields of the QAT recipe that an option of the same name replaces."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="NAME", help="a network of the zoo, path/to/net.py:factory or net.pt2"
    )
    parser.add_argument(
        "--method",
        choices=("ptq", "qat"),
        default="qat",
        help="ptq: calibrate alone; qat (default): calibrate, then train under INT8's rounding to "
        "give the pictures of the float network",
    )
    parser.add_argument(
        "--variants",
        type=_names,
        default=(),
        metavar="A,B,C",
        help="ptq: ways to calibrate, of which the best is kept, as plain,bias,minmax+adaround "
        "(parts: plain balanced unequalized mse minmax percentile headroom adaround bias nncf). "
        "For qat: the way that training starts from (default: plain, or the best of plain, "
        "balanced, unequalized, minmax and percentile for a network of your own)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="qat: folder of radiance maps and photographs, as for 'edgeexpo train' (default for a "
        "network of your own: the embedded photographs)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="float weights to quantise (default: those that ship, or the network's own)",
    )
    add_weights_key(parser)
    add_inputs(parser)
    add_own_output(parser)
    parser.add_argument(
        "--calib",
        type=Path,
        help="photographs or brackets to calibrate on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="qat: INT8 weights to go on from; --variants headroom widens their ranges first",
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (default: NAME.int8.safetensors)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_imitation(parser)
    add_recipe_fields(parser, QAT_OVERRIDES, "qat: replaces the recipe's value")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Quantise the network and return exit code 0."""
    try:
        from edgeexpo.workflows.quantize import quantize
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"quantize needs {error.name}, which is not installed; pip install "
            "'edgeexpo[export,train]'"
        ) from error
    done = quantize(
        args.model,
        args.output or default_file(args.model, "int8.safetensors"),
        method=args.method,
        inputs=args.input,
        weights=args.weights,
        weights_key=args.weights_key,
        output_range=args.output_range,
        apply_at_full_size=args.apply_at_full_size,
        full_size_form=args.full_size_form,
        output_name=args.output_name,
        calibration=args.calib,
        variants=args.variants,
        data=args.data,
        start=args.start,
        run=args.run,
        scenes_dir=args.scenes_dir,
        device=args.device,
        threads=args.threads,
        force=args.force,
        **{name: getattr(args, name) for name in QAT_OVERRIDES},
    )
    found = done.comparison
    document = {"weights": str(done.path), **done.facts, **_document(found)}
    made = _trained(found) if args.method == "qat" else _searched(found)
    path = f"{done.path}: {args.method} of {done.facts['preset']}; edgeexpo export --int8 takes it"
    emit(args, document, "\n".join([*_table(found), made, path]))
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "judged_on": found.pictures,
        "variants": found.rows,
        "gain_over_next": found.margin(),
        "gain_over_plain": found.margin("plain"),
    }


def _table(found: Comparison) -> list[str]:
    rows = [
        {
            "variant": row.variant,
            **_figures(row.score),
            "s": f"{row.seconds:.0f}",
            "": row.skipped or ("best" if row is found.best else ""),
        }
        for row in found.rows
    ]
    shown = ", ".join(found.pictures)
    return [
        table(rows, list(rows[0])),
        f"INT8 in torch against float on {shown}, none calibrated or trained on.",
    ]


def _trained(found: Comparison) -> str:
    (before, _), gain = found.rows, found.margin()
    assert gain is not None
    if gain >= 0:
        return f"Training gains {gain:.2f} dB over {before.variant} by (worst + mean) / 2."
    return (
        f"Training loses {-gain:.2f} dB by (worst + mean) / 2: take a lower --learning-rate, more "
        f"--data or --method ptq --variants {before.variant}."
    )


def _searched(found: Comparison) -> str:
    gains = [
        f"{gain:+.2f} dB over {other}"
        for other, gain in (("the next", found.margin()), ("plain", found.margin("plain")))
        if gain is not None
    ]
    return f"{found.best.variant} is best by (worst + mean) / 2: {', '.join(gains) or 'alone'}."


def _figures(score: Score | None) -> dict[str, str | None]:
    values = (None,) * 3 if score is None else (score.worst, score.mean, score.delta_e)
    shown = (None if value is None else f"{value:.2f}" for value in values)
    return dict(zip(("worst dB", "mean dB", "dE2000 p99"), shown, strict=True))
