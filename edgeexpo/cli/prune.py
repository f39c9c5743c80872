"""``edgeexpo prune NAME``: remove channels of a network and train it to recover.

With ``--unstructured``, weights are set to zero instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgeexpo.cli.arguments import add_imitation, one_of, positive, whole_number
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, table

_OWN = "instead of the recipe's"
"""Help of an option that replaces a field of the recipe."""

PRUNING_OVERRIDES = {
    "steps": (whole_number, f"{_OWN}; 0: reconstruct layers on DATA alone"),
    "batch": (positive, _OWN),
    "crop": (positive, _OWN),
    "scenes": (positive, _OWN),
    "scene_size": (positive, _OWN),
}
"""Fields of the recipe that an option of the same name replaces: field -> (type, help)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="NAME", help="a network of the zoo (see: edgeexpo models)")
    parser.add_argument(
        "--ratio",
        type=float,
        default=0.5,
        help="share of the multiply-accumulates to remove, or of the weights with --unstructured "
        "(default: 0.5)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of radiance maps and photographs to train on after pruning (default: no "
        "training)",
    )
    parser.add_argument(
        "--importance",
        type=one_of(("magnitude", "taylor")),
        default="magnitude",
        help="how channels are chosen: by magnitude (default), or by taylor, which needs --data",
    )
    parser.add_argument(
        "--scope",
        type=one_of(("sensitivity", "uniform", "global")),
        default="sensitivity",
        help="channels to remove; sensitivity (default): those that change photographs least for "
        "the work saved; uniform: the same share of every layer; global: the least important",
    )
    parser.add_argument(
        "--unstructured",
        action="store_true",
        help="set weights to zero, for a smaller compressed download; nothing gets faster",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights to prune (default: those that ship)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="weights to write (default: NAME.pruned.safetensors)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_imitation(parser)
    for name, (kind, text) in PRUNING_OVERRIDES.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind, help=text)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Prune, train, print the layers that became narrower, and return exit code 0."""
    from edgeexpo.models import zoo

    preset = zoo.get(args.model).name
    output = args.output or Path(f"{preset}.pruned.safetensors")
    if args.unstructured:
        return _unstructured(args, preset, output)
    return _structured(args, preset, output)


def _structured(args: argparse.Namespace, preset: str, output: Path) -> int:
    from edgeexpo.workflows.prune import prune

    made = prune(
        preset,
        output,
        ratio=args.ratio,
        importance=args.importance,
        scope=args.scope,
        weights=args.weights,
        data=args.data,
        run=args.run,
        scenes_dir=args.scenes_dir,
        device=args.device,
        threads=args.threads,
        force=args.force,
        **{name: getattr(args, name) for name in PRUNING_OVERRIDES},
    )
    result = made.result
    document: dict[str, Any] = {
        "model": preset,
        "weights": str(output),
        "ratio": round(result.ratio, 4),
        "macs": [result.macs_before, result.macs_after],
        "params": [result.parameters_before, result.parameters_after],
        "widths": {name: list(width) for name, width in result.widths.items()},
        "whole": dict(result.whole),
        "steps": made.steps,
        "validation_loss": made.validation_loss,
    }
    rows = [
        {"layer": name, "before": before, "after": after, "left whole": result.whole.get(name, "")}
        for name, (before, after) in result.widths.items()
    ]
    rows.append(_total("multiply-accumulates", result.macs_before, result.macs_after))
    rows.append(_total("parameters", result.parameters_before, result.parameters_after))
    after = "not trained after pruning" + ("" if args.data else ": give --data DIR")
    if made.steps:
        after = f"trained {made.steps} steps, validation loss {made.validation_loss:.5f}"
    text = f"{table(rows, list(rows[0]))}\n\n{output}: {result.ratio:.1%} removed; {after}"
    emit(args, document, text)
    return 0


def _total(name: str, before: int, after: int) -> dict[str, Any]:
    return {"layer": name, "before": before, "after": after, "left whole": f"{after / before:.3f}"}


def _unstructured(args: argparse.Namespace, preset: str, output: Path) -> int:
    from edgeexpo.workflows.prune import sparsify_weights

    if args.data is not None or args.importance != "magnitude":
        from edgeexpo.errors import UsageError

        raise UsageError("--unstructured is by magnitude, without training; leave --data out")
    made = sparsify_weights(
        preset, output, ratio=args.ratio, weights=args.weights, force=args.force
    )
    document = {
        "model": preset,
        "weights": str(output),
        "zeros": round(made.zeros, 4),
        "compressed_bytes": [made.bytes_before, made.bytes_after],
    }
    text = (
        f"{output}: {made.zeros:.1%} of the weights are zero; "
        f"{human_bytes(made.bytes_before)} compressed became {human_bytes(made.bytes_after)}; "
        "as many multiply-accumulates as before"
    )
    emit(args, document, text)
    return 0
