"""``edgeexpo tune NAME``: search pruning and layers in float, measured on the engine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.arguments import (
    above_zero,
    add_inputs,
    add_weights_key,
    default_file,
    one_of,
    positive,
    size,
    thread_count,
)
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, table
from edgeexpo.errors import GateError, MissingDependencyError
from edgeexpo.targets import DEFAULT_TUNE_TARGET, target_names

if TYPE_CHECKING:
    from edgeexpo.workflows.tune_result import TuneResult

GATE = "psnr>=40"
"""Gate that candidates must pass when no ``--gate`` is given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="NAME", help="a network of the zoo, path/to/net.py:factory or net.pt2"
    )
    parser.add_argument(
        "--target",
        type=one_of(target_names()),
        default=DEFAULT_TUNE_TARGET,
        help=f"target whose engine is timed (default: {DEFAULT_TUNE_TARGET})",
    )
    parser.add_argument(
        "--gate",
        action="append",
        metavar="GATE",
        help="bound on the worst photograph against the unpruned float network (default: "
        f"{GATE}); repeat the option for each bound",
    )
    parser.add_argument("--max-ms", type=above_zero, help="largest median latency in milliseconds")
    parser.add_argument("--max-bytes", type=positive, help="largest size of the artefact in bytes")
    parser.add_argument(
        "--size", type=size, metavar="H,W", help="size that is timed (default: 512,512)"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="unpruned weights (default: those that ship)",
    )
    add_weights_key(parser)
    add_inputs(parser)
    parser.add_argument(
        "--pruned", type=Path, nargs="+", default=[], metavar="FILE", help="pruned weights to try"
    )
    parser.add_argument(
        "--prune",
        type=float,
        action="append",
        default=[],
        metavar="RATIO",
        help="also try pruning by this share now, without training; repeat the option for each "
        "share",
    )
    parser.add_argument(
        "--calib",
        type=Path,
        metavar="DIR",
        help="photographs or brackets to calibrate on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="photographs or brackets to judge on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--candidates",
        type=positive,
        default=5,
        metavar="N",
        help="sets of float layers to try for each set of weights (default: 5)",
    )
    parser.add_argument("--threads", type=thread_count, help="threads (default: one for each core)")
    parser.add_argument(
        "--runs",
        type=positive,
        default=10,
        help="timed runs of each candidate, after 3 runs to warm up (default: 10)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(".edgeexpo/tune"),
        metavar="DIR",
        help="folder of finished candidates, from which a stopped search goes on (default: "
        ".edgeexpo/tune)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the Pareto front")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="recipe to write (default: NAME.recipe.json)",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Search, print the table, write the recipe and return exit code 0.

    Raises:
        GateError: No candidate respects the bounds, and no recipe was written.
        MissingDependencyError: A library that tune needs is not installed.
    """
    try:
        from edgeexpo.workflows.tune import tune
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"tune needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    output = args.output or default_file(args.model, "recipe.json")
    found = tune(
        args.model,
        target=args.target,
        gates=args.gate or [GATE],
        max_ms=args.max_ms,
        max_bytes=args.max_bytes,
        size=args.size,
        weights=args.weights,
        weights_key=args.weights_key,
        inputs=args.input,
        pruned=args.pruned,
        prune=args.prune,
        calibration=args.calib,
        images=args.images,
        candidates=args.candidates,
        threads=args.threads,
        runs=args.runs,
        cache=args.cache,
        plot=args.plot,
        output=output,
        force=args.force,
    )
    document = _document(found)
    if not found:
        failure = GateError(f"{found.nearest}; no recipe was written")
        told = {"error": {"type": "GateError", "message": str(failure)}}
        emit(args, document | told, _text(document))
        raise failure
    emit(args, document | {"recipe": str(output)}, _text(document) + _advice(found, output))
    return 0


def _document(found: TuneResult) -> dict[str, Any]:
    return {
        "model": found.model,
        "target": found.target,
        "at": found.at,
        "host": found.host,
        "threads": found.threads,
        "reused": found.reused,
        "failed": found.failed,
        "rows": found.rows,
        "busy": found.busy,
    }


def _text(document: dict[str, Any]) -> str:
    rows = [
        {
            "weights": row["weights"],
            "in float": "trained INT8"
            if row["keep_float"] is None
            else ", ".join(row["keep_float"]) or "-",
            "worst dB": round(row["psnr"], 2),
            "mean dB": round(row["psnr_mean"], 2),
            "p50 ms": round(row["ms"], 2),
            "p90 ms": round(row["ms_p90"], 2),
            "bytes": human_bytes(row["bytes"]),
            "": " ".join(word for word in ("front", "plain", "winner") if row[word])
            or ("" if row["finalist"] else "timed alone"),
        }
        for row in document["rows"]
    ]
    lines = [
        table(rows, list(rows[0])),
        f"\n{document['target']} at {document['at']}, {document['threads']} threads, "
        f"{document['host']}; PSNR of the artefact against the unpruned float network; "
        f"{document['reused']} of {len(rows)} from the cache",
        *(f"failed: {line}" for line in document["failed"]),
    ]
    if document["busy"]:
        lines.append("the machine was busy with other work: read the times as an order only")
    return "\n".join(lines)


def _advice(found: TuneResult, output: Path) -> str:
    assert found.winner is not None
    plain, best = found.plain, found.winner
    if best.key == plain.key:
        against = "plain INT8 it is"
    else:
        against = (
            f"{best.label}: {best.worst['psnr'] - plain.worst['psnr']:+.2f} dB and "
            f"{plain.timing.p50 / best.timing.p50:.2f} x the speed of plain INT8"
        )
    return f"\n\n{output}: {against}; edgeexpo export --recipe {output}"
